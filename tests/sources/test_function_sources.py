"""Networks that are functions: plain JAX, trees of any kind, channels first; and what goes wrong with them."""

from __future__ import annotations

import runpy
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from generator.config.sources import FunctionSource
from generator.errors import ConfigError, NetworkError, WeightsError
from generator.network.execute import Network
from generator.sources import describe, load

CODE = """
import functools
from dataclasses import dataclass
import jax
import jax.numpy as jnp
import numpy as np

random = np.random.default_rng(0)
KERNEL = random.normal(size=(3, 3, 3, 4)).astype(np.float32)
HEAD = random.normal(size=(4, 5)).astype(np.float32)

def conv(x, kernel, numbers=("NHWC", "HWIO", "NHWC")):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

def plain(scale=1.0):
    params = {"conv": {"kernel": KERNEL * scale, "bias": np.ones(4, np.float32)}, "classes": {"kernel": HEAD}}

    def apply(params, images):
        x = jax.nn.relu(conv(images, params["conv"]["kernel"]) + params["conv"]["bias"])
        return x.mean((1, 2)) @ params["classes"]["kernel"]

    return apply, params

def haiku():
    params = {"net/~/conv": {"w": jnp.asarray(KERNEL), "b": jnp.ones(4)}, "net/~/linear": {"w": HEAD}}

    def forward(params, state, rng, images):
        x = jax.nn.relu(conv(images, params["net/~/conv"]["w"]) + params["net/~/conv"]["b"])
        return x.mean((1, 2)) @ params["net/~/linear"]["w"], state

    return lambda params, images: forward(params, {}, None, images)[0], params

@jax.tree_util.register_pytree_with_keys_class
class Model:  # as Equinox has them: a tree of parameters, activation functions and settings that can be called
    def __init__(self, layers, activation, size):
        self.layers, self.activation, self.size = layers, activation, size

    def tree_flatten_with_keys(self):
        names = ("layers", "activation", "size")
        return [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in names], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)

    def __call__(self, image):  # one image (c, h, w)
        assert self.size == 8 and image.shape == (3, 8, 8)
        x = self.activation(conv(image[None], self.layers[0]["weight"], ("NCHW", "OIHW", "NCHW"))[0] + 1)
        return self.layers[1].T @ x.mean((1, 2))

def model():
    tree = Model([{"weight": KERNEL.transpose(3, 2, 0, 1)}, HEAD], jax.nn.relu, 8)
    return (lambda model, images: jax.vmap(model)(images)), tree

class Net:
    def apply(self, factor, params, images):
        return images * factor * params[0], {"second": images.mean((1, 2))}

    def __call__(self, factor):
        return functools.partial(self.apply, factor), (jnp.ones(3), jax.random.key(0), None)

bound = Net()

def nothing(): return None
def three(): return (lambda p, x: x), {}, 3
def no_arrays(): return (lambda p, x: x), {"a": 3}
def stateful(): return (lambda params, state, rng, images: images), {"a": KERNEL}
def fails(): raise ValueError("no such file")
def leaves(): return (lambda p, x: {"logits": x, "name": "x"}), {"a": KERNEL}
def breaks():
    def apply(params, images):
        return images @ params["a"]
    return apply, {"a": np.ones((7, 2), np.float32)}
def words(): return (lambda p, x: x), {"a": np.array(["x"])}
def complex_numbers(): return (lambda p, x: x), {"a": np.ones(3, complex)}
def infinite(): return (lambda p, x: x), {"a": np.array([1.0, np.inf])}
def collides(): return (lambda p, x: x * p["a/b"] * p["a"]["b"]), {"a/b": np.float32(2), "a": {"b": np.ones((), np.float32)}}
NUMBER = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    return tmp_path


def source(name: str, **further) -> FunctionSource:
    return FunctionSource(kind="function", function=f"nets:{name}", input_shape=(8, 8, 3), **further)


def wanted(images: np.ndarray, folder) -> np.ndarray:
    """The same network as loops over NumPy arrays."""
    names = runpy.run_path(str(folder / "nets.py"))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = np.ones((*images.shape[:3], 4))
    for i in range(3):
        for j in range(3):
            maps += padded[:, i : i + 8, j : j + 8] @ names["KERNEL"][i, j]
    return np.maximum(maps, 0).mean((1, 2)) @ names["HEAD"]


IMAGES = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "layout", "params", "layers"),
    [
        ("plain", "nhwc", ["classes/kernel", "conv/bias", "conv/kernel"], ["conv", "mean_1", "classes"]),
        ("haiku", "nhwc", ["net/~/conv/b", "net/~/conv/w", "net/~/linear/w"], ["net/~/conv", "mean_1", "net/~/linear"]),
        ("model", "nchw", ["layers/0/weight", "layers/1"], ["layers/0", "mean_1", "layers/1"]),
    ],
)
def test_networks_of_every_style_compute_what_they_should(folder, name, layout, params, layers):
    model = load(source(name, layout=layout), folder)
    assert sorted(model.params) == params
    np.testing.assert_allclose(model.apply(model.params, IMAGES), wanted(IMAGES, folder), rtol=1e-4, atol=1e-4)
    network = Network(model.apply, model.params, model.input_shape)
    assert [layer.name for layer in network.graph.layers] == layers
    assert network.graph.by_name[layers[0]].shape == (8, 8, 4)
    jax.grad(lambda images: jax.jit(model.apply)(model.params, images).sum())(IMAGES)


def test_bound_methods_partials_and_objects_are_functions_too(folder):
    model = load(source("bound", arguments={"factor": 2}), folder)
    assert list(model.params) == ["0"]
    first, second = model.apply(model.params, IMAGES)
    np.testing.assert_allclose(first, IMAGES * 2)
    assert list(second) == ["second"]


def test_names_that_a_key_and_a_path_share_are_told_apart(folder):
    model = load(source("collides"), folder)
    assert sorted(model.params) == ["a/b", "a/b~2"]
    np.testing.assert_allclose(model.apply(model.params, IMAGES), IMAGES * 2)


def test_values_may_come_from_a_checkpoint(folder):
    zeros = {"conv.kernel": np.zeros((3, 3, 3, 4), np.float32), "conv.bias": np.zeros(4, np.float32)}
    save_file({**zeros, "classes.kernel": np.ones((4, 5), np.float32)}, folder / "zero.safetensors")
    model = load(source("plain", checkpoint="zero.safetensors"), folder)
    assert not np.any(model.apply(model.params, IMAGES))
    save_file(zeros, folder / "part.safetensors")
    with pytest.raises(WeightsError, match="1 of 3 parameters are missing: classes/kernel"):
        load(source("plain", checkpoint="part.safetensors"), folder)


def test_what_is_known_without_running_it(folder):
    facts = describe(source("plain"), folder)
    assert (facts.title, facts.weights.format, facts.weights_path) == ("plain", "made by the code", None)
    assert facts.code_paths == (folder / "nets.py",)
    again = describe(source("plain", arguments={"scale": 2.0}), folder)
    assert again.weights.digest != facts.weights.digest
    (folder / "nets.py").write_text(CODE + "\nHEAD = HEAD * 2")
    assert describe(source("plain"), folder).weights.digest != facts.weights.digest
    np.savez(folder / "weights.npz", a=np.ones(3))
    given = describe(source("plain", checkpoint="weights.npz"), folder)
    assert (given.weights.format, given.weights_path) == ("npz", folder / "weights.npz")


def test_describing_imports_neither_the_code_nor_jax(tmp_path):
    (tmp_path / "nets.py").write_text("raise SystemExit('imported')")
    code = f"""
        import sys
        from pathlib import Path
        from generator.config.sources import FunctionSource
        from generator.sources import describe
        source = FunctionSource(kind="function", function="nets:net", input_shape=(8, 8, 3))
        assert describe(source, Path({str(tmp_path)!r})).weights.digest
        assert not {{"jax", "nets"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)  # noqa: S603 -- the code is ours


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nothing", NetworkError, "nets:nothing: it returned a NoneType, no `(apply, params)`; return `(apply, params)`"),
        ("three", NetworkError, "nets:three: it returned a tuple of 3"),
        ("no_arrays", NetworkError, "nets:no_arrays: `params` is a dict without arrays"),
        (
            "stateful",
            NetworkError,
            "`apply` takes (params, state, rng, images), but CNNscope calls `apply(params, images)`; bind",
        ),
        ("fails", NetworkError, "calling it with its `arguments` failed: ValueError: no such file"),
        ("words", NetworkError, "params hold <U1 at ['a']; use arrays of real numbers"),
        ("complex_numbers", NetworkError, "params hold complex128 at ['a']"),
        ("infinite", WeightsError, "nets:infinite: tensor 'a' holds 1 infinite among 2 values"),
        ("NUMBER", ConfigError, "nets:NUMBER: this is an int, no function"),
        ("plian", ConfigError, "nets:plian: nets has no 'plian'"),
    ],
)
def test_what_is_no_network_says_what_it_is(folder, name, error, message):
    with pytest.raises(error) as raised:
        load(source(name), folder)
    assert message in str(raised.value)


