"""Receptive fields against where the gradient of one position really reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.network.execute import Network, Tap

NHWC = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, stride, padding, dilation=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, rhs_dilation=(dilation, dilation), dimension_numbers=NHWC
    )


def pool(x, size, stride, padding):
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, padding)


def support(network: Network, layer: str, position: tuple[int, int]) -> list[tuple[int, int]]:
    """First and last input row and column that the unit at `position` depends on. Kernels are positive, so nothing cancels."""
    tapped = network.tapped([Tap(layer)])
    images = jnp.ones((1, *network.input_shape))
    gradient = jax.grad(lambda x: tapped.function(tapped.constants, x)[0][0, position[0], position[1]].sum())(images)
    mask = np.asarray(jnp.abs(gradient[0]).sum(-1) > 0)
    return [(int(np.flatnonzero(mask.any(1 - axis))[0]), int(np.flatnonzero(mask.any(1 - axis))[-1])) for axis in (0, 1)]


def predicted(network: Network, layer: str, position: tuple[int, int]) -> list[tuple[float, float]]:
    field = network.graph.by_name[layer].receptive_field
    starts = [field.first[a] + position[a] * field.stride[a] for a in (0, 1)]
    return [(start, start + size - 1) for start, size in zip(starts, field.size, strict=True)]


step = st.tuples(
    st.sampled_from(["conv", "pool", "residual", "pad"]),
    st.integers(1, 5),
    st.integers(1, 2),
    st.sampled_from(["SAME", "VALID"]),
    st.integers(1, 2),
)


@settings(max_examples=6, deadline=None)
@given(st.lists(step, min_size=1, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_field_equals_support_of_the_gradient(steps, row, column):
    params = {f"k{i}": jnp.full((size, size, 2, 2), 0.1) for i, (_, size, _, _, _) in enumerate(steps)}
    params["last"] = jnp.full((3, 3, 2, 2), 0.1)

    def apply(params, x):
        for i, (kind, size, stride, padding, dilation) in enumerate(steps):
            match kind:
                case "conv":
                    x = conv(x, params[f"k{i}"], stride, padding, dilation)
                case "pool":
                    x = pool(x, size, stride, padding)
                case "residual":
                    x = x + conv(x, params[f"k{i}"], 1, "SAME", dilation)
                case "pad":
                    x = jnp.pad(x, ((0, 0), (size, 1), (0, size), (0, 0)))
        return conv(x, params["last"], 1, "SAME")

    height_in, width_in = 41, 38
    network = Network(apply, params, (height_in, width_in, 2))
    height, width, _ = network.graph.by_name["last"].shape
    position = (round(row * (height - 1)), round(column * (width - 1)))
    ends = zip(predicted(network, "last", position), support(network, "last", position), (height_in, width_in), strict=True)
    for (first, last), (seen_first, seen_last), limit in ends:
        # dilation and strides leave holes, so what is cut off at the border may begin behind it; inside it must be exact
        assert seen_first == first if first >= 0 else seen_first >= 0
        assert seen_last == last if last < limit else seen_last < limit


def test_a_global_mean_sees_the_whole_image():
    def apply(params, x):
        x = conv(x, params["a"], 2, "SAME")
        return conv(x * x.mean((1, 2), keepdims=True) * params["g"], params["b"], 1, "SAME")

    params = {"a": jnp.ones((3, 3, 2, 2)), "b": jnp.ones((3, 3, 2, 2)), "g": jnp.ones(2)}
    graph = Network(apply, params, (16, 12, 2)).graph
    assert graph.by_name["b"].receptive_field.whole
    assert graph.by_name["b"].receptive_field.size == (16, 12)
    assert not graph.by_name["a"].receptive_field.whole


def test_centre_of_the_field():
    network = Network(lambda p, x: conv(x, p["k"], 2, "VALID"), {"k": jnp.ones((5, 5, 1, 1))}, (21, 21, 1))
    assert network.graph.layers[0].receptive_field.centre((3, 0)) == pytest.approx((8.0, 2.0))
