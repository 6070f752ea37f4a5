"""Classes: how well a network tells each of them, which units are selective for it, and which units tell two of them apart.

Of each image a unit's answer is its largest value, as in a census (`network.census`); means and spreads of the answers to each
class are all that is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from generator.records import MOST_TABLED, Classes, ClassFindings, ClassUnit, Comparison, Measured, UnitEffect
from generator.views.effects import NORMAL_95, adjusted, hedges, welch, wilson
from generator.views.responses import selectivity
from generator.views.statistics import finite_or_none

#: A unit is a class's own above this selectivity: it answers to the class more than three times as strongly as to others.
OWN_FROM = 0.5

#: Adjusted p below which a difference is called significant.
SIGNIFICANT = 0.05

#: Misnamed images kept of a class.
NUM_MISSES = 12


@dataclass(frozen=True)
class _Units:
    """Units of all layers, `u` of them. places: layer and number. means, std: `(k, u)`, of the answers to each class, NaN where
    it has too few images.

    others: `(u,)`, mean of the other classes' means. best: `(u,)`, -1 where no class stands out by more than chance.
    """

    places: list[tuple[str, int]]
    means: NDArray[np.float64]
    std: NDArray[np.float64]
    selectivity: NDArray[np.float64]
    best: NDArray[np.int64]
    others: NDArray[np.float64]


def compare(
    measured: Measured,
    labels: Sequence[str],
    layers: Mapping[str, Mapping[str, np.ndarray]],
    named: Mapping[str, np.ndarray],
    *,
    outputs: Collection[str],
    num_units: int = 12,
    num_pairs: int = 45,
    own_from: float = OWN_FROM,
) -> Classes:
    """What `k` classes are to a network.

    layers: arrays of `network.census.LayerCensus`, by layer, in order. named: those of `network.census.Named`. outputs: layers
    whose units are the classes themselves; they, and layers that answer exactly as an earlier one, have no part in what is said
    of units. num_units: named for each class and each pair. num_pairs: compared at most, the most confused, of classes with two
    images or more. own_from: selectivity of a class's own units.

    A unit is named for its best class only if it answers to it more than to the others by more than 1.96 standard errors of its
    mean: one that answers to a single image of thousands is as selective as can be. p are adjusted over all units that vary.
    Of misnamed and swapped images, the first of each cell of the confusion matrix come before the second ones.
    Raises ValueError where arrays are not those of `k` classes.
    """
    confusion, examples = named["confusion"], named["examples"]
    shapes = {confusion.shape, *(2 * arrays["class_means"].shape[:1] for arrays in layers.values())}
    if shapes != {(len(labels), len(labels))}:
        raise ValueError(f"arrays of {len(labels)} classes expected, not {sorted(shapes)}")
    units = _units({layer: arrays for layer, arrays in layers.items() if layer not in outputs}, len(labels))
    right, total = int(confusion.trace()), int(confusion.sum())
    low, high = wilson(right, total)
    tabled = layers if len(labels) <= MOST_TABLED else ()
    return Classes(
        measured=measured,
        labels=tuple(labels),
        accuracy=right / max(1, total),
        low=float(np.nan_to_num(low, nan=0.0)),
        high=float(np.nan_to_num(high, nan=1.0)),
        confusion=confusion.tolist(),
        layer_selectivity={layer: round(float(selectivity(_means(arrays).T).mean()), 6) for layer, arrays in layers.items()},
        classes=[_class(index, name, confusion, examples, units, num_units, own_from) for index, name in enumerate(labels)],
        comparisons=[
            _comparison(first, second, confusion, examples, units, num_units) for first, second in _pairs(confusion, num_pairs)
        ],
        own_from=own_from,
        significant_to=SIGNIFICANT,
        selectivity={layer: np.round(selectivity(_means(layers[layer]).T), 6).tolist() for layer in tabled},
        means={layer: _table(layers[layer]) for layer in tabled},
    )


def _table(arrays: Mapping[str, np.ndarray]) -> tuple[tuple[float | None, ...], ...]:
    """The mean of each unit's answers to each class, None for one without images."""
    return tuple(tuple(finite_or_none(mean) for mean in row) for row in _means(arrays).T.tolist())


def _means(arrays: Mapping[str, np.ndarray]) -> NDArray[np.float64]:
    """`(k, u)`, NaN for classes without images and means that do not exist."""
    means = arrays["class_means"].astype(np.float64)
    return np.where((arrays["class_sizes"][:, None] > 0) & np.isfinite(means), means, np.nan)


