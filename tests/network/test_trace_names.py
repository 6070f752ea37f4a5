"""Layers without a kernel are called by the names that the network's owner gave them."""

import jax
import jax.numpy as jnp
import numpy as np

from generator.network.execute import Network
from generator.network.program import evaluate

NHWC = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)


def names(apply, params, shape=(8, 8, 3)) -> list[str]:
    return [layer.name for layer in Network(apply, params, shape).graph.layers]


KERNELS = {"a": {"kernel": jnp.full((3, 3, 3, 3), 0.1)}, "b": {"kernel": jnp.full((3, 3, 3, 3), 0.2)}}


def test_the_innermost_scope_names_what_begins_in_it():
    def apply(params, x):
        x = conv(x, params["a"]["kernel"])
        with jax.named_scope("layer:block"), jax.named_scope("not a layer"), jax.named_scope("layer:block/ä add:0"):
            return x + conv(x, params["b"]["kernel"])

    assert names(apply, KERNELS) == ["a", "b", "block/ä add:0"]


def test_scopes_reach_into_jitted_functions_and_come_out_of_them():
    @jax.jit
    def inner(x, y):
        with jax.named_scope("layer:inner"):
            return jax.jit(lambda a, b: a + b)(x, y)

    def apply(params, x):
        x = conv(x, params["a"]["kernel"])
        with jax.named_scope("layer:outer"):
            x = inner(x, conv(x, params["b"]["kernel"]))
            return x.mean((1, 2))

    assert names(apply, KERNELS) == ["a", "b", "inner", "outer"]


def test_several_nodes_of_one_scope_are_numbered_and_a_kernel_keeps_its_name():
    def apply(params, x):
        with jax.named_scope("layer:b"):  # begins before the kernel of that name
            x = jnp.concatenate([x, x], -1)[..., :3]
            x = x + conv(x, params["b"]["kernel"])
            return x + conv(x, params["a"]["kernel"])

    assert names(apply, KERNELS) == ["b@2", "b@3", "b", "b@4", "a", "b@5"]


def test_no_two_layers_have_one_name():
    params = {"input": KERNELS["a"], "add_1": KERNELS["b"]}

    def apply(params, x):
        x = conv(x, params["input"]["kernel"])
        x = x + conv(x, params["add_1"]["kernel"])
        with jax.named_scope("layer:add_2"):
            x = x + conv(x, params["add_1"]["kernel"])
        with jax.named_scope("layer:"):
            return x + conv(x, params["input"]["kernel"])

    found = names(apply, params)
    assert found == ["input@2", "add_1", "add_2", "add_1@2", "add_2@2", "input@3", "add_3"]


def test_every_scope_knows_its_last_value():
    def apply(params, x):
        with jax.named_scope("layer:a"):
            x = conv(x, params["a"]["kernel"])
        with jax.named_scope("layer:act"):
            x = jax.nn.relu(x - 0.5)
        with jax.named_scope("layer:pool"):
            return x.mean((1, 2))

    network = Network(apply, KERNELS, (8, 8, 3))
    trace = network._traced(1, (8, 8, 3))
    assert list(trace.scopes) == ["a", "act", "pool"]
    images = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    program = trace.program
    known = {program.parameters[f"{name}/kernel"]: KERNELS[name]["kernel"] for name in KERNELS}
    values = evaluate(program.equations, {**known, program.images: images})
    wanted = {"a": conv(images, KERNELS["a"]["kernel"])}
    wanted["act"] = jnp.maximum(wanted["a"] - 0.5, 0)
    wanted["pool"] = wanted["act"].mean((1, 2))
    for name, value in wanted.items():
        np.testing.assert_allclose(values[trace.scopes[name]], value, rtol=1e-5, atol=1e-6)
