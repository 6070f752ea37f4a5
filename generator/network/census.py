"""One pass of a dataset for findings: whether units ever answer, whether they answer alike, and how they answer to classes.

Maps are reduced inside the compiled function; what is kept grows with the number of units and classes, never of images. Means
and squares are merged batch by batch (Chan, Golub, LeVeque 1979), so that they equal those of all images at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import jax
import numpy as np
from numpy.typing import NDArray

from generator.network.execute import OUTPUT, Network, Tap, Tapped
from generator.network.survey import BATCH, Read, batches, peak
from generator.records import SAMPLED_GRID

#: Correlations from here on, of either sign, are kept.
PAIRS_FROM = 0.9

#: Images kept of each cell of the confusion matrix.
NUM_EXAMPLES = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerCensus:
    """What a dataset does to the `u` units of a layer.

    largest, smallest: `(u,)`, over all positions of all images, NaN where any is. fired: int64 `(u,)`, images with a positive
    value. std: `(u,)`, of the sampled values; pairs: int32 `(p, 2)`, first below second, with correlations `(p,)`, those of a
    magnitude of at least `PAIRS_FROM`, of units that vary. eigenvalues: `(u,)`, of the sampled values' covariance, falling.
    class_sizes: int64 `(k,)`; class_means, class_squares: `(k, u)`, of each image's largest value, mean and sum of squared
    distances from it.
    """

    largest: Floats
    smallest: Floats
    fired: NDArray[np.int64]
    std: Floats
    pairs: NDArray[np.int32]
    correlations: Floats
    eigenvalues: Floats
    class_sizes: NDArray[np.int64]
    class_means: Floats
    class_squares: Floats

    def arrays(self) -> dict[str, np.ndarray]:
        """By name; `LayerCensus(**arrays)` makes it again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Named:
    """What the network names the images of each class. confusion: int64 `(k, k)`, a row for each class.

    examples: int32 `(k, k, NUM_EXAMPLES)`, images of each cell, most confident first, -1 where there are fewer.
    """

    confusion: NDArray[np.int64]
    examples: NDArray[np.int32]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"confusion": self.confusion, "examples": self.examples}


def census(
    network: Network,
    layers: Sequence[str],
    read: Read,
    num_images: int,
    *,
    labels: Sequence[int] | None = None,
    num_classes: int = 0,
    run: Tapped | None = None,
) -> tuple[dict[str, LayerCensus], Named | None]:
    """What `num_images` images do to every unit of `layers` (whose activations are maps or vectors), by layer.

    read: as in `survey`. labels: each image's class among the network's `num_classes` outputs; then what it names them is told
    too. run: from `compiled`, for who takes more than one census. Raises the `UserError`s of `read`, all of them in one.
    """
    nodes = [network.graph.by_name[layer] for layer in layers]
    tallies = [_LayerTally(node.num_units, num_classes) for node in nodes]
    named = _NameTally(num_classes) if labels is not None else None
    batch = min(BATCH, num_images)
    run = run or compiled(network, layers, num_images)
    for numbers, images in batches(read, range(num_images), batch):
        outputs, *found = [np.asarray(array)[: len(numbers)] for array in run(images)]
        own = None if labels is None else np.array([labels[number] for number in numbers])
        for tally, arrays in zip(tallies, zip(*[iter(found)] * 3, strict=True), strict=True):
            tally.add(*arrays, own)
        if named is not None:
            named.add(numbers, own, outputs)
    taken = {layer: tally.taken() for layer, tally in zip(layers, tallies, strict=True)}
    return taken, None if named is None else named.taken()


def compiled(network: Network, layers: Sequence[str], num_images: int) -> Tapped:
    """What `census` runs for a batch of images."""
    taps = [Tap(OUTPUT), *(Tap(layer) for layer in layers)]
    return network.tapped(taps, batch=min(BATCH, num_images), reduce=_reduced)


def _reduced(values: list[jax.Array]) -> list[jax.Array]:
    """The outputs; and of each layer its units' largest and smallest values `(n, u)`, and those sampled `(n, s, u)`."""
    outputs, *maps = values
    found = [outputs.reshape(len(outputs), -1)]
    for value in maps:
        flat = value.reshape(len(value), -1, value.shape[-1])
        largest, _ = peak(flat)
        found += [largest, flat.min(axis=1), flat[:, sampled_positions(value.shape[1:-1])]]
    return found


