"""Health: which units of a layer are dead, broken or redundant, and how many directions their activations really use.

What a dataset did to a unit (`network.census`) is judged together with the unit's weights, since either alone misses faults:
a kernel may be sound and its bias so low that nothing passes, and equal kernels are found although neither unit ever answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from generator.network.graph import Layer
from generator.records import SAMPLED_GRID, Cluster, LayerHealth, Opposite, Twin, UnitFault
from generator.views.statistics import finite_numbers, finite_or_none

#: Activation functions that pass (nearly) nothing below zero, with their least value. A layer that goes lower normalises after
#: its activation, and then zero means nothing.
LEAST = {"ReLU": 0.0, "ReLU6": 0.0, "SiLU": -0.279, "GELU": -0.171, "Mish": -0.309, "hard swish": -0.375}

#: Upper bounds of activation functions.
GREATEST = {"ReLU6": 6.0, "sigmoid": 1.0, "tanh": 1.0, "hard sigmoid": 1.0, "hard tanh": 1.0}

#: Faults of units that say the same to every image. NaN spreads to all that read it, and a rare unit still says something.
DEAD = frozenset({"silent", "saturated", "constant", "weightless"})

#: Samples that must differ from a unit's usual value for a correlation to count: of units that answer at a single position, any
#: two that share it correlate perfectly.
LEAST_SAMPLES = 5

#: Frequencies a side at which spectra of filters are taken, more for filters larger than that.
SPECTRUM = 32


@dataclass(frozen=True)
class Thresholds:
    """From where on a unit is conspicuous.

    rare: share of images below which it is. alike: correlation of activations, not below `network.census.PAIRS_FROM`, as
    weaker ones are not kept. kernel, opposite: cosine of kernels. tiny: a kernel's norm over the layer's median. noisy: share
    of a filter's energy above half the highest frequency; that of white noise is 0.8.
    """

    rare: float = 0.01
    alike: float = 0.98
    kernel: float = 0.999
    opposite: float = -0.99
    tiny: float = 1e-3
    noisy: float = 0.8

    def named(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class _Kernels:
    """What kernels of `u` units say: norms over the layer's median `(u,)`, cosines `(u, u)` of kernels with and without their
    offset, NaN between units that read different channels."""

    norms: NDArray[np.float64]
    folded: NDArray[np.float64]
    bare: NDArray[np.float64]


def measure(
    layer: Layer,
    arrays: Mapping[str, np.ndarray],
    num_images: int,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    *,
    sees_image: bool,
    importance: np.ndarray | None,
    thresholds: Thresholds,
    is_output: bool = False,
) -> LayerHealth:
    """The record of a layer of `u` units.

    arrays: those of `network.census.LayerCensus`, of `num_images` images. weights: kernel `(kh, kw, cin // groups, u)` or
    `(cin, u)`, scale and offset `(u,)`, as `Network.weights` gives them; None for a layer without. sees_image: whether its
    input is the image. importance: `(u,)`, at least 0, of any unit of measurement. is_output: whether units are classes, of
    which none can be spared.
    Raises ValueError where shapes disagree.
    """
    units = layer.num_units
    kernels = None if weights is None else _kernels(layer, *weights)
    if len(arrays["largest"]) != units or (importance is not None and np.shape(importance) != (units,)):
        raise ValueError(f"{layer.name} has {units} units, not those of its arrays")
    faults = [*_activity_faults(layer, arrays, num_images, thresholds), *_weight_faults(kernels, thresholds)]
    correlation = _correlations(layer, arrays, num_images)
    clusters = _clusters(correlation, arrays["std"], kernels, faults, thresholds)
    noise = _noise(weights[0]) if sees_image and weights is not None else None
    noisy = [] if noise is None else np.flatnonzero((noise > thresholds.noisy) & (kernels.norms >= thresholds.tiny)).tolist()
    spare = {fault.unit for fault in faults if fault.kind in DEAD}
    spare |= {twin.unit for cluster in clusters for twin in cluster.others}
    return LayerHealth(
        layer=layer.name,
        num_units=units,
        faults=faults,
        clusters=clusters,
        opposites=[] if kernels is None else _opposites(kernels, thresholds),
        rank=effective_rank(arrays["eigenvalues"]),
        importance=None if importance is None else finite_numbers(_shares(importance)),
        noise=None if noise is None else finite_numbers(noise),
        noisy=noisy,
        removable=[] if is_output else sorted(spare),
    )


def effective_rank(eigenvalues: np.ndarray) -> float | None:
    """Of a covariance with these eigenvalues (Roy, Vetterli 2007): 1 to their number, None where nothing varies."""
    positive = eigenvalues[np.isfinite(eigenvalues) & (eigenvalues > 0)].astype(np.float64)
    if not len(positive):
        return None
    shares = positive / positive.max()  # first, as the sum of the largest numbers is infinite
    shares /= shares.sum()
    shares = shares[shares > 0]
    return finite_or_none(float(np.exp(-(shares * np.log(shares)).sum())))


def _activity_faults(
    layer: Layer, arrays: Mapping[str, np.ndarray], num_images: int, thresholds: Thresholds
) -> Iterator[UnitFault]:
    """By kind and unit; a unit has at most one of them."""
    largest, smallest = arrays["largest"], arrays["smallest"]
    share = arrays["fired"] / max(1, num_images)
    broken = ~(np.isfinite(largest) & np.isfinite(smallest))
    constant = ~broken & (largest == smallest)
    least, bound = LEAST.get(layer.activation, -np.inf), GREATEST.get(layer.activation, np.inf)
    cuts_off = layer.activation in LEAST and bool((smallest[~broken] >= least).all())
    silent = constant & (largest == 0) & (cuts_off and least == 0)
    saturated = constant & (largest == bound)
    found = {
        "silent": (silent, share),
        "rare": (~broken & ~constant & cuts_off & (share < thresholds.rare), share),
        "saturated": (saturated, largest),
        "constant": (constant & ~silent & ~saturated, largest),
        "nan": (broken, np.full(len(share), np.nan)),
    }
    for kind, (which, values) in found.items():
        for unit in np.flatnonzero(which).tolist():
            yield UnitFault(unit=unit, kind=kind, value=finite_or_none(float(values[unit])))


def _weight_faults(kernels: _Kernels | None, thresholds: Thresholds) -> Iterator[UnitFault]:
    if kernels is not None:
        for unit in np.flatnonzero(kernels.norms < thresholds.tiny).tolist():
            yield UnitFault(unit=unit, kind="weightless", value=finite_or_none(float(kernels.norms[unit])))


def _kernels(layer: Layer, kernel: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> _Kernels:
    units = layer.num_units
    if kernel.shape[-1] != units or not len(scale) == len(offset) == units:
        raise ValueError(f"{layer.name}: kernel {kernel.shape}, {len(scale)} scales, {len(offset)} offsets for {units} units")
    # One product of the kernels as they are: a dense layer after a large map would not fit into memory twice.
    flat, scale, offset = np.asarray(kernel, np.float32).reshape(-1, units), scale.astype(np.float64), offset.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        products = (flat.T @ flat) * np.outer(scale, scale)
        norms = np.sqrt(products.diagonal())
        positive = norms[norms > 0]
        # Units of different groups read different channels, so that equal kernels do not make them alike. In a depthwise
        # layer every channel is a group of its own.
        group = np.arange(units) // max(1, units // layer.groups)
        together = group[:, None] == group
        return _Kernels(
            norms=norms / (np.median(positive) if len(positive) else 1.0),
            folded=np.where(together, _cosines(products + np.outer(offset, offset)), np.nan),
            bare=np.where(together, _cosines(products), np.nan),
        )


def _cosines(products: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.sqrt(products.diagonal())
    return np.clip(products / norms / norms[:, None], -1, 1)


def _correlations(layer: Layer, arrays: Mapping[str, np.ndarray], num_images: int) -> NDArray[np.float64]:
    """Between activations `(u, u)`, NaN where it is weak or rests on too few samples."""
    units = layer.num_units
    correlation = np.full((units, units), np.nan)
    first, second = arrays["pairs"].astype(np.int64).reshape(-1, 2).T
    correlation[first, second] = correlation[second, first] = arrays["correlations"]
    # Of n samples of which all but k have the same value, the variance is at most k / n of the squared range.
    num_samples = num_images * np.prod([min(SAMPLED_GRID, side) for side in layer.spatial or (1,)])
    with np.errstate(divide="ignore", invalid="ignore"):
        few = ~(num_samples * np.square(arrays["std"] / (arrays["largest"] - arrays["smallest"])) >= LEAST_SAMPLES)
    correlation[few] = correlation[:, few] = np.nan
    return correlation


def _clusters(
    correlation: NDArray[np.float64],
    std: NDArray[np.float64],
    kernels: _Kernels | None,
    faults: list[UnitFault],
    thresholds: Thresholds,
) -> list[Cluster]:
    """From the strongest unit on, each takes with it those that are like itself, so that a chain of similar units does not
    make its ends one. The strongest units come first; a unit that is dead or broken is in none."""
    alike = correlation >= thresholds.alike
    if kernels is not None:
        # Where the offset is by far the larger part it makes any two kernels equal, hence both cosines.
        alike |= (kernels.folded >= thresholds.kernel) & (kernels.bare >= thresholds.kernel)
    free = np.ones(len(std), bool)
    free[[fault.unit for fault in faults if fault.kind in DEAD | {"nan"}]] = False
    found = []
    for unit in np.argsort(-std, kind="stable").tolist():
        if not free[unit]:
            continue
        free[unit] = False
        others = np.flatnonzero(alike[unit] & free)
        free[others] = False
        if len(others):
            others = others[np.argsort(-correlation[unit, others], kind="stable")]  # NaN last
            correlations = finite_numbers(correlation[unit, others])
            cosines = [None] * len(others) if kernels is None else finite_numbers(kernels.folded[unit, others])
            twins = zip(others.tolist(), correlations, cosines, strict=True)
            found.append(Cluster(kept=unit, others=[Twin(unit=u, correlation=c, kernel=k) for u, c, k in twins]))
    return found


def _opposites(kernels: _Kernels, thresholds: Thresholds) -> list[Opposite]:
    """Of kernels alone: what stands opposite each other in a rectified layer rarely has opposite offsets too."""
    weighty = kernels.norms >= thresholds.tiny
    opposite = np.triu(kernels.bare <= thresholds.opposite, 1) & weighty & weighty[:, None]
    return [
        Opposite(first=first, second=second, kernel=finite_or_none(float(kernels.bare[first, second])))
        for first, second in np.argwhere(opposite).tolist()
    ]


def _noise(kernel: np.ndarray) -> NDArray[np.float64] | None:
    """Of each filter `(u,)`, the share of its energy at frequencies whose distance from zero is above half the highest of an
    axis; None for kernels that are no pictures."""
    if kernel.ndim != 4 or min(kernel.shape[:2]) < 3:
        return None
    size = max(SPECTRUM, *kernel.shape[:2])
    energy = np.square(np.abs(np.fft.fft2(kernel.astype(np.float64), (size, size), axes=(0, 1)))).sum(axis=2)
    frequency = np.abs(np.fft.fftfreq(size)) * 2
    high = np.hypot(frequency[:, None], frequency) > 0.5
    total = energy.sum(axis=(0, 1))
    known = np.isfinite(total) & (total > 0)
    return np.where(known, energy[high].sum(axis=0) / np.where(known, total, 1), 0.0)


def _shares(importance: np.ndarray) -> NDArray[np.float64]:
    exact = np.nan_to_num(np.asarray(importance, np.float64), nan=0.0, posinf=0.0)
    return exact / (exact.sum() or 1.0)
