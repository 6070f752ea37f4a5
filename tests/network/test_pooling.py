"""Pools as shifted maps against NumPy's windows and XLA's own gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from generator.network.execute import OUTPUT, Network, Tap
from generator.network.pooling import pool

POOLS = {"reduce_window_max": (np.max, -np.inf, lax.max), "reduce_window_sum": (np.sum, 0.0, lax.add)}


def by_hand(op, x, size, strides, dilation, padding):
    """Window by window, in float64."""
    function, nothing, _ = POOLS[op]
    x = np.pad(x.astype(np.float64), padding, constant_values=nothing)
    counts = [(length - (k - 1) * d - 1) // s + 1 for length, k, s, d in zip(x.shape, size, strides, dilation, strict=True)]
    found = np.zeros(counts)
    for place in np.ndindex(*counts):
        axes = zip(place, size, strides, dilation, strict=True)
        found[place] = function(x[tuple(slice(i * s, i * s + (k - 1) * d + 1, d) for i, k, s, d in axes)])
    return found


@settings(max_examples=12, deadline=None)
@given(
    op=st.sampled_from(list(POOLS)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2), st.just(1)),
    padding=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(-1, 2))] * 2, st.just((1, 1))),
    seed=st.integers(0, 99),
)
def test_values_and_gradients(op, size, strides, dilation, padding, seed):
    size, strides, dilation, padding = (1, *size), (1, *strides), (1, *dilation), ((0, 0), *padding)
    x = np.random.default_rng(seed).normal(size=(2, 9, 10, 5)).astype(np.float32)

    def ours(x):
        return pool(op, x, window_dimensions=size, window_strides=strides, window_dilation=dilation, padding=padding)

    def theirs(x):
        _, nothing, function = POOLS[op]
        return lax.reduce_window(x, nothing, function, size, strides, padding, window_dilation=dilation)

    value, pull = jax.vjp(ours, x)
    cropped = x[tuple(slice(0, length + min(0, after)) for length, (_, after) in zip(x.shape, padding, strict=True))]
    expected = by_hand(op, cropped, size, strides, dilation, np.maximum(padding, 0))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    if dilation == (1, 1, 1, 1):  # XLA cannot differentiate the maximum of spread out windows
        cotangent = np.random.default_rng(seed).normal(size=value.shape).astype(np.float32)
        np.testing.assert_allclose(pull(cotangent)[0], jax.vjp(theirs, x)[1](cotangent)[0], rtol=1e-4, atol=1e-5)


def test_equal_largest_values_share_the_gradient():
    x = np.zeros((1, 2, 2, 1), np.float32)
    gradient = jax.grad(lambda x: pool("reduce_window_max", x, **parameters((1, 2, 2, 1))).sum())(x)
    np.testing.assert_allclose(gradient, np.full_like(x, 0.25))


def test_networks_pool_in_that_form_where_it_pays():
    def apply(params, images):
        x = jax.nn.relu(images @ params["kernel"])
        small = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        whole = lax.reduce_window(x, 0.0, lax.add, (1, 20, 20, 1), (1, 1, 1, 1), "VALID")
        counts = lax.reduce_window((x > 0).astype(jnp.int32), -5, lax.max, (1, 20, 20, 1), (1, 1, 1, 1), "VALID")
        return small.mean((1, 2)) + whole[:, 0, 0] + counts[:, 0, 0]

    params = {"kernel": jax.random.normal(jax.random.key(0), (3, 4))}
    images = np.asarray(jax.random.normal(jax.random.key(1), (2, 20, 20, 3)))
    tapped = Network(apply, params, (20, 20, 3)).tapped([Tap(OUTPUT)], batch=2)
    jaxpr = str(jax.make_jaxpr(tapped.function)(tapped.constants, images))
    assert "reduce_window_max[" not in jaxpr
    assert "reduce_window_sum[" in jaxpr
    np.testing.assert_allclose(tapped(images)[0], apply(params, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_pools_of_whole_numbers_run_as_they_are(dtype):
    def apply(params, images):
        x = (images @ params["kernel"] * 10).astype(dtype)
        return lax.reduce_window(x, np.array(np.iinfo(dtype).min, dtype), lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    params = {"kernel": jnp.ones((3, 2))}
    images = np.asarray(jax.random.uniform(jax.random.key(1), (1, 6, 6, 3)))
    (value,) = Network(apply, params, (6, 6, 3)).tapped([Tap(OUTPUT)])(images)
    np.testing.assert_array_equal(value, apply(params, images))


def parameters(size):
    return {"window_dimensions": size, "window_strides": size, "window_dilation": (1,) * 4, "padding": ((0, 0),) * 4}
