"""What was measured of a stage, pooled over the units of its layers, and the small drawings that show it.

Drawings are SVG path data within -1 ... 1 on both axes, y downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import cos, pi, sin, sqrt
from statistics import fmean, median

from generator.network.graph import Layer
from generator.records import Record, Responses, Tuning

NUM_ANGLES = 12
NUM_HUES = 12
NUM_BARS = 10
#: Activations whose sign says nothing.
ONE_SIGN = frozenset({"softmax", "log-softmax", "sigmoid", "softplus"})
#: Where a hue ring's petals begin, of the radius.
HOLE = 0.36
#: Between two petals, degrees.
GAP_DEG = 3.0


class Spread(Record):
    """A distribution of numbers in 0-1. shares: of the units in `NUM_BARS` equal bins, summing to 1."""

    shares: tuple[float, ...]
    median: float


class Rose(Record):
    """Preferences around a circle. strengths: summed selectivity of the units that prefer each direction, over the number of
    all units measured; bin 0 is centred on 0 degrees. mean: selectivity of a unit, the sum of `strengths`.
    """

    strengths: tuple[float, ...]
    mean: float


class StageStatistics(Record):
    """None where nothing was measured. silent: share of positions at which a unit behind a non-linearity is not above 0,
    mean over units, 0-1. orientation: over 180 degrees; hue: over 360.
    """

    silent: float | None
    selectivity: Spread | None
    orientation: Rose | None
    hue: Rose | None


def stage_statistics(
    layers: Sequence[Layer], responses: Mapping[str, Responses], tuning: Mapping[str, Tuning]
) -> StageStatistics:
    """Every unit of every layer counts alike. Silence is told of layers with a non-linearity alone: without one, half of all
    answers being negative says nothing.
    """
    answers = [responses[layer.name] for layer in layers if layer.name in responses]
    rectified = [layer.name for layer in layers if layer.activation and layer.activation not in ONE_SIGN]
    tuned = [tuning[layer.name] for layer in layers if layer.name in tuning]
    active = [share for name in rectified if name in responses for share in responses[name].active]
    return StageStatistics(
        silent=1 - fmean(active) if active else None,
        selectivity=spread([index for r in answers for index in r.selectivity or ()]),
        orientation=rose(((t.orientation, t.angle_deg) for t in tuned), NUM_ANGLES, 180),
        hue=rose(((t.colour, t.hue_deg) for t in tuned if t.colour and t.hue_deg), NUM_HUES, 360),
    )


def spread(values: Sequence[float]) -> Spread | None:
    """The distribution of numbers in 0-1; 1 belongs to the last bin."""
    if not values:
        return None
    counts = [0] * NUM_BARS
    for value in values:
        counts[min(int(value * NUM_BARS), NUM_BARS - 1)] += 1
    return Spread(shares=tuple(count / len(values) for count in counts), median=median(values))


def rose(
    measured: Iterable[tuple[Sequence[float | None], Sequence[float | None]]], num_bins: int, period_deg: float
) -> Rose | None:
    """measured: for each layer, selectivities and preferred directions of its units; None where a unit answers to nothing."""
    pairs = [
        (selectivity, angle)
        for selectivities, angles in measured
        for selectivity, angle in zip(selectivities, angles, strict=True)
        if selectivity is not None and angle is not None
    ]
    if not pairs:
        return None
    sums = [0.0] * num_bins
    for selectivity, angle in pairs:
        sums[round(angle * num_bins / period_deg) % num_bins] += selectivity
    strengths = tuple(total / len(pairs) for total in sums)
    return Rose(strengths=strengths, mean=sum(strengths))


def orientation_petals(found: Rose, largest: float) -> str:
    """One path for the whole rose, counter-clockwise from the right as stripes are; each direction points both ways.

    A petal's area is its strength over `largest`.
    """
    step = 180 / NUM_ANGLES
    return "".join(
        _sector(180 * half + step * place, step - GAP_DEG, 0, sqrt(strength / largest))
        for half in (0, 1)
        for place, strength in enumerate(found.strengths)
        if strength > 0 and largest > 0
    )


def hue_petals(found: Rose, largest: float) -> tuple[tuple[int, str], ...]:
    """Hue in degrees and path of each petal around a hole, red at the top, clockwise; area as strength over `largest`."""
    step = 360 / NUM_HUES
    return tuple(
        (
            round(step * place),
            _sector(90 - step * place, step - GAP_DEG, HOLE, sqrt(HOLE**2 + (1 - HOLE**2) * strength / largest)),
        )
        for place, strength in enumerate(found.strengths)
        if strength > 0 and largest > 0
    )


def _sector(centre_deg: float, width_deg: float, inner: float, outer: float) -> str:
    """The part of a ring around `centre_deg`, counter-clockwise from the right."""
    first, last = (pi * (centre_deg + side * width_deg / 2) / 180 for side in (-1, 1))
    there = f"{_point(first, outer)}A{_short(outer)} {_short(outer)} 0 0 0 {_point(last, outer)}"
    if not inner:
        return f"M0 0L{there}Z"
    return f"M{there}L{_point(last, inner)}A{_short(inner)} {_short(inner)} 0 0 1 {_point(first, inner)}Z"


def _point(angle: float, radius: float) -> str:
    return f"{_short(radius * cos(angle))} {_short(-radius * sin(angle))}"


def _short(value: float) -> str:
    return f"{round(value, 3) or 0:g}"
