"""Receptive fields of every value of a program, analytically (Araujo, Norris, Sim 2019, Distill).

A value's field along one spatial axis is an affine interval: position `i` sees the input pixels `low + i * step` to
`high + i * step`. Windows widen it, strides multiply the step, joins take the hull; a reduction over the axis makes it the
whole image. Fields are kept along rows and columns, wherever those lie in memory or however they are cut (`axes.py`); what
mixes positions in a way that is not understood sees the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.network import ops
from generator.network.axes import COPIES, Axes, Axis, Layout, extent, labels
from generator.network.graph import ReceptiveField
from generator.network.program import Equation, Program, Slot, known


@dataclass(frozen=True)
class Interval:
    """low, high: first and last input pixel that position 0 sees. whole: sees all of the axis from anywhere."""

    low: float
    high: float
    step: float
    whole: bool = False

    def window(self, size: int, stride: int, dilation: int, pad_low: int, spread: int = 1) -> Interval:
        """Through a sliding window; `spread` is the input dilation of a transposed convolution."""
        if self.whole:
            return self
        step = self.step / spread
        return Interval(
            low=self.low - pad_low * step,
            high=self.high + ((size - 1) * dilation - pad_low) * step,
            step=step * stride,
        )

    def hull(self, other: Interval) -> Interval:
        if self.whole or other.whole or not math.isclose(self.step, other.step, abs_tol=1e-9):
            return WHOLE
        return Interval(min(self.low, other.low), max(self.high, other.high), self.step)

    def sampled(self, reads: np.ndarray) -> Interval:
        """Where positions mix others: `reads[i, j]` tells whether position `i` reads position `j`."""
        if self.whole or not reads.any(1).all():
            return WHOLE
        stride = reads.shape[1] / reads.shape[0]
        at = np.arange(len(reads)) * stride
        first, last = reads.argmax(1) - at, reads.shape[1] - 1 - reads[:, ::-1].argmax(1) - at
        if last.max() - first.min() >= reads.shape[1]:
            return WHOLE
        return Interval(self.low + first.min() * self.step, self.high + last.max() * self.step, self.step * stride)


WHOLE = Interval(0.0, 0.0, 0.0, whole=True)
Field = tuple[Interval, Interval]
PIXEL: Field = (Interval(0.0, 0.0, 1.0), Interval(0.0, 0.0, 1.0))


def record(field: Field, input_size: Sequence[int]) -> ReceptiveField:
    """A field as the graph keeps it; `input_size` is the image's `(h, w)`."""
    axes = [(size, 0.0, 0.0) if interval.whole else _pixels(interval) for interval, size in zip(field, input_size, strict=True)]
    return ReceptiveField(
        size=(axes[0][0], axes[1][0]),
        stride=(axes[0][1], axes[1][1]),
        first=(axes[0][2], axes[1][2]),
        whole=any(interval.whole for interval in field),
    )


def _pixels(interval: Interval) -> tuple[int, float, float]:
    """Size, stride and first pixel. Upsampled maps lie between pixels: as many as fit, in the middle."""
    length = interval.high - interval.low
    whole = math.floor(length + 1e-6)
    return whole + 1, interval.step, interval.low + (length - whole if length - whole > 1e-6 else 0.0) / 2


def join(fields: Sequence[Field]) -> Field:
    first, *rest = fields
    for other in rest:
        first = (first[0].hull(other[0]), first[1].hull(other[1]))
    return first


def through(
    equation: Equation, program: Program, fields: Mapping[Slot, Field], axes: Mapping[Slot, Axes | None], now: Axes | None
) -> Field:
    """The field of `equation`'s outputs, whose axes are `now`, from those of its image-dependent inputs (keys of `fields`)."""
    active = [slot for slot in equation.slots if slot in fields]
    field, params, before = join([fields[slot] for slot in active]), equation.params, axes[active[0]]
    if equation.op in ops.ELEMENTWISE or equation.op in UNMOVED:
        return field
    if before is None or now is None:
        return (WHOLE, WHOLE)
    places = [[number for number, axis in enumerate(before) if label in labels(axis)] for label in "hw"]
    windows = _windows(equation, program)
    if windows:
        return tuple(
            interval if all(windows[a] == STILL for a in at) else interval.window(*windows[at[0]]) if len(at) == 1 else WHOLE
            for interval, at in zip(field, places, strict=True)
        )
    if equation.op == "dot_general":
        contracted = params["dimension_numbers"][0][_side(equation, fields)]
        if len(active) == 1 and len(contracted) == 1 and len(before[contracted[0]]) == 1:
            reads = _matrix(equation, program, fields)
            if reads is not None:
                return tuple(i.sampled(reads) if at == list(contracted) else i for i, at in zip(field, places, strict=True))
        sums = contracted if len(active) == 1 else range(len(before))  # attention sees everything
        return _mixed(field, before, sums)
    for key in MIXED:
        if key in params:
            return _mixed(field, before, params[key] if isinstance(params[key], tuple) else [params[key]])
    if equation.op == "gather":
        taken = list(params["dimension_numbers"].collapsed_slice_dims)
        reads = _gathered(equation, program, taken[0]) if len(taken) == 1 else None
        if reads is not None:
            return tuple(i.sampled(reads) if at == taken else i for i, at in zip(field, places, strict=True))
        return _mixed(field, before, taken)
    return (WHOLE, WHOLE)


