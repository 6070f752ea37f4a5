"""Flax modules of one's own, NNX and linen, with their checkpoints."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util
from flax.serialization import to_bytes
from safetensors.numpy import save_file

from generator.config.sources import FlaxSource
from generator.errors import ConfigError, NetworkError, WeightsError
from generator.sources import describe, load
from generator.sources.python_files import import_name, source_files

NNX_CODE = """
from flax import nnx
from blocks import Block

class Net(nnx.Module):
    def __init__(self, features=4, *, rngs):
        self.blocks = nnx.List([Block(3, features, rngs), Block(features, features, rngs)])
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.offset = nnx.Variable(nnx.initializers.constant(2.0)(rngs.params(), ()))
        self.dense = nnx.Linear(features, 5, rngs=rngs)

    def __call__(self, x, train=True):
        assert not train
        for block in self.blocks:
            x = block(x)
        return self.dense(self.drop(x.mean((1, 2)))) + self.offset[...]
"""
BLOCK_CODE = """
from flax import nnx

class Block(nnx.Module):
    def __init__(self, cin, cout, rngs):
        self.conv = nnx.Conv(cin, cout, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(cout, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.conv(x)))
"""
LINEN_CODE = """
from flax import linen as nn

class Net(nn.Module):
    features: int = 4

    @nn.compact
    def __call__(self, x, train: bool):
        assert not train
        x = nn.Conv(self.features, (3, 3), name="first")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(5)(x.mean((1, 2)))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nets.py").write_text(NNX_CODE)
    (tmp_path / "blocks.py").write_text(BLOCK_CODE)
    (tmp_path / "linen_nets.py").write_text(LINEN_CODE)
    return tmp_path


def source(module, checkpoint="weights.safetensors", **more):
    return FlaxSource(kind="flax", module=module, checkpoint=checkpoint, input_shape=(8, 6, 3), **more)


def run_code(text, name):
    """The class `name` of a file, run by itself: the oracle does not go through the importing code under test."""
    space = {}
    exec(compile(text.replace("from blocks import Block", BLOCK_CODE), "oracle", "exec"), space)  # noqa: S102
    return space[name]


def random_like(tree, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype(np.float32), tree)


def images():
    return jnp.asarray(np.random.default_rng(7).normal(size=(2, 8, 6, 3)), jnp.float32)


@functools.cache
def random_nnx_model():
    """A model with random weights and statistics, in eval mode, and those weights."""
    model = run_code(NNX_CODE, "Net")(rngs=nnx.Rngs(3))
    state = nnx.state(model, (nnx.Param, nnx.BatchStat))
    weights = random_like(nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, weights)
    nnx.update(model, state)
    model.eval()
    return model, traverse_util.flatten_dict(weights)


def nnx_model_and_weights():
    model, weights = random_nnx_model()
    return model, {"/".join(map(str, path)): leaf.copy() for path, leaf in weights.items()}


@pytest.mark.parametrize("rename", [str, lambda n: n.replace("/", "."), lambda n: f"params/{n}", lambda n: f"a.b.{n}"])
def test_nnx_gives_the_module_s_own_outputs(folder, rename):
    model, weights = nnx_model_and_weights()
    save_file({rename(name): array for name, array in weights.items()}, folder / "weights.safetensors")
    loaded = load(source("nets:Net"), folder)
    expected = model(images(), train=False)
    np.testing.assert_allclose(loaded.apply(loaded.params, images()), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(loaded.apply)(loaded.params, images()), expected, rtol=1e-5)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree_util.tree_leaves_with_path(loaded.params)
    ]
    assert set(names) == set(weights)
    assert "blocks/0/conv/kernel" in names


def test_params_are_arguments_of_apply(folder):
    """Gradients reach every parameter: none of them was baked into the function."""
    _, weights = nnx_model_and_weights()
    save_file(weights, folder / "weights.safetensors")
    loaded = load(source("nets:Net"), folder)
    gradient = jax.jit(jax.grad(lambda params: (loaded.apply(params, images()) ** 2).sum()))(loaded.params)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def linen_model_and_weights():
    model = run_code(LINEN_CODE, "Net")()
    variables = random_like(model.init(jax.random.key(0), images(), train=False))
    return model, variables


