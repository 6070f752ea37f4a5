"""One pass of a dataset through a network: what excites each unit most and least, and how it answers to all of it.

Maps are reduced where they are made, inside the compiled function, to each unit's largest value and its number of positive
positions; the running totals (`tally.py`) take memory for units, never for images. The next images are read while the last
ones are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from generator.errors import Problem, UserError
from generator.network.execute import Network, Tap, Tapped
from generator.network.tally import LayerSurvey, Picks, Tally

#: Images of one call; and of one where maps are kept.
BATCH, KEPT_BATCH = 32, 4

Read = Callable[[int], NDArray[np.float32]]


def survey(
    network: Network,
    layers: Sequence[str],
    read: Read,
    num_images: int,
    *,
    picks: Picks,
    labels: Sequence[int] | None = None,
    num_classes: int = 0,
    run: Tapped | None = None,
) -> dict[str, LayerSurvey]:
    """What `num_images` images do to every unit of `layers` (whose activations are maps or vectors), by layer.

    read: gives image `0 ... num_images - 1` as the network's input, float32 `(h, w, c)`; called in order, in another thread.
    picks: how many images are kept of each unit. labels: each image's class, `0 ... num_classes - 1`. run: from `compiled`, for
    who surveys more than once. Raises the `UserError`s of `read`, all of them in one.
    """
    nodes = [network.graph.by_name[layer] for layer in layers]
    num_positions = [node.spatial[0] * node.spatial[1] if node.spatial else 1 for node in nodes]
    tally = Tally([node.num_units for node in nodes], num_positions, num_images, picks, labels, num_classes)
    batch = min(BATCH, num_images)
    run = run or compiled(network, layers, num_images)
    before: tuple[list[int], list[jax.Array]] | None = None
    for numbers, images in batches(read, range(num_images), batch):
        found = run(images)  # returns at once, so that the images before are counted while these are computed
        if before is not None:
            _count(tally, *before)
        before = numbers, found
    if before is not None:
        _count(tally, *before)
    return dict(zip(layers, tally.layers(), strict=True))


def compiled(network: Network, layers: Sequence[str], num_images: int) -> Tapped:
    """What `survey` runs: the `peaks` of `layers` for a batch of images."""
    return network.tapped([Tap(layer) for layer in layers], batch=min(BATCH, num_images), reduce=peaks)


def recall(
    network: Network, layers: Sequence[str], read: Read, images: Sequence[int]
) -> Iterator[tuple[int, dict[str, NDArray[np.float32]]]]:
    """The maps of some images again: each with its number and, by layer, float32 `(h, w, c)` or `(c,)`.

    Holds the maps of a few images at a time. Raises the `UserError`s of `read`, all of them in one.
    """
    if not len(images):
        return
    batch = min(KEPT_BATCH, len(images))
    run = network.tapped([Tap(layer) for layer in layers], batch=batch)
    for numbers, pixels in batches(read, images, batch):
        values = [np.asarray(value) for value in run(pixels)]
        for row, number in enumerate(numbers):
            yield number, {layer: value[row] for layer, value in zip(layers, values, strict=True)}


def peaks(values: list[jax.Array]) -> list[jax.Array]:
    """Of each unit its largest value (NaN where there is one) and the number of positive values: float32 and int32
    `(n, units of all layers)`.

    values: maps `(n, h, w, c)` or vectors `(n, c)`. Where the largest value is, nobody asks but of images that are shown, and
    `recall` has their maps.
    """
    found = [peak(value.reshape(len(value), -1, value.shape[-1])) for value in values]
    return [jnp.concatenate(parts, axis=1) for parts in zip(*found, strict=True)]


def peak(value: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of `(n, positions, c)`. Positive values and NaNs are counted together, in the two halves of a byte, of which a CPU adds
    the most at a time: XLA's maximum passes over NaNs on a CPU."""
    length = value.shape[1]
    run = max(size for size in range(1, min(length, 15) + 1) if length % size == 0)
    runs = value.reshape(len(value), length // run, run, value.shape[2])
    ones = (runs > 0).astype(jnp.uint8) + (jnp.isnan(runs).astype(jnp.uint8) << 4)
    counts = ones.sum(axis=2, dtype=jnp.uint8)
    largest = jnp.where(counts.max(axis=1) > 15, jnp.nan, value.max(axis=1))
    return largest, (counts & 15).sum(axis=1, dtype=jnp.int32)


def _count(tally: Tally, numbers: Sequence[int], found: Sequence[jax.Array]) -> None:
    tally.add(numbers[0], *(np.asarray(array)[: len(numbers)] for array in found))


def batches(read: Read, images: Sequence[int], batch: int) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Images `batch` at a time, the last ones filled up with the very last; read ahead by one batch in a thread.

    After the first that cannot be read, the rest is only looked through for others.
    """

    def load(first: int) -> tuple[list[int], NDArray[np.float32] | None, list[UserError]]:
        numbers = list(images[first : first + batch])
        pixels, errors = [], []
        for number in numbers:
            try:
                pixels.append(read(number))
            except UserError as error:
                errors.append(error)
        if errors:
            return numbers, None, errors
        return numbers, np.stack(pixels + pixels[-1:] * (batch - len(pixels))), []

    failed: list[UserError] = []
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load, 0)
        for first in range(0, len(images), batch):
            numbers, pixels, errors = coming.result()
            failed += errors
            if first + batch < len(images):
                coming = pool.submit(load, first + batch)
            if not failed:
                yield numbers, pixels
    if failed:
        problems: list[Problem] = [problem for error in failed for problem in error.problems]
        raise type(failed[0])(problems)
