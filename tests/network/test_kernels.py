"""The fast convolutions against XLA's own, values and gradients."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from generator.network.kernels import dense_conv, depthwise_conv, pointwise_conv

PAIR = st.tuples(st.integers(0, 3), st.integers(0, 3))


def reference(x, kernel, strides, padding, dilation):
    channels = x.shape[-1]
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )


@settings(max_examples=8, deadline=None)
@given(
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    kernel_size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(PAIR, PAIR),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 99),
)
def test_depthwise_equals_lax_with_gradients(size, kernel_size, strides, padding, dilation, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, 3)).astype(np.float32)
    ours, pull = jax.vjp(lambda a, b: depthwise_conv(a, b, strides, padding, dilation), x, kernel)
    theirs, reference_pull = jax.vjp(lambda a, b: reference(a, b, strides, padding, dilation), x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    cotangent = rng.normal(size=theirs.shape).astype(np.float32)
    for gradient, expected in zip(pull(cotangent), reference_pull(cotangent), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-3)


def test_pointwise_equals_lax():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 6, 7)).astype(np.float32), rng.normal(size=(7, 4)).astype(np.float32)
    expected = lax.conv_general_dilated(x, kernel[None, None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(pointwise_conv(x, kernel), expected, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    kernel_size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(PAIR, PAIR),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 99),
)
def test_dense_equals_lax_with_gradients(size, kernel_size, strides, padding, dilation, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, 3, 5)).astype(np.float32)

    def plain(a, b):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(a, b, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers)

    ours, pull = jax.vjp(lambda a, b: dense_conv(a, b, strides, padding, dilation), x, kernel)
    theirs, reference_pull = jax.vjp(plain, x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    cotangent = rng.normal(size=theirs.shape).astype(np.float32)
    for gradient, expected in zip(pull(cotangent), reference_pull(cotangent), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-3)