@pytest.mark.parametrize("form", ["collections", "safetensors", "params only names"])
def test_linen_gives_the_module_s_own_outputs(folder, form):
    model, variables = linen_model_and_weights()
    flat = traverse_util.flatten_dict(variables)
    if form == "collections":
        (folder / "weights").write_bytes(to_bytes(variables))
    else:
        names = {path: "/".join(path if form == "safetensors" else path[1:]) for path in flat}
        save_file({names[path]: leaf for path, leaf in flat.items()}, folder / "weights")
    loaded = load(source("linen_nets:Net", "weights"), folder)
    np.testing.assert_allclose(loaded.apply(loaded.params, images()), model.apply(variables, images(), train=False), rtol=1e-5)
    assert set(loaded.params) == {"first", "BatchNorm_0", "Dense_0"}
    assert set(loaded.params["BatchNorm_0"]) == {"scale", "bias", "mean", "var"}


def test_half_precision_checkpoints_run_in_the_module_s_type(folder):
    _, weights = nnx_model_and_weights()
    np.savez(folder / "weights.npz", **{name: array.astype(np.float16) for name, array in weights.items()})
    loaded = load(source("nets:Net", "weights.npz"), folder)
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded.params)} == {jnp.dtype("float32")}


def test_another_architecture_lists_keys_and_shapes(folder):
    _, weights = nnx_model_and_weights()
    weights["extra/kernel"] = weights.pop("dense/bias")
    weights["dense/kernel"] = np.zeros((4, 7), np.float32)
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(source("nets:Net"), folder)
    missing, unexpected, shapes = caught.value.problems
    assert missing.message == "1 of 14 parameters are missing: dense/bias"
    assert unexpected.message == "1 of 14 tensors do not belong to the network: extra/kernel"
    assert shapes.message == "1 shapes differ: dense/kernel is (4, 7) but should be (4, 5)"
    assert {problem.place for problem in caught.value.problems} == {str(folder / "weights.safetensors")}


def test_arguments_reach_the_constructor(folder):
    _, weights = nnx_model_and_weights()
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"blocks/0/conv/kernel is \(3, 3, 3, 4\) but should be \(3, 3, 3, 6\)"):
        load(source("nets:Net", arguments={"features": 6}), folder)
    with pytest.raises(ConfigError, match=r"unexpected keyword argument 'widht'; it takes \(features"):
        load(source("nets:Net", arguments={"widht": 6}), folder)


def test_nan_weights_are_refused(folder):
    _, weights = nnx_model_and_weights()
    weights["dense/bias"][1] = np.nan
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(WeightsError, match="tensor 'dense/bias' holds 1 NaN among 5 values"):
        load(source("nets:Net"), folder)


@pytest.mark.parametrize(
    ("module", "code", "error", "message"),
    [
        ("mine:Net", "raise RuntimeError('boom')", NetworkError, "importing mine failed: RuntimeError: boom"),
        ("mine:Net", "import sys\nsys.exit(3)", NetworkError, "importing mine failed: SystemExit"),
        ("mine:Net", "import absent_package", NetworkError, "No module named 'absent_package'"),
        ("mine:Net", "class Nett: pass", ConfigError, "mine has no 'Net'; did you mean 'Nett'"),
        ("mine:Net", "class Net: pass", ConfigError, "neither a flax.nnx.Module nor a flax.linen.Module"),
        ("mine:Net", "def Net(rngs): pass", ConfigError, "neither a flax.nnx.Module nor a flax.linen.Module"),
        ("mine:Net", "class Net(:", ConfigError, r"mine\.py:1: this is not valid Python"),
        ("mien:Net", "", ConfigError, "no module 'mien' beside the config or installed; did you mean 'mine'"),
        (
            "mine:Net",
            "from flax import nnx\nclass Net(nnx.Module):\n    def __init__(self, rngs): 1 / 0",
            NetworkError,
            r"building it for images of shape \(8, 6, 3\) failed: ZeroDivisionError",
        ),
    ],
)
def test_what_is_wrong_with_a_module_is_said(tmp_path, module, code, error, message):
    (tmp_path / "mine.py").write_text(code)
    np.savez(tmp_path / "weights.npz", w=np.ones(2))
    with pytest.raises(error, match=message):
        load(source(module, "weights.npz"), tmp_path)


