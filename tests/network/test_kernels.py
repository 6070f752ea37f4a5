"""The fast convolutions against XLA's own, values and gradients."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from generator.network.grouped import grouped_conv
from generator.network.kernels import dense_conv, depthwise_conv, pointwise_conv

PAIR = st.tuples(st.integers(0, 3), st.integers(0, 3))


def reference(x, kernel, strides, padding, dilation):
    numbers, groups = ("NHWC", "HWIO", "NHWC"), x.shape[-1] // kernel.shape[2]
    return lax.conv_general_dilated(
        x, kernel, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers, feature_group_count=groups
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
    theirs, reference_pull = jax.vjp(lambda a, b: reference(a, b[:, :, None], strides, padding, dilation), x, kernel)
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
    channels=st.sampled_from([(3, 5), (3, 40), (2, 5)]),
    seed=st.integers(0, 99),
)
def test_dense_equals_lax_with_gradients(size, kernel_size, strides, padding, dilation, channels, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, channels[0])).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, *channels)).astype(np.float32)
    ours, pull = jax.vjp(lambda a, b: dense_conv(a, b, strides, padding, dilation), x, kernel)
    theirs, reference_pull = jax.vjp(lambda a, b: reference(a, b, strides, padding, dilation), x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    cotangent = rng.normal(size=theirs.shape).astype(np.float32)
    for gradient, expected in zip(pull(cotangent), reference_pull(cotangent), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-3)


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(7, 10), st.integers(7, 10)),
    kernel_size=st.sampled_from([(1, 1), (3, 3), (2, 4), (6, 5)]),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(PAIR, PAIR),
    dilation=st.sampled_from([(1, 1), (1, 2)]),
    groups=st.sampled_from([(3, 2, 2), (2, 8, 3), (4, 1, 2), (2, 9, 4), (3, 12, 1)]),
    seed=st.integers(0, 99),
)
def test_grouped_equals_lax_with_gradients(size, kernel_size, strides, padding, dilation, groups, seed):
    rng = np.random.default_rng(seed)
    number, cin, cout = groups
    x = rng.normal(size=(2, *size, number * cin)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, cin, number * cout)).astype(np.float32)
    ours, pull = jax.vjp(lambda a, b: grouped_conv(a, b, strides, padding, dilation), x, kernel)
    theirs, reference_pull = jax.vjp(lambda a, b: reference(a, b, strides, padding, dilation), x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    cotangent = rng.normal(size=theirs.shape).astype(np.float32)
    for gradient, expected in zip(pull(cotangent), reference_pull(cotangent), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-3)
