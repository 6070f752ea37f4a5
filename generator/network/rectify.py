"""Rectifiers that can let a gradient through where they are shut.

An image at which every rectifier on the way is shut gives no gradient, so a climb from there would never leave it. Where a
rectifier is *open*, the gradient also passes where the value lies beyond a bound and would be moved back over it (redirected
ReLU: Mordvintsev, Olah, Schubert 2018, Lucid). It is not the true gradient, and grows from layer to layer, so that it serves
only to get away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.network.program import Constant, Operand, Slot, evaluate
from generator.network.trace import Trace


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def clipped(x: jax.Array, is_open: jax.Array, low: float | None, high: float | None) -> jax.Array:
    """`x` `(n, ...)` limited to `low ... high`, where None is no limit. is_open: bool `(n,)`, for which images gradients are
    redirected.
    """
    return jnp.clip(x, low, high)


def _forward(x, is_open, low, high):
    return jnp.clip(x, low, high), (x, is_open)


def _backward(low, high, saved, cotangent):
    x, is_open = saved
    # Where the batch is folded into another axis, all images are treated alike.
    opened = is_open.reshape(-1, *[1] * (x.ndim - 1)) if len(x) == len(is_open) else is_open.any()
    passes = jnp.ones((), bool)
    if low is not None:
        passes = passes & ((x > low) | (opened & (cotangent > 0)))
    if high is not None:
        passes = passes & ((x < high) | (opened & (cotangent < 0)))
    return jnp.where(passes, cotangent, 0), None


clipped.defvjp(_forward, _backward)


@dataclass(frozen=True)
class Rectifier:
    """`min(max(x, low), high)`, in place of the equations that did it."""

    inputs: tuple[Slot, Slot]
    outputs: tuple[Slot, ...]
    low: float | None
    high: float | None

    @property
    def slots(self) -> tuple[Slot, Slot]:
        return self.inputs

    def run(self, x: jax.Array, is_open: jax.Array) -> tuple[jax.Array]:
        return (clipped(x, is_open, self.low, self.high),)


def redirected(steps: Sequence[Any], traced: Trace, open_slot: Slot) -> list[Any]:
    """`steps` with every limit to a constant (ReLU, ReLU6, clip) as a `Rectifier` that reads `open_slot`.

    A limit from below that only a limit from above reads becomes one with it.
    """
    readers: dict[Slot, int] = {}
    for step in steps:
        for slot in step.slots:
            readers[slot] = readers.get(slot, 0) + 1
    scalars = _scalars(steps, traced)
    found: list[Any] = []
    for step in steps:
        limits = _limits(step, traced, scalars)
        if limits is None:
            found.append(step)
            continue
        x, low, high = limits
        before = found[-1] if found else None
        if isinstance(before, Rectifier) and before.outputs == (x,) and readers[x] == 1 and before.high is None and low is None:
            found.pop()
            x, low = before.inputs[0], before.low
        found.append(Rectifier((x, open_slot), step.outputs, low, high))
    return found


def _scalars(steps: Sequence[Any], traced: Trace) -> dict[Slot, jax.Array]:
    """Numbers that steps make of constants alone: `jnp.clip` converts its bounds first."""
    known: dict[Slot, jax.Array] = {}
    for step in steps:
        if traced.program.shapes[step.outputs[0]] == () and all(slot in known for slot in step.slots):
            evaluate([step], known)
    return known


def _limits(step: Any, traced: Trace, scalars: Mapping[Slot, jax.Array]) -> tuple[Slot, float | None, float | None] | None:
    """What a step limits, and to what; None for any other step."""
    op = getattr(step, "op", None)
    if op == "clamp":
        low, x, high = step.inputs
        bounds = _number(low, scalars), _number(high, scalars)
        return (x, *bounds) if x in traced.active and None not in bounds else None
    if op not in ("max", "min"):
        return None
    numbers = [number for operand in step.inputs if (number := _number(operand, scalars)) is not None]
    values = [operand for operand in step.inputs if isinstance(operand, int) and operand in traced.active]
    if len(numbers) != 1 or len(values) != 1:
        return None
    return (values[0], numbers[0], None) if op == "max" else (values[0], None, numbers[0])


def _number(operand: Operand, scalars: Mapping[Slot, jax.Array]) -> float | None:
    value = operand.value if isinstance(operand, Constant) else scalars.get(operand)
    return float(value) if value is not None and np.ndim(value) == 0 else None