def _best(means: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class with the largest mean, `(u,)`; -1 where none is above zero."""
    positive = np.where(means > 0, means, 0.0)
    return np.where((positive > 0).any(axis=0), positive.argmax(axis=0), -1)


def _units(layers: Mapping[str, Mapping[str, np.ndarray]], num_classes: int) -> _Units:
    seen, places = set(), []
    means, std, errors = ([np.zeros((num_classes, 0))] for _ in range(3))
    for layer, arrays in layers.items():
        # The largest value of a map is that of the pooled map: the same units once more.
        content = arrays["class_means"].tobytes() + arrays["class_squares"].tobytes()
        if content in seen:
            continue
        seen.add(content)
        places += [(layer, unit) for unit in range(arrays["class_means"].shape[1])]
        means.append(_means(arrays))
        std.append(_std(arrays, means[-1]))
        errors.append(std[-1] / np.sqrt(np.maximum(arrays["class_sizes"][:, None], 1)))
    means, std, errors = (np.concatenate(found, axis=1) for found in (means, std, errors))
    known, best, columns = np.isfinite(means), _best(means), np.arange(len(places))
    peak = means[best, columns]
    others = (np.where(known, means, 0).sum(axis=0) - peak) / np.maximum(known.sum(axis=0) - 1, 1)
    stands_out = (best >= 0) & (known.sum(axis=0) > 1) & (peak - NORMAL_95 * errors[best, columns] > others)
    return _Units(places, means, std, selectivity(means.T), np.where(stands_out, best, -1), others)


def _std(arrays: Mapping[str, np.ndarray], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(k, u)`, of `n - 1`, NaN for classes of fewer than two images."""
    sizes = arrays["class_sizes"][:, None]
    std = np.sqrt(np.where((sizes > 1) & np.isfinite(means), arrays["class_squares"] / np.maximum(sizes - 1, 1), np.nan))
    # What varies by less than rounding of its own mean does not vary.
    return np.where(np.isfinite(std), np.where(std > 1e-6 * np.abs(means), std, 0.0), np.nan)


def _class(
    index: int, name: str, confusion: np.ndarray, examples: np.ndarray, units: _Units, num_units: int, own_from: float
) -> ClassFindings:
    right, size, called = int(confusion[index, index]), int(confusion[index].sum()), int(confusion[:, index].sum())
    low, high = wilson(right, size)
    own = np.flatnonzero(units.best == index)
    order = own[np.argsort(-units.selectivity[own], kind="stable")][:num_units].tolist()
    # Confidence is not kept across cells: the images of the most frequent mistakes come first.
    mistakes = [other for other in np.argsort(-confusion[index], kind="stable").tolist() if other != index]
    return ClassFindings(
        index=index,
        name=name,
        num_images=size,
        recall=right / size if size else None,
        low=float(low) if size else None,
        high=float(high) if size else None,
        precision=right / called if called else None,
        own=int((units.selectivity[own] > own_from).sum()),
        units=[
            ClassUnit(
                layer=units.places[unit][0],
                unit=units.places[unit][1],
                selectivity=round(float(units.selectivity[unit]), 6),
                mean=finite_or_none(float(units.means[index, unit])),
                others=finite_or_none(float(units.others[unit])),
            )
            for unit in order
        ],
        hits=[number for number in examples[index, index].tolist() if number >= 0],
        misses=islice(_by_turns([examples[index, other] for other in mistakes]), NUM_MISSES),
    )


def _pairs(confusion: np.ndarray, num_pairs: int) -> list[tuple[int, int]]:
    enough = np.flatnonzero(confusion.sum(axis=1) > 1)
    first, second = (enough[places] for places in np.triu_indices(len(enough), 1))
    order = np.argsort(-(confusion[first, second] + confusion[second, first]), kind="stable")[:num_pairs]
    return list(zip(first[order].tolist(), second[order].tolist(), strict=True))


def _comparison(
    first: int, second: int, confusion: np.ndarray, examples: np.ndarray, units: _Units, num_units: int
) -> Comparison:
    sizes = confusion.sum(axis=1)
    groups = [(units.means[index], units.std[index], sizes[index]) for index in (first, second)]
    effect, low, high = hedges(*groups[0], *groups[1])
    tested = np.isfinite(low)
    p = adjusted(np.where(tested, welch(*groups[0], *groups[1]), np.nan))
    order = np.argsort(np.where(tested, -np.abs(effect), np.inf), kind="stable")[: min(num_units, int(tested.sum()))]
    cells = [examples[first, second], examples[second, first]]
    return Comparison(
        first=first,
        second=second,
        first_as_second=int(confusion[first, second]),
        second_as_first=int(confusion[second, first]),
        num_tested=int(tested.sum()),
        num_significant=int((p < SIGNIFICANT).sum()),
        units=[
            UnitEffect(
                layer=units.places[unit][0],
                unit=units.places[unit][1],
                mean_first=finite_or_none(float(groups[0][0][unit])),
                mean_second=finite_or_none(float(groups[1][0][unit])),
                effect=finite_or_none(float(effect[unit])),
                low=finite_or_none(float(low[unit])),
                high=finite_or_none(float(high[unit])),
                p=finite_or_none(float(p[unit])),
            )
            for unit in order.tolist()
        ],
        swapped=_by_turns(cells),
    )


def _by_turns(cells: Sequence[np.ndarray]) -> chain[int]:
    """The first image of each cell, then the second ones; -1 are none."""
    turns = zip_longest(*(cell.tolist() for cell in cells), fillvalue=-1)
    return (number for turn in turns for number in turn if number >= 0)