def test_failures_name_their_line(folder):
    line = CODE.splitlines().index('def fails(): raise ValueError("no such file")') + 1
    with pytest.raises(NetworkError, match=f"nets.py:{line}: "):
        load(source("fails"), folder)
    model = load(source("breaks"), folder)
    line = CODE.splitlines().index('        return images @ params["a"]') + 1
    with pytest.raises(NetworkError, match=f"nets.py:{line}: the network cannot run on images of 8 x 8 x 3"):
        _ = Network(model.apply, model.params, model.input_shape).graph


def test_arguments_that_do_not_fit_and_outputs_that_are_no_arrays(folder):
    with pytest.raises(ConfigError, match=r"`arguments` do not fit the function.*; it takes \(scale=1.0\)"):
        load(source("plain", arguments={"size": 3}), folder)
    model = load(source("leaves"), folder)
    with pytest.raises(NetworkError, match=r"`apply` returned a str at \['name'\]"):
        _ = Network(model.apply, model.params, model.input_shape).graph


def test_everything_wrong_is_told_at_once(tmp_path):
    bad = FunctionSource(kind="function", function="absent:net", input_shape=(8, 8, 4), checkpoint="none.npz")
    with pytest.raises(ConfigError) as raised:
        describe(bad, tmp_path)
    assert len(raised.value.problems) == 3
