"""Receptive fields of every value of a program, analytically (Araujo, Norris, Sim 2019, Distill).

A value's field along one spatial axis is an affine interval: position `i` sees the input pixels `low + i * step` to
`high + i * step`. Windows widen it, strides multiply the step, joins take the hull; a reduction over the axis makes it the
whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.network.graph import ReceptiveField
from generator.network.program import Equation, Program, Slot

Layout = tuple[int, ...]  # which axis of a value is n, h, w, c


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
        if self.whole or other.whole or self.step != other.step:
            return self if self.whole else Interval(other.low, other.high, 0.0, whole=True) if other.whole else WHOLE
        return Interval(min(self.low, other.low), max(self.high, other.high), self.step)


WHOLE = Interval(0.0, 0.0, 0.0, whole=True)
Field = tuple[Interval, Interval]
PIXEL: Field = (Interval(0.0, 0.0, 1.0), Interval(0.0, 0.0, 1.0))


def record(field: Field, input_size: Sequence[int]) -> ReceptiveField:
    """A field as the graph keeps it; `input_size` is the image's `(h, w)`."""
    axes = [
        (size, 0.0, 0.0) if interval.whole else (round(interval.high - interval.low) + 1, interval.step, interval.low)
        for interval, size in zip(field, input_size, strict=True)
    ]
    return ReceptiveField(
        size=(axes[0][0], axes[1][0]),
        stride=(axes[0][1], axes[1][1]),
        first=(axes[0][2], axes[1][2]),
        whole=any(interval.whole for interval in field),
    )


def join(fields: Sequence[Field]) -> Field:
    first, *rest = fields
    for other in rest:
        first = (first[0].hull(other[0]), first[1].hull(other[1]))
    return first


def through(equation: Equation, program: Program, fields: dict[Slot, Field], layouts: dict[Slot, Layout | None]) -> Field:
    """The field of `equation`'s outputs, from those of its image-dependent inputs (the keys of `fields`)."""
    active = [slot for slot in equation.slots if slot in fields]
    field = join([fields[slot] for slot in active])
    layout = layouts.get(active[0])
    params = equation.params
    if layout is None or len(layout) != 4:
        return field
    spatial = layout[1:3]
    match equation.op:
        case "conv_general_dilated":
            lhs, rhs = params["dimension_numbers"].lhs_spec[2:], params["dimension_numbers"].rhs_spec[2:]
            kernel = program.shape(equation.inputs[1])
            order = [lhs.index(axis) for axis in spatial]
            return tuple(
                interval.window(
                    kernel[rhs[i]],
                    params["window_strides"][i],
                    params["rhs_dilation"][i],
                    params["padding"][i][0],
                    params["lhs_dilation"][i],
                )
                for interval, i in zip(field, order, strict=True)
            )
        case "reduce_window_max" | "reduce_window_sum" | "reduce_window_min" | "reduce_window":
            return tuple(
                interval.window(
                    params["window_dimensions"][a],
                    params["window_strides"][a],
                    params["window_dilation"][a],
                    params["padding"][a][0],
                )
                for interval, a in zip(field, spatial, strict=True)
            )
        case "pad":
            shifted = []
            for interval, axis in zip(field, spatial, strict=True):
                low, _, inner = params["padding_config"][axis]
                shifted.append(interval.window(1, 1, 1, low, inner + 1))
            return tuple(shifted)
        case "slice":
            strides = params["strides"] or (1,) * len(layout)
            return tuple(
                interval.window(1, strides[a], 1, -params["start_indices"][a])
                for interval, a in zip(field, spatial, strict=True)
            )
        case "rev" if set(params["dimensions"]) & set(spatial):
            return (WHOLE, WHOLE)
        case "reduce_sum" | "reduce_max" | "reduce_min" | "reduce_prod" | "argmax":
            return tuple(WHOLE if a in params["axes"] else interval for interval, a in zip(field, spatial, strict=True))
        case "reshape" | "dot_general" | "gather" | "sort" | "cumsum" | "scan" | "while" | "cond":
            before, after = (program.shapes[active[0]][a] for a in spatial), program.shapes[equation.outputs[0]]
            keeps = equation.op == "dot_general" or (len(after) >= 3 and tuple(before) == tuple(after[1:3]))
            return field if keeps else (WHOLE, WHOLE)
    return field
