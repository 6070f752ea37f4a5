"""Numbers of every feature map of a layer in one pass: extremes, mean, share of zeros, and what is odd about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from generator.records import UnitStatistics

#: Numbers worked on at a time stay in a core's cache; counts of zeros in at most 255 rows fit uint8.
BLOCK, BLOCK_ROWS = 1 << 16, 255

#: Narrower layers are worked on several positions to a row, since short rows take longer for each number.
ROW_LENGTH = 1024


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
            minimum=finite_numbers(self.minimum),
            maximum=finite_numbers(self.maximum),
            mean=finite_numbers(self.mean),
            zero_fraction=np.round(self.zero_fraction, 4).tolist(),
            state=self.states,
        )


def measure(maps: np.ndarray) -> MapStatistics:
    """Statistics of `maps` `(h, w, c)`, float16 or float32; computed in float32, sums of blocks in float64."""
    height, width, num_units = maps.shape
    flat = np.ascontiguousarray(maps).reshape(height * width, num_units)
    low = np.full(num_units, np.inf, np.float32)
    high = np.full(num_units, -np.inf, np.float32)
    total = np.zeros(num_units, np.float64)
    zeros = np.zeros(num_units, np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        for block in _blocks(flat):
            shape = (-1, num_units)
            np.minimum(low, block.min(axis=0).reshape(shape).min(axis=0), out=low)
            np.maximum(high, block.max(axis=0).reshape(shape).max(axis=0), out=high)
            total += block.sum(axis=0).reshape(shape).sum(axis=0, dtype=np.float64)
            zeros += (block == 0).view(np.uint8).sum(axis=0, dtype=np.uint8).reshape(shape).sum(axis=0, dtype=np.int64)

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


def _blocks(flat: np.ndarray) -> Iterator[np.ndarray]:
    """`flat` `(positions, c)` in parts, float32 `(rows, k * c)` with k positions to a row."""
    positions, num_units = flat.shape
    abreast = max(1, min(positions, ROW_LENGTH // num_units))
    whole = positions - positions % abreast
    rows = max(1, min(BLOCK_ROWS, BLOCK // (abreast * num_units)))
    wide = flat[:whole].reshape(-1, abreast * num_units)
    for start in range(0, len(wide), rows):
        yield wide[start : start + rows].astype(np.float32, copy=False)
    if whole < positions:
        yield flat[whole:].astype(np.float32, copy=False).reshape(1, -1)


def finite_numbers(numbers: np.ndarray) -> list[float | None]:
    """Each of `numbers` `(c,)` as `finite_or_none` gives it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.floor(np.log10(np.abs(numbers)))
    # Powers of ten up to 22 are exact, so the quotient is the number nearest to the six digits.
    plain = (exponent <= 5) & (exponent >= -17)
    power = 10.0 ** (5 - np.where(plain, exponent, 5))
    rounded = (np.rint(np.where(plain, numbers, 0.0) * power) / power).tolist()
    for unit in np.flatnonzero(~plain & (numbers != 0)).tolist():
        rounded[unit] = finite_or_none(float(numbers[unit]))
    return rounded


def finite_or_none(number: float) -> float | None:
    """`number` to 6 significant digits for JSON, None for NaN and infinity."""
    return float(f"{number:.6g}") if math.isfinite(number) else None
