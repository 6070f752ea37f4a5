"""Redirected rectifiers against loops over numbers, and which steps become one."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.network.program import flatten
from generator.network.rectify import Rectifier, clipped, redirected
from generator.network.rewrite import rewrite
from generator.network.trace import trace


def loop(x, cotangent, is_open, low, high):
    """The gradient of `clipped`, a number at a time: it passes inside; outside only where open, and then only towards inside
    when moved along (uphill) the gradient."""
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        value, pull, opened = x[place], cotangent[place], is_open[place[0]]
        if low is not None and value <= low:
            passes = opened and pull > 0
        elif high is not None and value >= high:
            passes = opened and pull < 0
        else:
            passes = True
        result[place] = pull if passes else 0
    return result


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (0.0, 6.0), (-1.5, 2.0), (None, 1.0)])
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 7)])
def test_gradients_equal_a_loop(low, high, shape):
    random = np.random.default_rng(0)
    x = (4 * random.normal(size=shape)).astype(np.float32)
    x[0].flat[:4] = 0.0 if low is None else low, 1.0 if high is None else high, -9, 9  # the bounds themselves
    cotangent = random.normal(size=shape).astype(np.float32)
    is_open = np.array([True, False, True])
    value, pull = jax.vjp(lambda x: clipped(x, is_open, low, high), x)
    np.testing.assert_array_equal(value, np.clip(x, low, high))
    np.testing.assert_array_equal(pull(cotangent)[0], loop(x, cotangent, is_open, low, high))


def test_shut_it_is_the_plain_gradient():
    x = np.linspace(-3, 9, 30, dtype=np.float32).reshape(3, 10)
    shut = np.zeros(3, bool)
    for plain, bounds in ((nn.relu, (0.0, None)), (nn.relu6, (0.0, 6.0))):
        expected = jax.grad(lambda x, plain=plain: jnp.sum(jnp.sin(plain(x))))(x)
        found = jax.grad(lambda x, bounds=bounds: jnp.sum(jnp.sin(clipped(x, shut, *bounds))))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_batch_folded_into_another_axis_opens_as_a_whole():
    x, cotangent = np.full((6, 2), -1, np.float32), np.ones((6, 2), np.float32)
    for is_open, passed in (([False, True, False], 1), ([False] * 3, 0)):
        _, pull = jax.vjp(lambda x, is_open=is_open: clipped(x, np.array(is_open), 0.0, None), x)
        np.testing.assert_array_equal(pull(cotangent)[0], np.full((6, 2), passed))


SLOT = 999
WRITTEN = {
    "relu": (nn.relu, [(0.0, None)]),
    "relu6": (nn.relu6, [(0.0, 6.0)]),
    "clip": (lambda x: jnp.clip(x, -1, 2), [(-1.0, 2.0)]),
    "clamp": (lambda x: jax.lax.clamp(-1.0, x, 2.0), [(-1.0, 2.0)]),
    "the number first": (lambda x: jnp.maximum(0.5, x), [(0.5, None)]),
    "from above": (lambda x: jnp.minimum(x, 3.0), [(None, 3.0)]),
    "hard swish": (nn.hard_swish, [(0.0, 6.0)]),
    "leaky": (nn.leaky_relu, []),
    "of two maps": (lambda x: jnp.maximum(x, -x), []),
    "of channels": (lambda x: jnp.maximum(x, jnp.arange(4.0)), []),
    "read twice": (lambda x: (lambda y: jnp.minimum(y, 6.0) + y)(jnp.maximum(x, 0.0)), [(0.0, None), (None, 6.0)]),
    "above before below": (lambda x: jnp.maximum(jnp.minimum(x, 6.0), 0.0), [(None, 6.0), (0.0, None)]),
    "two from below": (lambda x: jnp.maximum(jnp.maximum(x, 0.0), 1.0), [(0.0, None), (1.0, None)]),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_limits_to_a_number_become_rectifiers(written):
    function, bounds = WRITTEN[written]

    def apply(params, images):
        return function(images @ params["one"]["kernel"]) @ params["two"]["kernel"]

    params = {"one": {"kernel": jnp.ones((3, 4))}, "two": {"kernel": jnp.ones((4, 2))}}
    traced = trace(flatten(apply, params, jax.ShapeDtypeStruct((2, 5, 5, 3), jnp.float32)))
    steps = rewrite(traced).steps
    found = redirected(steps, traced, SLOT)
    rectifiers = [step for step in found if isinstance(step, Rectifier)]
    assert [(step.low, step.high) for step in rectifiers] == bounds
    assert all(step.inputs[1] == step.slots[1] == SLOT for step in rectifiers)
    merged = len(steps) - len(found)
    assert merged == (written in ("relu6", "clip", "hard swish"))
    kept = [step for step in found if step not in rectifiers]
    assert kept == [step for step in steps if step in kept]  # what is left is left as it was, in order


def test_a_learned_limit_is_left_alone():
    def apply(params, images):
        return jnp.maximum(images @ params["one"]["kernel"], params["bound"]) @ params["two"]["kernel"]

    params = {"one": {"kernel": jnp.ones((3, 4))}, "two": {"kernel": jnp.ones((4, 2))}, "bound": jnp.zeros(())}
    traced = trace(flatten(apply, params, jax.ShapeDtypeStruct((2, 5, 5, 3), jnp.float32)))
    steps = rewrite(traced).steps
    assert redirected(steps, traced, SLOT) == steps
