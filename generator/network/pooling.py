"""Pooling as the maximum or sum of shifted maps, down and then across.

XLA's CPU backend goes through each window by itself, and back through each when it differentiates a maximum. Shifted maps are
elementwise work: 2-10 times as fast, gradients 3-6 times. A gradient is divided between equal largest values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from generator.network.program import Equation

#: By primitive: the function of two values, and what changes none of them.
_POOLS = {"reduce_window_max": (lax.max, -math.inf), "reduce_window_sum": (lax.add, 0.0)}
#: Windows of more pixels than that run as they are: each pixel costs a pass over the map.
_WIDEST = 16


class Pool(Equation):
    """A `reduce_window` of which `shifts` says yes."""

    def run(self, x: jax.Array) -> tuple[jax.Array]:
        return (pool(self.op, x, **self.params),)


def faster(equation: Equation, dtype: Any) -> Equation:
    """The equation itself, or a pool's as shifted maps where that is faster (on CPUs only). dtype: of its values."""
    if equation.op not in _POOLS or jax.default_backend() != "cpu" or not jnp.issubdtype(dtype, np.floating):
        return equation
    if max(equation.params["window_dimensions"]) > _WIDEST or max(equation.params["base_dilation"]) > 1:
        return equation
    return Pool(**{field.name: getattr(equation, field.name) for field in fields(equation)})


def pool(
    op: str,
    x: jax.Array,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    window_dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **_: Any,
) -> jax.Array:
    """What the primitive `op` computes of floating `x` with these parameters, up to rounding."""
    function, nothing = _POOLS[op]
    x = lax.pad(x, jnp.asarray(nothing, x.dtype), [(*pair, 0) for pair in padding])
    for axis, (size, stride, dilation) in enumerate(zip(window_dimensions, window_strides, window_dilation, strict=True)):
        length = x.shape[axis] - (size - 1) * dilation
        shifted = (lax.slice_in_dim(x, tap * dilation, tap * dilation + length, stride, axis) for tap in range(size))
        x = reduce(function, shifted)
    return x