#: Operations that leave every value where it is, or whose axes tell where it went.
UNMOVED = frozenset({"reshape", "transpose", "squeeze", "broadcast_in_dim", "optimization_barrier", "expand_dims"})

#: Under what names primitives that mix the positions of an axis say which one.
MIXED = ("axes", "axis", "dimension", "dimensions")

Window = tuple[int, int, int, int, int]  # size, stride, dilation, padding, spread
STILL: Window = (1, 1, 1, 0, 1)


def _windows(equation: Equation, program: Program) -> Sequence[Window] | None:
    """How the operation slides along each axis of its first input; None if it does not."""
    params = equation.params
    if equation.op == "conv_general_dilated":
        _, _, *spatial = params["dimension_numbers"].lhs_spec
        _, _, *kernel = params["dimension_numbers"].rhs_spec
        shape = program.shape(equation.inputs[1])
        windows = [STILL] * len(shape)
        for number, axis in enumerate(spatial):
            windows[axis] = (
                shape[kernel[number]],
                params["window_strides"][number],
                params["rhs_dilation"][number],
                params["padding"][number][0],
                params["lhs_dilation"][number],
            )
        return windows
    if equation.op.startswith("reduce_window"):
        pads = [low for low, _ in params["padding"]]
        names = ("window_dimensions", "window_strides", "window_dilation")
        return list(zip(*(params[name] for name in names), pads, params["base_dilation"], strict=True))
    if equation.op == "pad":
        return [(1, 1, 1, low, inner + 1) for low, _, inner in params["padding_config"]]
    if equation.op == "slice":
        strides = params["strides"] or (1,) * len(params["start_indices"])
        return [(1, stride, 1, -start, 1) for stride, start in zip(strides, params["start_indices"], strict=True)]
    return None


def _mixed(field: Field, before: Axes, mixed: Iterable[int]) -> Field:
    """Sees all of rows or columns where they, or the outermost part of them, are mixed; blocks of them stay where they are."""
    parts = [factor for axis in mixed for factor in before[axis]]
    whole = {part.label for part in parts if part.stride * part.size == extent(before, part.label)}
    return tuple(WHOLE if label in whole else interval for interval, label in zip(field, "hw", strict=True))


def _side(equation: Equation, active: Collection[Slot]) -> int:
    """Which operand of a product depends on the image, the first one if both do."""
    first = equation.inputs[0]
    return 0 if isinstance(first, int) and first in active else 1


def _matrix(equation: Equation, program: Program, active: Collection[Slot]) -> np.ndarray | None:
    """Which positions a matrix of constants, such as resizing is made of, reads for each new one."""
    side = 1 - _side(equation, active)
    value = known(program, equation.inputs[side])
    if value is None or value.ndim != 2:
        return None
    return (value if equation.params["dimension_numbers"][0][side] == (1,) else value.T) != 0


def _gathered(equation: Equation, program: Program, axis: int) -> np.ndarray | None:
    """Which positions along `axis` each new one is taken from, where that does not depend on the image."""
    operand, indices = equation.inputs
    where = known(program, indices)
    if where is None:
        return None
    shape = program.shape(operand)
    along = np.arange(shape[axis], dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    found = np.asarray(equation.run(np.broadcast_to(along, shape), where)[0])
    line = np.moveaxis(found, axis, 0).reshape(found.shape[axis], -1)[:, 0]
    return line[:, None] == np.arange(shape[axis])


def rearranged(field: Field, axes: Axes, layout: Layout) -> Field:
    """The field along the rows and columns of a map that was put together anew (pixel shuffle, space to depth)."""
    return tuple(
        _repacked(interval, axes[axis], extent(axes, label))
        for interval, axis, label in zip(field, layout[1:3], "hw", strict=True)
    )


def _repacked(interval: Interval, axis: Axis, size: int) -> Interval:
    """A row of the new map is a block of rows of the old one, or every row was divided among several."""
    if interval.whole or not axis:
        return interval
    first, *rest = axis
    if first.stride * first.size != size or any(factor.label not in ("c", COPIES) for factor in rest):
        return WHOLE
    block, parts = first.stride, math.prod(factor.size for factor in rest)
    wide = interval.window(block, block, 1, 0)
    return Interval(wide.low - wide.step * (parts - 1) / parts, wide.high, wide.step / parts)
