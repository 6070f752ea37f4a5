"""What the axes of a value stand for: batch, rows, columns, channels, or parts of those.

Each axis is a product of factors, the outermost first, so that reshapes and transpositions can be followed: channels that a
ShuffleNet divides into groups, windows that a transformer cuts, maps that are flattened row by row or channel by channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from generator.network import ops
from generator.network.program import Equation, Program, Slot

Layout = tuple[int, ...]  # which axis of a value is n, h, w, c


@dataclass(frozen=True)
class Factor:
    """A part of one of the axes `n h w c`: `size` indices, each `stride` of that axis apart. label `+`: copies of the same."""

    label: str
    stride: int
    size: int


COPIES = "+"

Axis = tuple[Factor, ...]  # no factor: of size 1
Axes = tuple[Axis, ...]


def of_layout(layout: Layout, shape: Sequence[int]) -> Axes:
    """The axes of a map that is laid out like that."""
    return tuple((Factor("nhwc"[layout.index(axis)], 1, size),) for axis, size in enumerate(shape))


def layout(axes: Axes | None) -> Layout | None:
    """Which axes are n, h, w, c; None for what is no map. An axis that holds the outermost part of the rows is the rows."""
    if axes is None or len(axes) != 4 or not any(map(labels, axes)):
        return None
    roles = [_role(axis, axes) for axis in axes]
    known = [role for role in roles if role]
    if len(set(known)) != len(known) or "?" in known:
        return None
    missing = iter(label for label in "nhwc" if label not in known)
    filled = [role or next(missing) for role in roles]
    return tuple(filled.index(label) for label in "nhwc")


def _role(axis: Axis, axes: Axes) -> str:
    if not labels(axis):
        return ""
    outermost = {f.label for f in axis if f.stride * f.size == extent(axes, f.label)} & set("nhw")
    return "c" if not outermost else "?" if len(outermost) > 1 else outermost.pop()


def extent(axes: Axes, label: str) -> int:
    """The size of a whole axis of which there are parts in `axes`."""
    return max((f.stride * f.size for axis in axes for f in axis if f.label == label), default=1)


def is_rearranged(axes: Axes, layout: Layout) -> bool:
    """Whether a map's positions or channels were cut, mixed or repeated. Numbers for groups of channels are no maps."""
    *positions, channels = (axes[axis] for axis in layout[1:])
    cut = any(labels(a) and (len(a) > 1 or (a[0].stride, a[0].size) != (1, extent(axes, a[0].label))) for a in positions)
    return cut or sum(f.label != COPIES for f in channels) > 1


def labels(axis: Axis) -> str:
    """`hwc` for a map that was flattened row by row with the channels innermost."""
    return "".join(dict.fromkeys(f.label for f in axis if f.label != COPIES))


def holds_copies(axes: Axes) -> bool:
    """Whether positions of a map stand there several times, side by side."""
    return any(labels(axis) and any(f.label == COPIES for f in axis) for axis in axes)


def through(equation: Equation, program: Program, known: Mapping[Slot, Axes | None], output: Slot) -> Axes | None:
    """The axes of one of `equation`'s outputs, from those of its image-dependent inputs; None where they cannot be told."""
    active = [slot for slot in equation.slots if slot in known]
    if equation.op == "conv_general_dilated" and len(program.shapes[output]) == 4:
        n, c, h, w = equation.params["dimension_numbers"].out_spec
        return of_layout((n, h, w, c), program.shapes[output])
    found = [known[slot] for slot in active]
    if equation.op == "dot_general":
        return _product(equation, program, known)
    axes = max((one for one in found if one is not None), key=_num_known, default=None)
    if axes is None:
        return None
    params, shape = equation.params, program.shapes[output]
    match equation.op:
        case "transpose":
            return tuple(axes[axis] for axis in params["permutation"])
        case "squeeze":
            return tuple(axis for number, axis in enumerate(axes) if number not in params["dimensions"])
        case "reshape":
            return reshaped(axes, shape)
        case "broadcast_in_dim":
            places = dict(zip(params["broadcast_dimensions"], range(len(axes)), strict=True))
            before = program.shapes[active[0]]
            copies = [(Factor(COPIES, 1, n),) if n > 1 else () for n in shape]
            return tuple(axes[places[a]] if a in places and before[places[a]] == n else copies[a] for a, n in enumerate(shape))
        case op if op in ops.REDUCTIONS:
            return tuple(axis for number, axis in enumerate(axes) if number not in params["axes"])
        case "gather":
            numbers = params["dimension_numbers"]
            taken = numbers.collapsed_slice_dims
            in_place = len(taken) == 1 and set(numbers.offset_dims) == set(range(len(axes))) - set(taken)
            return _resized(axes, shape) if in_place else None
        case "scan" | "while" | "cond" | "custom_call" | "sort" | "reduce_precision":
            return axes if tuple(program.shapes[active[0]]) == tuple(shape) else None
    return _resized(axes, shape)


