"""Forms in which frameworks write what a person would call one layer, and how far each of them sees.

Receptive fields are compared with where gradients really reach. Upsampled maps lie between pixels, so a field may then be
half a pixel off, and as wide as the widest of its positions.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.network.execute import Network, Tap

NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "HWIO", "NCHW")
SHAPE = (16, 16, 4)
random = np.random.default_rng(0)


def kernel(*shape: int) -> dict[str, jax.Array]:
    return {"kernel": jnp.asarray(random.uniform(0.001, 0.02, shape), jnp.float32)}


PARAMS = {
    "a": kernel(3, 3, 4, 8),
    "b": kernel(3, 3, 8, 8),
    "narrow": kernel(3, 3, 2, 8),
    "deep": kernel(3, 3, 16, 8),
    "attention": kernel(5, 5, 2, 1),
    "twice": kernel(2, 2, 8, 8),
    "fc": kernel(16 * 16 * 8, 5),
}


def conv(x, params, stride=1, padding="SAME", numbers=NHWC, **options):
    return jax.lax.conv_general_dilated(x, params["kernel"], (stride, stride), padding, dimension_numbers=numbers, **options)


def pooled(x, size, stride):
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, size, size, 1), (1, stride, stride, 1), "VALID")


def channel_shuffle(p, x):
    x = conv(x, p["a"])
    n, h, w, c = x.shape
    return conv(x.reshape(n, h, w, 2, c // 2).transpose(0, 1, 2, 4, 3).reshape(n, h, w, c), p["b"], 2)


def channel_shuffle_first(p, x):
    x = conv(x.transpose(0, 3, 1, 2), p["a"], numbers=NCHW)
    n, c, h, w = x.shape
    return conv(x.reshape(n, 2, c // 2, h, w).transpose(0, 2, 1, 3, 4).reshape(n, c, h, w), p["b"], 2, numbers=NCHW)


def pixel_shuffle(p, x):
    x = conv(x, p["a"], 2)
    n, h, w, _ = x.shape
    return conv(x.reshape(n, h, w, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, 2), p["narrow"])


def space_to_depth(p, x):
    n, h, w, c = x.shape
    return conv(x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c), p["deep"])


def focus(p, x):
    return conv(jnp.concatenate([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1), p["deep"])


def bilinear(p, x):
    x = conv(x, p["a"], 2)
    return conv(jax.image.resize(x, (x.shape[0], 16, 16, 8), "bilinear"), p["b"])


def constants_first(p, x):
    """Rows and columns halved by matrices of constants, which stand on the left."""
    x = conv(x, p["a"])
    halves = np.kron(np.eye(8), [0.5, 0.5]).astype(np.float32)
    for axis in (1, 2):
        x = jnp.moveaxis(jnp.tensordot(halves, x, ((1,), (axis,))), 0, axis)
    return conv(x, p["b"])


def nearest(p, x):
    x = conv(x, p["a"], 2)
    return conv(jax.image.resize(x, (x.shape[0], 16, 16, 8), "nearest"), p["b"])


def repeated(p, x):
    return conv(jnp.repeat(jnp.repeat(conv(x, p["a"], 2), 2, 1), 2, 2), p["b"])


def transposed(p, x):
    x = jax.lax.conv_transpose(conv(x, p["a"], 2), p["twice"]["kernel"], (2, 2), "SAME", dimension_numbers=NHWC)
    return jax.lax.conv_transpose(x, p["b"]["kernel"], (2, 2), "SAME", dimension_numbers=NHWC)


def averaged(p, x):
    x = jnp.pad(conv(x, p["a"]), ((0, 0), (1, 1), (1, 1), (0, 0)))
    return conv(pooled(x, 3, 2) / pooled(jnp.ones_like(x), 3, 2), p["b"])


def averaged_blocks(p, x):
    x = conv(x, p["a"])
    n, h, w, c = x.shape
    return conv(x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4)), p["b"])


def blurred(p, x):
    return conv(conv(x, p["a"]), {"kernel": jnp.full((3, 3, 1, 8), 1 / 9)}, 2, feature_group_count=8)


def spatial_attention(p, x):
    x = conv(x, p["a"])
    about = jnp.concatenate([x.mean(-1, keepdims=True), x.max(-1, keepdims=True)], -1)
    return x * jax.nn.sigmoid(conv(about, p["attention"]))


def across_channels(p, x):
    x = conv(x, p["a"])
    return conv(x / jnp.sqrt((x * x).sum(-1, keepdims=True)), p["b"])


def tokens(p, x):
    x = conv(x, p["a"], 2)
    n, h, w, c = x.shape
    return conv((x.reshape(n, h * w, c) * 2.0).transpose(0, 2, 1).reshape(n, c, h, w).transpose(0, 2, 3, 1), p["b"])


FORMS: dict[Callable, list[tuple[str, str, tuple[int, ...]]]] = {
    channel_shuffle: [("a", "conv", (16, 16, 8)), ("shuffle_1", "shuffle", (16, 16, 8)), ("b", "conv", (8, 8, 8))],
    channel_shuffle_first: [("a", "conv", (16, 16, 8)), ("shuffle_1", "shuffle", (16, 16, 8)), ("b", "conv", (8, 8, 8))],
    pixel_shuffle: [("a", "conv", (8, 8, 8)), ("shuffle_1", "shuffle", (16, 16, 2)), ("narrow", "conv", (16, 16, 8))],
    space_to_depth: [("shuffle_1", "shuffle", (8, 8, 16)), ("deep", "conv", (8, 8, 8))],
    focus: [("concat_1", "concat", (8, 8, 16)), ("deep", "conv", (8, 8, 8))],
    bilinear: [("a", "conv", (8, 8, 8)), ("resize_1", "resize", (16, 16, 8)), ("b", "conv", (16, 16, 8))],
    constants_first: [("a", "conv", (16, 16, 8)), ("resize_1", "resize", (8, 8, 8)), ("b", "conv", (8, 8, 8))],
    nearest: [("a", "conv", (8, 8, 8)), ("resize_1", "resize", (16, 16, 8)), ("b", "conv", (16, 16, 8))],
    repeated: [("a", "conv", (8, 8, 8)), ("resize_1", "resize", (16, 16, 8)), ("b", "conv", (16, 16, 8))],
    transposed: [("a", "conv", (8, 8, 8)), ("twice", "conv_transpose", (16, 16, 8)), ("b", "conv_transpose", (32, 32, 8))],
    averaged: [("a", "conv", (16, 16, 8)), ("avg_pool_1", "avg_pool", (8, 8, 8)), ("b", "conv", (8, 8, 8))],
    averaged_blocks: [("a", "conv", (16, 16, 8)), ("avg_pool_1", "avg_pool", (8, 8, 8)), ("b", "conv", (8, 8, 8))],
    blurred: [("a", "conv", (16, 16, 8)), ("filtering_1", "filtering", (8, 8, 8))],
    spatial_attention: [
        ("a", "conv", (16, 16, 8)),
        ("channel_mean_1", "channel_mean", (16, 16, 1)),
        ("channel_max_1", "channel_max", (16, 16, 1)),
        ("concat_1", "concat", (16, 16, 2)),
        ("attention", "conv", (16, 16, 1)),
        ("gate_1", "gate", (16, 16, 8)),
    ],
    across_channels: [("a", "conv", (16, 16, 8)), ("b", "conv", (16, 16, 8))],
    tokens: [("a", "conv", (8, 8, 8)), ("b", "conv", (8, 8, 8))],
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_form_is_the_layers_a_person_would_draw(form):
    graph = Network(form, PARAMS, SHAPE).graph
    assert [(layer.name, layer.kind, layer.shape) for layer in graph.layers] == FORMS[form]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_values_are_those_of_the_function(form):
    network = Network(form, PARAMS, SHAPE)
    images = jax.random.uniform(jax.random.key(1), (2, *SHAPE))
    (found,) = network.tapped([Tap(network.graph.outputs[0])], batch=2)(images)
    wanted = form(PARAMS, images)
    wanted = wanted.transpose(0, 2, 3, 1) if form is channel_shuffle_first else wanted
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_fields_are_where_gradients_reach(form):
    network = Network(form, PARAMS, SHAPE)
    for layer in network.graph.layers:
        field, (height, width) = layer.receptive_field, layer.spatial
        assert not field.whole, layer.name
        tapped = network.tapped([Tap(layer.name)])

        @jax.jit
        def reach(row, column, tapped=tapped):
            def value(x):
                return tapped.function(tapped.constants, x)[0][0, row, column].sum()

            return jnp.abs(jax.grad(value)(jax.random.uniform(jax.random.key(2), (1, *SHAPE)) + 0.1)[0]).sum(-1) > 0

        slack = []
        for row, column in ((height // 2, width // 2), (height // 2 + 1, width // 2 - 1), (0, 0)):
            seen = np.asarray(reach(row, column))
            for axis, position in enumerate((row, column)):
                first = field.first[axis] + position * field.stride[axis]
                last = first + field.size[axis] - 1
                hit = np.flatnonzero(seen.any(1 - axis))
                assert hit[0] >= max(first - 0.5, 0) - 1e-6, layer.name
                assert hit[-1] <= min(last + 0.5, SHAPE[axis] - 1) + 1e-6, layer.name
                if first >= 0 and last < SHAPE[axis]:
                    slack.append(hit[0] - first + last - hit[-1])
        assert min(slack, default=0) <= 1.5, layer.name  # exact but for what upsampling leaves between pixels


def test_a_mean_that_keeps_its_axes_is_one_vector():
    def apply(p, x):
        x = conv(x, p["a"])
        gate = jax.nn.sigmoid(conv(x.mean((1, 2), keepdims=True), {"kernel": p["b"]["kernel"][:1, :1]}))
        return x * gate

    layers = Network(apply, PARAMS, SHAPE).graph.by_name
    assert [(layer.kind, layer.shape) for layer in layers.values()] == [
        ("conv", (16, 16, 8)),
        ("mean", (8,)),
        ("conv", (1, 1, 8)),
        ("gate", (16, 16, 8)),
    ]
    assert layers["gate_1"].inputs == ("a", "b")
    assert layers["gate_1"].receptive_field.whole


def test_group_normalisation_stays_with_its_layer():
    def apply(p, x):
        x = conv(x, p["a"])
        groups = x.reshape(*x.shape[:3], 2, 4)
        groups = (groups - groups.mean((1, 2, 4), keepdims=True)) / jnp.sqrt(groups.var((1, 2, 4), keepdims=True) + 1e-3)
        return conv(jax.nn.relu(groups.reshape(x.shape)), p["b"])

    graph = Network(apply, PARAMS, SHAPE).graph
    assert [(layer.name, layer.activation) for layer in graph.layers] == [("a", "ReLU"), ("b", None)]


@pytest.mark.parametrize(("order", "flattened"), [((0, 1, 2, 3), "hwc"), ((0, 3, 1, 2), "chw"), ((0, 2, 1, 3), None)])
def test_a_dense_layer_knows_how_its_map_was_flattened(order, flattened):
    def apply(p, x):
        return conv(x, p["a"]).transpose(order).reshape(len(x), -1) @ p["fc"]["kernel"]

    layer = Network(apply, PARAMS, SHAPE).graph.by_name["fc"]
    assert layer.flattened == flattened
    assert layer.receptive_field.whole


def test_convolutions_of_one_dimension_are_no_layers_with_filters():
    def apply(p, x):
        line = conv(x, p["a"]).mean((1, 2))[:, :, None]
        mixed = jax.lax.conv_general_dilated(
            line, p["b"]["kernel"][0, :, :1, :1], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )
        return mixed[:, :, 0]

    graph = Network(apply, PARAMS, SHAPE).graph
    assert [(layer.kind, layer.has_kernel) for layer in graph.layers] == [("conv", True), ("mean", False), ("filtering", False)]


def test_channels_in_reverse_are_a_node():
    graph = Network(lambda p, x: conv(x[..., ::-1], p["a"]), PARAMS, SHAPE).graph
    assert [(layer.name, layer.inputs) for layer in graph.layers] == [("reverse_1", ("input",)), ("a", ("reverse_1",))]


def test_all_outputs_are_listed():
    def apply(p, x):
        x = conv(x, p["a"])
        return {"map": conv(x, p["b"]), "mean": x.mean((1, 2))}

    assert Network(apply, PARAMS, SHAPE).graph.outputs == ("b", "mean_1")