def sampled_positions(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Which of the positions of a map `(h, w)`, row by row, are sampled; the only one of a vector, whose shape is `()`."""
    if not shape:
        return np.zeros(1, np.int64)
    places = [np.unique((np.arange(SAMPLED_GRID) * 2 + 1) * length // (2 * SAMPLED_GRID)) for length in shape]
    return np.ravel(places[0][:, None] * shape[1] + places[1])


class _LayerTally:
    def __init__(self, num_units: int, num_classes: int):
        self._largest, self._smallest = np.full(num_units, -np.inf), np.full(num_units, np.inf)
        self._fired = np.zeros(num_units, np.int64)
        self._count, self._mean, self._products = 0, np.zeros(num_units), np.zeros((num_units, num_units))
        self._class_sizes = np.zeros(num_classes, np.int64)
        self._class_means, self._class_squares = np.zeros((num_classes, num_units)), np.zeros((num_classes, num_units))

    def add(self, largest: NDArray, smallest: NDArray, sampled: NDArray, labels: NDArray | None) -> None:
        """float32 `(n, u)`, `(n, u)` and `(n, s, u)`; labels: `(n,)`."""
        exact = largest.astype(np.float64)
        with np.errstate(invalid="ignore"):
            self._largest = np.maximum(self._largest, exact.max(axis=0))
            self._smallest = np.minimum(self._smallest, np.where(np.isnan(exact), np.nan, smallest).min(axis=0))
            self._fired += (largest > 0).sum(axis=0)
            values = sampled.reshape(-1, sampled.shape[-1]).astype(np.float64)
            mean, away = values.mean(axis=0), values - values.mean(axis=0)
            self._products += _merged(self._count, self._mean, len(values), mean, outer=True)
            # In float32: single products are exact to 1e-7, and their sums over one batch nearly so.
            products = away.astype(np.float32)
            self._products += products.T @ products
            self._mean += (mean - self._mean) * (len(values) / (self._count + len(values)))
            self._count += len(values)
            for label in () if labels is None else np.unique(labels):
                self._add_class(label, exact[labels == label])

    def _add_class(self, label: int, answers: Floats) -> None:
        mean, size = answers.mean(axis=0), int(self._class_sizes[label])
        self._class_squares[label] += ((answers - mean) ** 2).sum(axis=0)
        self._class_squares[label] += _merged(size, self._class_means[label], len(answers), mean, outer=False)
        self._class_means[label] += (mean - self._class_means[label]) * (len(answers) / (size + len(answers)))
        self._class_sizes[label] += len(answers)

    def taken(self) -> LayerCensus:
        covariance = self._products / max(1, self._count)
        known = np.isfinite(covariance.diagonal())
        covariance = np.where(known[:, None] & known, covariance, 0)
        std = np.sqrt(covariance.diagonal())
        # What varies by less than rounding of its own mean does not vary.
        varies = std > 1e-6 * np.abs(np.where(known, self._mean, 0))
        scale = np.where(varies, 1 / np.where(varies, std, 1), 0)
        correlation = np.triu(covariance * scale[:, None] * scale, 1)
        pairs = np.argwhere(np.abs(correlation) >= PAIRS_FROM)
        return LayerCensus(
            largest=self._largest,
            smallest=self._smallest,
            fired=self._fired,
            std=np.where(known, std, np.nan),
            pairs=pairs.astype(np.int32),
            correlations=np.clip(correlation[tuple(pairs.T)], -1, 1),
            eigenvalues=np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0),
            class_sizes=self._class_sizes,
            class_means=self._class_means,
            class_squares=self._class_squares,
        )


def _merged(count: int, mean: Floats, more: int, more_mean: Floats, *, outer: bool) -> Floats:
    """What two groups' distance adds to the sum of their squared (or outer) distances from the mean."""
    away = more_mean - mean
    return (np.outer(away, away) if outer else away**2) * (count * more / (count + more))


class _NameTally:
    def __init__(self, num_classes: int):
        self._confusion = np.zeros((num_classes, num_classes), np.int64)
        self._examples: dict[tuple[int, int], list[tuple[float, int]]] = {}

    def add(self, numbers: Sequence[int], labels: NDArray, outputs: NDArray) -> None:
        """outputs: float32 `(n, k)`. The most confident images are those whose best output is furthest above the second."""
        best = outputs.argmax(axis=1)
        np.add.at(self._confusion, (labels, best), 1)
        ordered = np.sort(outputs, axis=1)
        margins = ordered[:, -1] - (ordered[:, -2] if outputs.shape[1] > 1 else 0)
        for number, label, name, margin in zip(numbers, labels.tolist(), best.tolist(), margins.tolist(), strict=True):
            kept = self._examples.setdefault((label, name), [])
            kept.append((-margin, number))
            kept.sort()
            del kept[NUM_EXAMPLES:]

    def taken(self) -> Named:
        examples = np.full((*self._confusion.shape, NUM_EXAMPLES), -1, np.int32)
        for cell, kept in self._examples.items():
            examples[cell][: len(kept)] = [number for _, number in kept]
        return Named(self._confusion, examples)
