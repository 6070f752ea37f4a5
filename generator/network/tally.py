"""Running totals of a survey: each image's largest activations come in by the batch, in order, and are let go.

Memory grows with the number of units, not of images. A unit's answer to an image is its largest activation there. Answers that
are no finite number are no exemplars and fall into no bin; mean, std and extremes of such a unit are not finite either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

#: Images whose answers are all kept, to find quantiles: the standard error of a quartile is 2.7 % of images.
SAMPLE = 256

#: Bins of a histogram: at most. Their width is a power of two, so at least half as many are used.
NUM_BINS = 32
#: Narrowest bin, as a power of two below the largest magnitude.
FINEST = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Picks:
    """How many images are kept of each unit: most exciting, least, and at equally spaced quantiles in between."""

    highest: int
    lowest: int
    spread: int

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Of `spread`, without the ends, which the others show: 0.25, 0.5, 0.75 for three."""
        return tuple((i + 1) / (self.spread + 1) for i in range(self.spread))


@dataclass(frozen=True)
class LayerSurvey:
    """What a dataset does to the `u` units of a layer; arrays alone, so that `arrays()` keeps all of it.

    picked: int32 (3,), `Picks`. images int32, values float32 `(t, u)`, highest, lowest and spread picks below each other in
    the order of `records.UnitExemplars`: the image, and the unit's largest activation on it. Of equal ones the first image
    counts. images is -1 where there are fewer images than picks. Spread is taken from all images, or from `SAMPLE` of them
    chosen by hash.
    mean, std, minimum, maximum, active float64 `(u,)`, as in `records.Responses`. edges float64 `(b + 1,)`, multiples of one
    power of two, with counts int64 `(u, b)`: bin `i` holds `edges[i] <= answer < edges[i + 1]`.
    class_means: float32 `(u, num_classes)`, NaN for a class without images. num_images: int64 ().
    """

    picked: NDArray[np.int32]
    images: NDArray[np.int32]
    values: NDArray[np.float32]
    mean: Floats
    std: Floats
    minimum: Floats
    maximum: Floats
    active: Floats
    edges: Floats
    counts: NDArray[np.int64]
    class_means: NDArray[np.float32]
    num_images: NDArray[np.int64]

    @property
    def picks(self) -> Picks:
        return Picks(*self.picked.tolist())

    def arrays(self) -> dict[str, np.ndarray]:
        """By name; `LayerSurvey(**arrays)` makes it again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Tally:
    """Totals for the units of all layers side by side.

    widths: units of each layer. num_positions: of its map. labels: each image's class.
    """

    def __init__(
        self,
        widths: Sequence[int],
        num_positions: Sequence[int],
        num_images: int,
        picks: Picks,
        labels: Sequence[int] | None = None,
        num_classes: int = 0,
    ):
        self._ends = np.cumsum([0, *widths])
        self._num_positions = np.repeat(np.array(num_positions, np.float64), widths)
        self._num_images, self._picks, self._labels = num_images, picks, labels
        num_units = int(self._ends[-1])
        self._highest, self._lowest = _Extremes(picks.highest, num_units, 1), _Extremes(picks.lowest, num_units, -1)
        self._sample = _Sample(num_images if picks.spread else 0, num_units)
        self._moments = _Moments(num_units)
        self._histogram = _Histogram(self._ends)
        self._positive = np.zeros(num_units, np.float64)
        self._class_sums = np.zeros((num_classes, num_units))
        self._class_sizes = np.zeros(num_classes, np.int64)

    def add(self, first: int, values: NDArray, positive: NDArray) -> None:
        """Count images `first ... first + n - 1`, as `survey.peaks` gives them: float32 and int32 `(n, all units)`."""
        finite = np.isfinite(values)
        self._highest.add(first, values, finite)
        self._lowest.add(first, values, finite)
        self._sample.add(first, values)
        exact = values.astype(np.float64)
        self._moments.add(exact)
        self._histogram.add(values, finite)
        self._positive += positive.sum(axis=0, dtype=np.float64)
        if self._labels is not None:
            for row, label in enumerate(self._labels[first : first + len(values)]):
                self._class_sums[label] += exact[row]
                self._class_sizes[label] += 1

    def layers(self) -> list[LayerSurvey]:
        parts = [self._highest.found(), self._lowest.found(), self._sample.found(self._picks.quantiles)]
        images, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        moments = self._moments
        with np.errstate(invalid="ignore", divide="ignore"):
            class_means = (self._class_sums / self._class_sizes[:, None]).T.astype(np.float32)
            std = np.sqrt(moments.squares / max(1, moments.count))
        active = self._positive / (self._num_positions * max(1, self._num_images))
        histograms = self._histogram.found()
        picked = np.array([self._picks.highest, self._picks.lowest, self._picks.spread], np.int32)
        return [
            LayerSurvey(
                picked=picked,
                images=images[:, a:b],
                values=values[:, a:b],
                mean=moments.mean[a:b],
                std=std[a:b],
                minimum=moments.minimum[a:b],
                maximum=moments.maximum[a:b],
                active=active[a:b],
                edges=edges,
                counts=counts,
                class_means=class_means[a:b],
                num_images=np.array(self._num_images, np.int64),
            )
            for a, b, (edges, counts) in zip(self._ends[:-1], self._ends[1:], histograms, strict=True)
        ]


class _Extremes:
    """The `number` highest (sign 1) or lowest (sign -1) answers of each unit, best first, of equal ones the first image's.

    Kept as keys: whole numbers that order like `(answer, -image)`, so that no two are equal and a partition finds the best.
    """

    NONE = np.iinfo(np.int64).min

    def __init__(self, number: int, num_units: int, sign: int):
        self._number, self._sign = number, np.float32(sign)
        self._keys = np.full((num_units, number), self.NONE)
        self._least = np.full(num_units, -np.inf, np.float32)

    def add(self, first: int, values: NDArray, finite: NDArray) -> None:
        if not self._number:
            return
        # Later images lose against equal ones: only units with an answer beyond the last one kept need a closer look.
        values = self._sign * values
        units = np.flatnonzero(((values > self._least) & finite).any(axis=0))
        if not len(units):
            return
        images = np.arange(first, first + len(values), dtype=np.int64)[:, None]
        keys = np.where(finite[:, units], (_ordered(values[:, units]) << 32) + (0xFFFFFFFF - images), self.NONE)
        both = np.concatenate([self._keys[units], keys.T], axis=1)
        kept = np.partition(both, -self._number, axis=1)[:, -self._number :]
        self._keys[units] = kept
        least = kept.min(axis=1)
        self._least[units] = np.where(least == self.NONE, -np.inf, _ordered_back(least >> 32))

    def found(self) -> tuple[NDArray, NDArray]:
        keys = np.sort(self._keys, axis=1)[:, ::-1].T
        known = keys != self.NONE
        values = self._sign * _ordered_back(keys >> 32)
        return np.where(known, 0xFFFFFFFF - (keys & 0xFFFFFFFF), -1).astype(np.int32), np.where(known, values, np.float32(0))


def _ordered(values: NDArray) -> NDArray[np.int64]:
    """Finite float32 as whole numbers in the same order, equal ones equal: bits, those of magnitudes turned over below zero."""
    bits = (values + np.float32(0)).view(np.int32)  # 0 for -0
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)


def _ordered_back(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    bits = numbers.astype(np.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


class _Sample:
    """All answers to at most `SAMPLE` images, chosen by a hash of their number: whatever order images come in."""

    def __init__(self, num_images: int, num_units: int):
        hashes = _mixed(np.arange(num_images, dtype=np.uint64))
        self._chosen = np.sort(np.argsort(hashes, kind="stable")[:SAMPLE])
        self._values = np.full((len(self._chosen), num_units), np.nan, np.float32)

    def add(self, first: int, values: NDArray) -> None:
        start, stop = np.searchsorted(self._chosen, (first, first + len(values)))
        self._values[start:stop] = values[self._chosen[start:stop] - first]

    def found(self, quantiles: Sequence[float]) -> tuple[NDArray, NDArray]:
        """The images whose answers have the ranks nearest to `quantiles`."""
        num_units = self._values.shape[1]
        if not len(self._chosen):
            nothing = np.full((len(quantiles), num_units), -1, np.int32)
            return nothing, np.zeros_like(nothing, np.float32)
        sortable = np.where(np.isfinite(self._values), self._values, np.inf)
        order = np.argsort(sortable, axis=0, kind="stable")
        num_finite = np.isfinite(self._values).sum(axis=0)
        ranks = np.rint(np.array(quantiles)[:, None] * (num_finite - 1)).clip(0).astype(np.int64)
        rows = np.take_along_axis(order, ranks, axis=0)
        known = num_finite > 0
        return (
            np.where(known, self._chosen[rows], -1).astype(np.int32),
            np.where(known, np.take_along_axis(self._values, rows, axis=0), 0).astype(np.float32),
        )


class _Moments:
    """Mean and sum of squared distances from it, by batches (Chan, Golub, LeVeque 1979), and extremes."""

    def __init__(self, num_units: int):
        self.count = 0
        self.mean, self.squares = np.zeros(num_units), np.zeros(num_units)
        self.minimum, self.maximum = np.full(num_units, np.inf), np.full(num_units, -np.inf)

    def add(self, values: Floats) -> None:
        with np.errstate(invalid="ignore"):
            number = len(values)
            mean = values.mean(axis=0)
            away = mean - self.mean
            total = self.count + number
            self.squares += ((values - mean) ** 2).sum(axis=0) + away**2 * (self.count * number / total)
            self.mean = self.mean + away * (number / total)
            self.count = total
            self.minimum = np.minimum(self.minimum, values.min(axis=0))
            self.maximum = np.maximum(self.maximum, values.max(axis=0))


class _Histogram:
    """Counts in bins as wide as a power of two, one width for each layer, which doubles when answers outgrow them.

    Bins lie at multiples of their width, so that two always make one of the doubled width: the result is the same as if the
    range had been known from the start.
    """

    def __init__(self, ends: NDArray[np.int64]):
        self._ends = ends
        widths = np.diff(ends)
        self._low, self._high = np.full(len(widths), np.inf), np.full(len(widths), -np.inf)
        self._exponents, self._firsts = np.zeros(len(widths), np.int64), np.zeros(len(widths), np.int64)
        self._layers = np.repeat(np.arange(len(widths)), widths)
        self._counts = np.zeros((int(ends[-1]), NUM_BINS), np.int64)
        self._rows = np.arange(int(ends[-1]), dtype=np.int32) * NUM_BINS

    def add(self, values: NDArray, finite: NDArray) -> None:
        low = np.minimum.reduceat(np.where(finite, values, np.inf).min(axis=0), self._ends[:-1])
        high = np.maximum.reduceat(np.where(finite, values, -np.inf).max(axis=0), self._ends[:-1])
        for layer in np.flatnonzero((low < self._low) | (high > self._high)):
            self._widen(layer, min(low[layer], self._low[layer]), max(high[layer], self._high[layer]))
        # Times a power of two, so exact; what comes of numbers that are not finite is not counted.
        with np.errstate(invalid="ignore"):
            bins = np.floor(values * np.ldexp(1.0, -self._exponents)[self._layers]) - self._firsts[self._layers]
            places = bins.astype(np.int32) + self._rows
        self._counts += np.bincount(places[finite], minlength=self._counts.size).reshape(self._counts.shape)

    def _widen(self, layer: int, low: float, high: float) -> None:
        exponent, first, _ = _bins(low, high)
        old = self._counts[self._ends[layer] : self._ends[layer + 1]]
        if np.isfinite(self._low[layer]):  # else nothing is counted yet
            places = ((np.arange(NUM_BINS) + self._firsts[layer]) >> (exponent - self._exponents[layer])) - first
            merged = np.zeros_like(old)
            for column, place in enumerate(places):
                if 0 <= place < NUM_BINS:
                    merged[:, place] += old[:, column]
            old[:] = merged
        self._low[layer], self._high[layer] = low, high
        self._exponents[layer], self._firsts[layer] = exponent, first

    def found(self) -> list[tuple[Floats, NDArray[np.int64]]]:
        """Edges and counts of each layer, without empty bins at the ends; one empty bin where nothing was counted."""
        histograms = []
        for layer, (a, b) in enumerate(zip(self._ends[:-1], self._ends[1:], strict=True)):
            if not np.isfinite(self._low[layer]):
                histograms.append((np.array([0.0, 1.0]), np.zeros((b - a, 1), np.int64)))
                continue
            exponent, first, number = _bins(self._low[layer], self._high[layer])
            edges = np.ldexp((first + np.arange(number + 1)).astype(np.float64), exponent)
            histograms.append((edges, self._counts[a:b, :number].copy()))
        return histograms


def _bins(low: float, high: float) -> tuple[int, int, int]:
    """`(exponent, first, number)`: the narrowest bins of width `2 ** exponent`, from `first * width`, that hold both ends."""
    exponent = int(np.frexp(max(abs(low), abs(high)))[1]) - FINEST
    while True:
        first, last = (int(np.floor(np.ldexp(end, -exponent))) for end in (low, high))
        if last - first < NUM_BINS:
            return exponent, first, last - first + 1
        exponent += 1


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each number (SplitMix64; Steele, Lea, Flood 2014); different numbers have different hashes."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