def _num_known(axes: Axes) -> int:
    return sum(f.label != COPIES for axis in axes for f in axis)


def _resized(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """Axes that keep their meaning and have new sizes."""
    if len(axes) != len(shape):
        return None
    result = []
    for axis, size in zip(axes, shape, strict=True):
        if axis and math.prod(f.size for f in axis) == size:
            result.append(axis)
        elif len({f.label for f in axis}) > 1:
            return None
        else:
            result.append((Factor(axis[0].label if axis else COPIES, 1, size),) if axis or size > 1 else ())
    return tuple(result)


def _product(equation: Equation, program: Program, known: Mapping[Slot, Axes | None]) -> Axes | None:
    """Batch axes, then the free ones of each side. New channels take the place of those that are summed over."""
    contracted, batched = equation.params["dimension_numbers"]
    sides = [known.get(operand) if isinstance(operand, int) else None for operand in equation.inputs]
    is_active = [isinstance(operand, int) and operand in known for operand in equation.inputs]
    if any(active and axes is None for active, axes in zip(is_active, sides, strict=True)):
        return None
    lead = 0 if is_active[0] else 1
    summed = [f for axis in contracted[lead] for f in sides[lead][axis]]
    # A matrix that mixes positions leaves positions; whatever mixes channels as well leaves channels.
    new = "c" if any(f.label == "c" for f in summed) or not summed else summed[0].label
    parts = [[sides[lead][axis] for axis in batched[lead]]]
    for side, (operand, axes) in enumerate(zip(equation.inputs, sides, strict=True)):
        shape = program.shape(operand)
        free = [a for a in range(len(shape)) if a not in contracted[side] and a not in batched[side]]
        if axes is not None:
            parts.append([axes[a] for a in free])
        else:
            strides = [math.prod(shape[a] for a in free[number + 1 :]) for number in range(len(free))]
            parts.append([(Factor(new, stride, shape[a]),) for a, stride in zip(free, strides, strict=True)])
    return tuple(axis for part in parts for axis in part)


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """The axes after a reshape, factors cut in two where that takes it; None where no factor can be cut so.

    Between axes of size 1 there is a choice; they are paired in order.
    """
    waiting = [f for axis in axes for f in axis]
    result: list[Axis] = []
    for position, size in enumerate(shape):
        taken: list[Factor] = []
        left = size
        if size == 1 and waiting and waiting[0].size == 1 and (waiting[0].label == "n" or _spare(waiting, shape[position:])):
            taken.append(waiting.pop(0))
        while left > 1 and waiting:
            factor = waiting.pop(0)
            if factor.size == 1:
                continue
            if left % factor.size == 0:
                taken.append(factor)
                left //= factor.size
            elif factor.size % left == 0:
                inner = factor.size // left
                taken.append(replace(factor, stride=factor.stride * inner, size=left))
                waiting.insert(0, replace(factor, size=inner))
                left = 1
            else:
                return None
        if left > 1:
            return None
        result.append(_merged(taken))
    return tuple(result) if all(f.size == 1 for f in waiting) else None


def _spare(waiting: Sequence[Factor], shape: Sequence[int]) -> bool:
    """Whether there are as many axes of size 1 as factors of it, so that each has one of its own."""
    return sum(f.size == 1 for f in waiting) >= sum(size == 1 for size in shape)


def _merged(factors: Sequence[Factor]) -> Axis:
    merged: list[Factor] = []
    for factor in factors:
        before = merged[-1] if merged else None
        if before and before.label == factor.label and before.stride == factor.stride * factor.size:
            merged[-1] = Factor(factor.label, factor.stride, before.size * factor.size)
        else:
            merged.append(factor)
    return tuple(merged)
