"""Folds what is affine after a convolution (bias, normalisation) into its kernel and one offset.

For every layer with a kernel, the values between its first and its pre-activation are `scale * first + offset` per channel,
with `scale` and `offset` made of parameters alone. Knowing both turns four passes over a feature map into one, and tells
what bias a filter really has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from generator.network.program import Constant, Equation, Operand, Slot
from generator.network.trace import Node, Trace


@dataclass(frozen=True)
class Step:
    """One affine step: `value = op(value, operand)`; flipped: the operand comes first (`c - x`). operand None: negation."""

    op: str
    operand: Operand | None
    flipped: bool


@dataclass(frozen=True)
class Fold:
    """`end = scale * first + offset`, the steps composing to that. end: the last slot that could be folded.

    beyond: the steps from there to the pre-activation that could be folded too, did nothing else read `end` (hard swish reads
    `x` and `x + 3`): folded as well, the convolution would have to run twice.
    """

    end: Slot
    steps: tuple[Step, ...]
    beyond: tuple[Step, ...] = ()

    @property
    def slots(self) -> list[Slot]:
        """The parameter-only values that the steps up to `end` read."""
        return _operands(self.steps)

    @property
    def all_slots(self) -> list[Slot]:
        """... and those beyond."""
        return _operands((*self.steps, *self.beyond))


def _operands(steps: Sequence[Step]) -> list[Slot]:
    return [step.operand for step in steps if isinstance(step.operand, int)]


def find(trace: Trace) -> dict[str, Fold]:
    """The fold of every layer with a kernel, by name."""
    producers = {slot: equation for equation in trace.program.equations for slot in equation.outputs}
    readers = Counter(slot for equation in trace.program.equations for slot in set(equation.slots))
    return {node.name: _follow(node, trace, producers, readers) for node in trace.nodes.values() if node.kernel is not None}


def _follow(node: Node, trace: Trace, producers: Mapping[Slot, Equation], readers: Mapping[Slot, int]) -> Fold:
    chain, slot = [], node.pre
    while slot != node.first:  # the pre-activation's way back to the kernel's own output
        equation = producers[slot]
        chain.append(equation)
        (slot,) = (s for s in equation.slots if s in trace.active)
    end, steps, beyond, is_shared = node.first, [], [], False
    for equation in reversed(chain):
        (value,) = (slot for slot in equation.slots if slot in trace.active)
        step = _step(equation, node, trace, producers)
        if step is None:
            break
        is_shared = is_shared or readers[value] > 1
        if is_shared:
            beyond += step
        else:
            end, steps = equation.outputs[0], [*steps, *step]
    return Fold(end, tuple(steps), tuple(beyond))


def _step(equation: Equation, node: Node, trace: Trace, producers: Mapping[Slot, Equation]) -> list[Step] | None:
    """The step an equation makes, none for one that changes nothing, `None` for one that cannot be folded."""
    if equation.op in ("convert_element_type", "copy", "reduce_precision"):
        same = trace.program.dtypes[equation.outputs[0]] == trace.program.dtypes[node.first]
        return [] if same else None
    if equation.op == "neg":
        return [Step("neg", None, False)]
    if equation.op not in ("add", "sub", "mul", "div", "add_any"):
        return None
    flipped = not (isinstance(equation.inputs[0], int) and equation.inputs[0] in trace.active)
    operand = _per_channel(equation.inputs[0 if flipped else 1], node, trace, producers)
    return None if operand is None else [Step(equation.op, operand, flipped)]


def _per_channel(operand: Operand, node: Node, trace: Trace, producers: Mapping[Slot, Equation]) -> Operand | None:
    """The operand if it has one number per channel (or one for all), looking through a broadcast to the map's size."""
    rank = len(trace.program.shapes[node.first])
    axis = node.layout[-1] if node.layout is not None else rank - 1
    shape = trace.program.shape(operand)
    if all(size == 1 for size in shape) or (len(shape) == rank and all(size == 1 for a, size in enumerate(shape) if a != axis)):
        return operand
    producer = producers.get(operand) if not isinstance(operand, Constant) else None
    if producer is not None and producer.op == "broadcast_in_dim":
        (source,) = producer.inputs[:1]
        inner = trace.program.shape(source)
        kept = [a for a, size in zip(producer.params["broadcast_dimensions"], inner, strict=True) if size != 1]
        if set(kept) <= {axis}:
            return source
    return None


def compose(
    steps: Sequence[Step], values: Mapping[Slot, jax.Array], channels: int, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array]:
    """`(scale, offset)`, each `(channels,)`, of `steps`, with the operands' values known."""
    scale, offset = jnp.ones(channels, dtype), jnp.zeros(channels, dtype)
    for step in steps:
        if step.op == "neg":
            scale, offset = -scale, -offset
            continue
        operand = jnp.asarray(
            step.operand.value if isinstance(step.operand, Constant) else values[step.operand], dtype
        ).reshape(-1)
        match step.op:
            case "mul":
                scale, offset = scale * operand, offset * operand
            case "div":
                scale, offset = scale / operand, offset / operand
            case "sub" if step.flipped:
                scale, offset = -scale, operand - offset
            case "sub":
                offset = offset - operand
            case _:
                offset = offset + operand
    return scale, offset
