"""What is found out about a model: which units are dead or redundant, what they are worth, and how classes differ."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from generator.records.base import Record

#: Of each map, the values at a grid of so many positions a side are compared between units.
SAMPLED_GRID = 3


class Measured(Record):
    """What findings rest on. dataset: its title. num_images, num_labelled: images seen, and those with a class.

    positions: of each map, at most so many were sampled for correlations. shipped: whether the numbers came with the model,
    because the dataset is not on this machine.
    """

    dataset: str
    num_images: int
    num_labelled: int
    positions: int
    shipped: bool = False


class UnitFault(Record):
    """Something wrong with one unit.

    kind: `silent` never above zero, `rare` above zero on fewer images than the threshold, `saturated` at its upper bound
    everywhere, `constant` the same value everywhere, `nan`, `weightless` a kernel of (nearly) nothing.
    value: the number it was judged by: the share of images with a positive value, the constant, the bound, or the kernel's
    norm over the layer's median.
    """

    unit: int
    kind: Literal["silent", "rare", "saturated", "constant", "nan", "weightless"]
    value: float | None


class Twin(Record):
    """A unit that says what another one says. correlation: of their activations, None where it is weak or rests on too few
    values. kernel: cosine of their kernels with normalisation and bias folded in, None for layers without kernels.
    """

    unit: int
    correlation: float | None
    kernel: float | None


class Cluster(Record):
    """Units of a layer that are redundant. kept: the strongest, by the standard deviation of its activation. others: with how
    alike each is to it, by falling correlation.
    """

    kept: int
    others: tuple[Twin, ...]


class Opposite(Record):
    """Two units with the same kernel but for the sign. kernel: the cosine, near -1."""

    first: int
    second: int
    kernel: float


class LayerHealth(Record):
    """faults: by kind and unit. rank: effective rank of the activations, 1 to the number of units (Roy, Vetterli 2007, the
    exponential of the entropy of the normalised eigenvalues of their covariance); None where nothing varies.
    importance: of each unit for what the network names an image, None where it was not measured: mean over images of
    the squared slope of that name's log-probability along the unit's activation, times the activation (Molchanov et al. 2019,
    Taylor expansion of first order); shares of the layer's sum.
    noise: of a layer that sees the image itself, the share of each filter's energy above half the highest frequency, 0-1;
    noisy: filters where it exceeds the threshold. removable: units that are dead, or redundant and not kept, rising.
    """

    layer: str
    num_units: int
    faults: tuple[UnitFault, ...]
    clusters: tuple[Cluster, ...]
    opposites: tuple[Opposite, ...]
    rank: float | None
    importance: tuple[float, ...] | None
    noise: tuple[float, ...] | None
    noisy: tuple[int, ...]
    removable: tuple[int, ...]


class Removal(Record):
    """What setting some units to zero does. layer: None where units of all layers go at once. kind: those that are `dead`,
    `redundant` (nothing is given to the units kept), or the `weakest` by importance. num_units: that go; units: which, rising,
    of a single layer. num_images: tried.

    before, accuracy: share of labelled images that are named rightly with the units and without them, None without labels; low,
    high: of the change, the 95 % interval for paired images (Agresti, Min 2005). changed: share of images that are named
    otherwise. shift: mean absolute change of the outputs over their mean absolute value.
    """

    layer: str | None
    kind: Literal["dead", "redundant", "weakest"]
    num_units: int
    units: tuple[int, ...]
    num_images: int
    before: float | None
    accuracy: float | None
    low: float | None
    high: float | None
    changed: float
    shift: float


class Health(Record):
    """accuracy: of the whole network, None without labels. thresholds: by name, stated on the page. removals: those of single
    layers, then of all at once; empty where nothing could be tried.
    """

    measured: Measured
    thresholds: dict[str, float]
    accuracy: float | None
    layers: tuple[LayerHealth, ...]
    removals: tuple[Removal, ...]


class UnitEffect(Record):
    """How differently a unit answers to two groups of images; of each image, its largest activation.

    effect: Hedges' g (Hedges 1981), positive where the first group's mean is larger. low, high: its 95 % interval. p: of
    Welch's t-test, two-sided, adjusted for all units tested at once (Benjamini, Hochberg 1995).
    """

    layer: str
    unit: int
    mean_first: float
    mean_second: float
    effect: float
    low: float
    high: float
    p: float


class ClassUnit(Record):
    """A unit that is selective for a class. selectivity: as in `Responses`, for its best class; mean, others: mean of its
    answers to the class, and of the means of all other classes.
    """

    layer: str
    unit: int
    selectivity: float
    mean: float
    others: float


class ClassFindings(Record):
    """One class. recall: share of its images that are named so; precision: share of the images named so that are of it.
    low, high: the 95 % interval of recall (Wilson 1927). units: the most selective for it, of all layers, best first.
    own: how many units of all layers have it as their best class with a selectivity above the threshold.
    hits, misses: numbers of dataset images: of the class and named so, most confident first; of it and named otherwise, by
    turns of each name, commonest first.
    """

    index: int
    name: str
    num_images: int
    recall: float | None
    low: float | None
    high: float | None
    precision: float | None
    own: int
    units: tuple[ClassUnit, ...]
    hits: tuple[int, ...]
    misses: tuple[int, ...]


class Comparison(Record):
    """Two classes. first_as_second: images of the first that are named as the second, and the other way round.

    units: those that tell them apart best, of all layers, by falling magnitude. num_tested, num_significant: of all units.
    swapped: dataset images of one that are named as the other, most confident first.
    """

    first: int
    second: int
    first_as_second: int
    second_as_first: int
    num_tested: int
    num_significant: int
    units: tuple[UnitEffect, ...]
    swapped: tuple[int, ...]


#: More classes than these have no table of every unit's answers to every class.
MOST_TABLED = 40


class Classes(Record):
    """confusion: a row for each class, a column for each named one: numbers of images. accuracy: with its 95 % interval
    (Wilson 1927). layer_selectivity: mean selectivity of the units of each layer, in order. comparisons: of pairs, most
    confused first; possibly not of all. own_from: the selectivity from which on a unit counts as a class's own;
    significant_to: the adjusted p up to which a difference counts. selectivity, means: of each unit, and of its answers to each
    class, by layer; None for a class without images. Empty for more than `MOST_TABLED` classes.
    """

    measured: Measured
    labels: tuple[str, ...]
    accuracy: float
    low: float
    high: float
    confusion: tuple[tuple[int, ...], ...]
    layer_selectivity: dict[str, float]
    classes: tuple[ClassFindings, ...]
    comparisons: tuple[Comparison, ...]
    own_from: float
    significant_to: float
    selectivity: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    means: dict[str, tuple[tuple[float | None, ...], ...]] = Field(default_factory=dict)


class Quirk(Record):
    """A surprising measured fact, in plain words made from numbers. surprise: the larger, the more; for the order alone.

    layer, unit, probe, first, second: what it is about, where it is about such a thing, for the link to its evidence
    (first, second: classes).
    """

    kind: str
    text: str
    surprise: float
    layer: str | None = None
    unit: int | None = None
    probe: str | None = None
    first: int | None = None
    second: int | None = None
