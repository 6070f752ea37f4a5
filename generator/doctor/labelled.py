"""What the classes of images tell: whether they are named better when they are prepared in another way, or if the names of the
classes stood in another order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from generator.doctor.alternatives import Alternative
from generator.doctor.finding import Finding

#: How unlikely chance must be, for all alternatives together, and how much better one must be to be worth a word.
MOST_CHANCE, LEAST_GAIN = 0.01, 0.03
#: How likely chance makes such a difference between two alternatives that are as good as each other.
_AS_GOOD = 0.05
#: Fewer images tell nothing; fewer do not tell that a network guesses.
FEWEST, FEWEST_FOR_CHANCE = 8, 20
#: Of the way from chance to perfection: less is guessing; more, in another order, is no accident.
_GUESSING, _ORDERED = 0.1, 0.6
#: Of all images, what another order must name rightly besides, and how likely chance may make that.
_ORDER_GAIN, _ORDER_CHANCE = 0.1, 1e-3
#: Images of each class, without which any order could be found.
_PER_CLASS = 4
#: Names of classes that are written out.
_MOST_LISTED = 20


def better_by_labels(
    stated: NDArray[np.bool_], others: Mapping[str, NDArray[np.bool_]], known: list[Alternative]
) -> list[Finding]:
    """stated: `(n,)`, which images are named rightly; others: the same by the name of each alternative in `known`.

    McNemar's exact test on those that only one of the two names rightly, with Bonferroni's correction.
    """
    num_images = len(stated)
    if num_images < FEWEST or not others:
        return []
    most = max(others.values(), key=lambda right: int(right.sum()))
    # Of those that chance may have put behind the first, what changes least of the configuration is the likeliest.
    close = [one for one in known if one.name in others and by_chance(*_apart(most, others[one.name])) > _AS_GOOD]
    alternative = min(close, key=lambda one: (len(one.settings), -int(others[one.name].sum())))
    best = alternative.name
    gained, lost = _apart(others[best], stated)
    gain, (low, high) = (gained - lost) / num_images, interval(gained, lost, num_images)
    if gain < LEAST_GAIN or by_chance(gained, lost) * len(others) > MOST_CHANCE:
        return []
    return [
        Finding(
            "preprocessing",
            f"{int(stated.sum())} of {num_images} labelled images are named rightly as they are prepared now, and"
            f" {int(others[best].sum())} with {best}: {100 * gain:.0f} percentage points more (95% interval {100 * low:.0f} to"
            f" {100 * high:.0f}; {gained} gained, {lost} lost).",
            f"The network was probably trained with {best}.",
            f"Write `{alternative.yaml}`.",
        )
    ]


def in_another_order(truth: NDArray[np.integer], named: NDArray[np.integer], labels: Sequence[str]) -> list[Finding]:
    """Whether a network names far more rightly if its outputs are the classes in another order, and then most of them.

    truth, named: `(n,)`, the class of each image and the one that the network names; labels: of all outputs. The order is
    found in the same images that it is judged by; so it must be better by far.
    """
    if len(truth) < max(FEWEST_FOR_CHANCE, _PER_CLASS * len(np.unique(truth))):
        return []
    meant = _order(truth, named, len(labels))
    stated, ordered = named == truth, np.array([meant.get(int(output), -1) for output in named]) == truth
    right, (gained, lost) = int(ordered.sum()), _apart(ordered, stated)
    if _above_chance(right, len(truth), len(labels)) < _ORDERED or gained - lost < _ORDER_GAIN * len(truth):
        return []
    if by_chance(gained, lost) > _ORDER_CHANCE:
        return []
    renamed = [labels[meant.get(index, index)] for index in range(len(labels))]
    if len(set(renamed)) == len(labels) <= _MOST_LISTED:
        fix = f"Write `labels: {json.dumps(renamed, ensure_ascii=False)}`, if that is the order of the outputs."
    else:
        fix = "Write `labels:` in the order of the outputs."
    measured = f"{_rightly(truth, named, labels)}; with {_pairs(meant, labels)}, {right} are."
    return [Finding("labels", measured, "The names are in another order than the outputs.", fix)]


def no_better_than_chance(truth: NDArray[np.integer], named: NDArray[np.integer], labels: Sequence[str]) -> list[Finding]:
    """To be asked only where neither another order nor another preprocessing does better; arguments as above."""
    if not _guesses(truth, named, labels):
        return []
    measured = f"{_rightly(truth, named, labels)}; with no usual preprocessing they are more."
    means = "The classes are in another order than the outputs, or the weights are not those of the training."
    return [Finding("labels", measured, means, "Check `labels:`, the names of the folders, and the checkpoint.")]


def _guesses(truth: NDArray[np.integer], named: NDArray[np.integer], labels: Sequence[str]) -> bool:
    enough = len(truth) >= FEWEST_FOR_CHANCE and len(labels) > 1
    return enough and _above_chance(int((truth == named).sum()), len(truth), len(labels)) <= _GUESSING


def _rightly(truth: NDArray[np.integer], named: NDArray[np.integer], labels: Sequence[str]) -> str:
    right, guessed = int((truth == named).sum()), len(truth) / len(labels)
    return f"{right} of {len(truth)} labelled images are named rightly, where guessing names {guessed:.2g}"


def _above_chance(right: int, num_images: int, num_classes: int) -> float:
    """0 for guessing, 1 for all."""
    return (right / num_images - 1 / num_classes) / (1 - 1 / num_classes)


def _order(truth: NDArray[np.integer], named: NDArray[np.integer], num_outputs: int) -> dict[int, int]:
    """The classes of some outputs, one for each class there is, with which most images are named rightly."""
    from scipy.optimize import linear_sum_assignment

    classes, place = np.unique(truth, return_inverse=True)
    counts = np.zeros((num_outputs, len(classes)), int)
    np.add.at(counts, (named, place), 1)
    counts[classes, np.arange(len(classes))] += counts[classes, np.arange(len(classes))] > 0  # of equals, the stated order
    outputs, chosen = linear_sum_assignment(counts, maximize=True)
    return {int(output): int(classes[index]) for output, index in zip(outputs, chosen, strict=True)}


def _pairs(meant: Mapping[int, int], labels: Sequence[str]) -> str:
    moved = [f"output {output} as {labels[index]!r}" for output, index in sorted(meant.items()) if output != index]
    return ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")


def _apart(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """How many only the one names rightly, and only the other."""
    return int((one & ~other).sum()), int((other & ~one).sum())


def by_chance(gained: int, lost: int) -> float:
    """How likely at least as many were gained if both ways were equally good (one-sided binomial test)."""
    total = gained + lost
    return sum(math.comb(total, k) for k in range(gained, total + 1)) / 2**total


def interval(gained: int, lost: int, num_images: int) -> tuple[float, float]:
    """95% interval of the difference of two accuracies of the same images (Agresti and Min 2005: half an image added to each
    of the four counts, then Wald's)."""
    more, less, total = gained + 0.5, lost + 0.5, num_images + 2
    gain = (more - less) / total
    half = 1.96 * math.sqrt((more + less) / total - gain * gain) / math.sqrt(total)
    return max(-1.0, gain - half), min(1.0, gain + half)
