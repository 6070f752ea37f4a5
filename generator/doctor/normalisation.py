"""What batch normalisation remembers of the images a network was trained with, against the images it gets now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generator.doctor.alternatives import Alternative
from generator.doctor.finding import Finding

#: The endings of parameters' names in Flax, Keras and PyTorch, by what they are.
_NAMES = {
    "mean": ("mean", "running_mean", "moving_mean", "input_mean"),
    "var": ("var", "running_var", "moving_variance", "moving_var", "input_var"),
    "scale": ("scale", "weight", "gamma"),
    "bias": ("bias", "beta"),
}
#: Constants that frameworks add to the variance.
_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-4, 1.001e-5, 2e-5, 0.0)
#: Divergence in nats: from where on another way is proposed, if it is so many times better; and from where on it is odd even
#: where none is. Photographs that are prepared as in training are at 0.1 or less.
WRONG, TIMES_BETTER, ODD = 1.0, 4.0, 3.0
#: Two ways are as good as each other if their divergences differ by this factor, or both are below this.
_AS_GOOD, _NO_DIFFERENCE = 2.0, 0.2


@dataclass(frozen=True)
class Statistics:
    """Of one batch normalisation: `(x - mean) / sqrt(var + epsilon) * scale + bias`, each `(c,)`."""

    name: str
    mean: NDArray[np.floating]
    var: NDArray[np.floating]
    scale: NDArray[np.floating]
    bias: NDArray[np.floating]

    def factors(self) -> list[NDArray[np.floating]]:
        """What its input is multiplied with, for each epsilon that it may have."""
        return [self.scale / np.sqrt(self.var + epsilon) for epsilon in _EPSILONS if np.all(self.var + epsilon > 0)]


def statistics_of(params: Mapping[str, NDArray]) -> list[Statistics]:
    """Every batch normalisation among the parameters, which are named by their paths, joined with `/`."""
    parents: dict[str, dict[str, NDArray]] = {}
    for path, array in params.items():
        parent, _, last = path.replace(".", "/").rpartition("/")
        for what, names in _NAMES.items():
            if last in names and array.ndim == 1:
                parents.setdefault(parent, {})[what] = np.asarray(array, np.float64)
    complete = {name: found for name, found in parents.items() if {"mean", "var"} <= found.keys()}
    return [
        Statistics(name, found["mean"], var, found.get("scale", np.ones_like(var)), found.get("bias", np.zeros_like(var)))
        for name, found in complete.items()
        if len({array.shape for array in found.values()}) == 1
        for var in [found["var"]]
    ]


def never_trained(statistics: Sequence[Statistics]) -> list[Finding]:
    """Whether every mean is 0 and every variance 1, as before the first step of training."""
    if not statistics or not all((s.mean == 0).all() and (s.var == 1).all() for s in statistics):
        return []
    count = len(statistics)
    return [
        Finding(
            "batch normalisation",
            f"All {count} batch normalisations keep a mean of 0 and a variance of 1." if count > 1
            else "Its batch normalisation keeps a mean of 0 and a variance of 1.",
            "The network was never trained, or its running statistics were not saved with the weights.",
            "Save the whole state (Flax: batch_stats; PyTorch: state_dict(), not parameters()).",
        )
    ]  # fmt: skip


def normalised_by(factor: NDArray[np.floating], statistics: Sequence[Statistics]) -> Statistics | None:
    """The batch normalisation that a layer's folded factor comes from, known by its numbers, whatever its name."""
    for one in statistics:
        if one.var.shape == factor.shape and any(np.allclose(factor, f, rtol=1e-3, atol=1e-6) for f in one.factors()):
            return one
    return None


def divergence(mean: NDArray, var: NDArray, kept: Statistics) -> float:
    """How far what a normalisation gets is from what it got in training, told by what it gives.

    mean, var: of its output now, `(c,)`. In training, they were `bias` and `scale` squared. The divergence of Kullback and
    Leibler between two normal distributions, in nats; the median of the channels that varied in training.
    """
    alive = (np.abs(kept.scale) > 1e-4 * np.abs(kept.scale).max(initial=0)) & (kept.var > 1e-4 * kept.var.max(initial=0))
    centred, spread = (mean - kept.bias)[alive] / kept.scale[alive], var[alive] / kept.scale[alive] ** 2
    each = 0.5 * (spread + centred**2 - 1 - np.log(np.maximum(spread, 1e-12)))
    return float(np.median(each)) if each.size else 0.0


def better_by_statistics(
    stated: float, others: Mapping[str, float], known: Sequence[Alternative], num_images: int
) -> list[Finding]:
    """stated, others: divergences under the stated preprocessing, and under each alternative in `known`, by name."""
    if not others or stated < WRONG:
        return []
    lowest = min(others.values())
    # Differences below these are the images'; what changes least of the configuration is then the likeliest.
    close = [one for one in known if others.get(one.name, np.inf) <= max(lowest * _AS_GOOD, _NO_DIFFERENCE)]
    alternative = min(close, key=lambda one: (len(one.settings), others[one.name]))
    best = alternative.name
    measured = (
        f"Under the preprocessing that is stated, what the first batch normalisations get of {num_images} images is"
        f" {_short(stated)} nats from what they got in training"
    )
    if others[best] > stated / TIMES_BETTER:
        if stated < ODD:
            return []
        means = "These images are unlike those of the training, or their preprocessing is."
        return [Finding("preprocessing", f"{measured}; no usual one comes close.", means, "Look up how it was trained.")]
    return [
        Finding(
            "preprocessing",
            f"{measured}, with {best} {others[best]:.2g}.",
            f"The network was probably trained with {best}.",
            f"Write `{alternative.yaml}`.",
        )
    ]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
