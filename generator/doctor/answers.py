"""What a network's outputs tell of it: arrays in, findings out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from generator.doctor.finding import Finding

#: So many images and classes are needed before equal answers mean something.
_FEWEST_IMAGES, _FEWEST_CLASSES = 10, 3
#: How much outputs vary over images, as a share of how much they vary over classes, where they depend on images at all.
_LEAST_VARIATION = 1e-3
#: The same image alone and in company: differences that rounding explains, as a share of the outputs' spread.
_ROUNDING = 1e-2
_SURE = 0.5


def look_at_outputs(outputs: NDArray[np.floating], labels: Sequence[str] | None) -> list[Finding]:
    """outputs: `(n, classes)` of n different images. Anything but vectors is not judged."""
    if outputs.ndim != 2 or not len(outputs):
        return []
    if not np.isfinite(outputs).all():
        count = int((~np.isfinite(outputs).all(axis=1)).sum())
        measured = f"The outputs of {count} of {len(outputs)} images are not finite."
        return [Finding("outputs", measured, "Something overflows.", "Check `preprocessing:` and the weights.")]
    return [*_labels(outputs, labels), *_constant(outputs, labels), *_softmax_twice(outputs)]


def _labels(outputs: NDArray, labels: Sequence[str] | None) -> Iterator[Finding]:
    if labels is not None and len(labels) != outputs.shape[1]:
        measured = f"There are {len(labels):,} names for {outputs.shape[1]:,} outputs."
        means = "One of them is of another network, or there is a class for the background."
        yield Finding("labels", measured, means, "Write `labels:` with one for each output, in their order.")


def _constant(outputs: NDArray, labels: Sequence[str] | None) -> Iterator[Finding]:
    num_images, num_classes = outputs.shape
    if num_images < _FEWEST_IMAGES or num_classes < _FEWEST_CLASSES:
        return
    over_images = float(outputs.std(axis=0).mean())
    over_classes = float(outputs.std(axis=1).mean())
    means = "The network's input has another range than in training, or its weights are not those of the training."
    fix = "Check `preprocessing:`, and that the checkpoint is the trained one."
    if over_images <= _LEAST_VARIATION * over_classes:
        share = over_images / over_classes if over_classes else 0.0
        measured = f"Outputs vary over {num_images} images {share:.1e} times as much as over classes: images hardly matter."
        yield Finding("outputs", measured, means, fix)
        return
    named = np.unique(outputs.argmax(axis=1))
    if len(named) == 1:
        number = int(named[0])
        name = f"class {number}" if labels is None or number >= len(labels) else repr(labels[number])
        yield Finding("outputs", f"All {num_images} images are named {name}.", means, fix)


def _softmax_twice(outputs: NDArray) -> Iterator[Finding]:
    """A softmax of numbers that sum to 1 themselves: its logarithm, moved so that it does, lies in 0-1."""
    if outputs.shape[1] < _FEWEST_CLASSES or (outputs <= 0).any() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return
    logits = np.log(outputs.astype(np.float64))
    inner = logits + (1 - logits.sum(axis=1, keepdims=True)) / outputs.shape[1]
    if inner.min() > -1e-3 and inner.max() < 1 + 1e-3 and inner.max() > _SURE:
        measured = f"Of {outputs.shape[1]} probabilities none is above {outputs.max():.3f} or below {outputs.min():.3f}."
        means = f"That is a softmax of a softmax, whose ratios cannot exceed {math.e:.2f}."
        yield Finding("softmax", measured, means, "Take one of them out of the network.")


def in_company(alone: NDArray[np.floating], together: NDArray[np.floating]) -> list[Finding]:
    """alone, together: outputs of the same images, one at a time and as one batch."""
    spread = float(np.std(alone)) or 1.0
    difference = float(np.abs(alone - together).max())
    if difference <= _ROUNDING * spread:
        return []
    measured = (
        f"Outputs of an image change by up to {difference:.3g} (their standard deviation is {spread:.3g}) with the"
        f" {len(together) - 1} other images that it runs with."
    )
    means = "Batch normalisation takes its statistics from the images, as in training."
    fix = "Make it run as in use: `use_running_average=True` (Flax), `model.eval()` (PyTorch), `training=False` (Keras)."
    return [Finding("batch normalisation", measured, means, fix)]


def random_numbers(num_draws: int) -> list[Finding]:
    """num_draws: how often the network draws random numbers for a batch."""
    if not num_draws:
        return []
    measured = f"The network draws random numbers {num_draws} time{'s' * (num_draws > 1)} for every image."
    fix = "Make it run as in use: `deterministic=True` (Flax), `model.eval()` (PyTorch), `training=False` (Keras)."
    return [Finding("dropout", measured, "Dropout or noise is left on.", fix)]