def test_an_edited_file_is_run_afresh_and_the_path_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    _, weights = nnx_model_and_weights()
    save_file(weights, folder / "weights.safetensors")
    path_before = list(sys.path)
    before = load(source("nets:Net"), folder)
    (folder / "blocks.py").write_text(BLOCK_CODE.replace("nnx.relu", "nnx.tanh"))
    after = load(source("nets:Net"), folder)
    assert not np.allclose(before.apply(before.params, images()), after.apply(after.params, images()))
    assert sys.path == path_before
    assert sys.dont_write_bytecode is False
    assert not (folder / "__pycache__").exists()


def test_describe_knows_files_and_preprocessing(folder):
    np.savez(folder / "weights.npz", w=np.ones(2))
    facts = describe(source("nets:Net", "weights.npz"), folder)
    assert facts.title == "Net"
    assert facts.input_shape == (8, 6, 3)
    assert (facts.preprocessing.size_px, facts.preprocessing.channels) == ((8, 6), "rgb")
    assert facts.labels is None
    assert [path.name for path in facts.code_paths] == ["nets.py", "blocks.py"]
    assert (facts.weights.file, facts.weights.format) == ("weights.npz", "npz")
    assert facts.weights.num_bytes == facts.weights_path.stat().st_size
    grey = FlaxSource(kind="flax", module="nets:Net", checkpoint="weights.npz", input_shape=(28, 28, 1))
    assert describe(grey, folder).preprocessing.channels == "grey"


def test_describe_reports_everything_at_once(tmp_path):
    wrong = FlaxSource(kind="flax", module="absent:Net", checkpoint="absent.npz", input_shape=(8, 8, 4))
    with pytest.raises(ConfigError) as caught:
        describe(wrong, tmp_path)
    assert [problem.message.split(",")[0] for problem in caught.value.problems] == [
        "input_shape has 4 channels",
        "no module 'absent' beside the config or installed",
        "there is no weights file here",
    ]


def test_packages_and_relative_imports_are_followed(tmp_path):
    package = tmp_path / "mine" / "models"
    package.mkdir(parents=True)
    (tmp_path / "mine" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from .net import Net")
    (package / "net.py").write_text("from ..layers import thing\nfrom . import other\nimport numpy\nclass Net: pass")
    (package / "other.py").write_text("")
    (tmp_path / "mine" / "layers.py").write_text("thing = 1")
    (tmp_path / "mine" / "unrelated.py").write_text("")
    np.savez(tmp_path / "weights.npz", w=np.ones(2))
    facts = describe(source("mine.models.net:Net", "weights.npz"), tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in facts.code_paths]
    assert found[0] == "mine/models/net.py"
    assert set(found[1:]) == {"mine/__init__.py", "mine/models/__init__.py", "mine/models/other.py", "mine/layers.py"}


def test_describe_loads_no_jax(folder):
    np.savez(folder / "weights.npz", w=np.ones(2))
    code = f"""
    import sys
    from pathlib import Path
    from generator.config.sources import FlaxSource, ZooSource
    from generator.sources import describe
    describe(ZooSource(kind="zoo", name="efficientnet_lite0"), Path("."))
    flax = dict(kind="flax", module="nets:Net", checkpoint="weights.npz", input_shape=(8, 6, 3))
    describe(FlaxSource(**flax), Path({str(folder)!r}))
    print(sorted({{"jax", "flax", "matplotlib"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


def test_packages_of_an_environment_beside_the_config_are_not_imported_again(tmp_path, monkeypatch):
    """A `.venv` often lies in the project's own folder; what is installed in it is not the user's code."""
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    (installed / "pretend_library").mkdir(parents=True)
    (installed / "pretend_library" / "__init__.py").write_text("state = object()\n")
    (tmp_path / "own_net.py").write_text("import pretend_library\n\n\nclass Net:\n    library = pretend_library\n")
    monkeypatch.syspath_prepend(installed)
    import pretend_library

    assert import_name("own_net:Net", tmp_path).library is pretend_library
    assert source_files("own_net", tmp_path) == (tmp_path / "own_net.py",)
