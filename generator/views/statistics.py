"""Numbers of every feature map of a layer in one pass: extremes, mean, share of zeros, and what is odd about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from generator.records import UnitStatistics

#: Positions worked on at a time; counts of zeros in a block then fit uint8.
BLOCK = 255


@dataclass(frozen=True)
class MapStatistics:
    """Float64 arrays `(c,)` over the positions of each map.

    minimum, maximum, mean: NaN or infinite where the map holds such values. lowest, highest: of the finite values only, 0 where
    there is none. zero_fraction: share of exact zeros. states: as in `records.UnitStatistics`; a map of one position is never
    `constant`. signed: whether a negative value occurs anywhere in the layer.
    """

    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    zero_fraction: np.ndarray
    states: list[str]
    signed: bool

    def record(self) -> UnitStatistics:
        return UnitStatistics(
            minimum=[finite_or_none(x) for x in self.minimum.tolist()],
            maximum=[finite_or_none(x) for x in self.maximum.tolist()],
            mean=[finite_or_none(x) for x in self.mean.tolist()],
            zero_fraction=[round(x, 4) for x in self.zero_fraction.tolist()],
            state=self.states,
        )


def measure(maps: np.ndarray) -> MapStatistics:
    """Statistics of `maps` `(h, w, c)`, float16 or float32; computed in float32, sums of blocks in float64."""
    height, width, num_units = maps.shape
    flat = maps.reshape(height * width, num_units)
    low = np.full(num_units, np.inf, np.float32)
    high = np.full(num_units, -np.inf, np.float32)
    total = np.zeros(num_units, np.float64)
    zeros = np.zeros(num_units, np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(flat), BLOCK):
            block = flat[start : start + BLOCK].astype(np.float32)
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
            total += block.sum(axis=0)
            zeros += (block == 0).view(np.uint8).sum(axis=0, dtype=np.uint8)

        signed = bool((low < 0).any())
        lowest, highest = low.astype(np.float64), high.astype(np.float64)
        mean = total / len(flat)
        for unit in np.flatnonzero(~np.isfinite(total) | ~np.isfinite(low) | ~np.isfinite(high)):
            values = flat[:, unit].astype(np.float64)
            mean[unit] = values.mean()
            signed |= bool((values < 0).any())
            finite = values[np.isfinite(values)]
            lowest[unit], highest[unit] = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)

    states = np.full(num_units, "ok", object)
    if len(flat) > 1:
        states[low == high] = "constant"
    states[zeros == len(flat)] = "zero"
    states[np.isinf(low) | np.isinf(high)] = "infinite"
    states[np.isnan(low)] = "nan"
    return MapStatistics(
        low.astype(np.float64), high.astype(np.float64), mean, lowest, highest, zeros / len(flat), states.tolist(), signed
    )


def finite_or_none(number: float) -> float | None:
    """`number` to 6 significant digits for JSON, None for NaN and infinity."""
    return float(f"{number:.6g}") if math.isfinite(number) else None
