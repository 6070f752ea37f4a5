"""What is seen of a layer as a whole: its maps on a probe, its kernels, and the network's answer."""

from __future__ import annotations

from typing import Literal

from generator.records.base import Picture, Record, Sheet


class Prediction(Record):
    index: int
    label: str
    score: float


class Predictions(Record):
    """Best classes first, at most 5. scores: `probability` (softmax, or already one) or `output` (raw)."""

    scores: Literal["probability", "output"]
    top: tuple[Prediction, ...]


class UnitStatistics(Record):
    """One entry per unit, over the positions of one probe's map. state: how to read the tile."""

    minimum: list[float | None]
    maximum: list[float | None]
    mean: list[float | None]
    zero_fraction: list[float]
    state: list[Literal["ok", "constant", "zero", "nan", "infinite"]]


class FeatureMaps(Record):
    """Every channel of one layer on one probe.

    signed: whether negative values occur; then zero is the middle of the scale (bounds are -m, m), otherwise its lower
    end (0, m). tile_bounds: per unit, of `tile_sheets`. shared_bounds: the widest of them, from which pages make the layer's
    shared scale; maps of one position are on it from the start.
    strongest: units by falling maximum, at most 12. strip: those units' tiles in that order (first = 0), per-tile scale.
    """

    layer: str
    probe: str
    value: Literal["activation", "pre_activation"]
    map_size: tuple[int, int]
    num_units: int
    signed: bool
    tile_sheets: list[Sheet]
    tile_bounds: list[tuple[float, float]]
    shared_bounds: tuple[float, float]
    statistics: UnitStatistics
    strongest: list[int]
    strip: Sheet


class StrongInput(Record):
    """An input channel of one filter. weight: L2 norm of the k x k slice, signed for 1 x 1 kernels."""

    layer: str
    channel: int
    weight: float


class Filters(Record):
    """The kernels of one layer.

    look: colour (first layer, RGB), grey (first layer, one channel), depthwise (one k x k slice a filter), spatial
    (k x k with many inputs), matrix (1 x 1 and dense).
    sheets: a tile for every filter: the RGB or grey kernel, the depthwise kernel, or for `spatial` all its input slices
    as a near-square grid; empty for `matrix`. matrix: the weight matrix, a row a filter, a column an input; else None.
    bounds: of all tiles alike, symmetric about zero; of a matrix the 99.5 % quantile of magnitudes, drawn in 15 colours with
    larger weights at the ends. strongest: per filter, strongest inputs first.
    strongest_sheets: for `spatial`, the slices of `strongest`, `num_strongest` tiles a filter in unit order; else empty.
    norms: L2 norm of each kernel. scale: the folded normalisation's factor; bias: effective offset before the activation.
    chart: norms and biases drawn.
    """

    layer: str
    look: Literal["colour", "grey", "depthwise", "spatial", "matrix"]
    kernel_shape: tuple[int, ...]
    num_units: int
    bounds: tuple[float, float]
    sheets: list[Sheet]
    matrix: Picture | None
    num_strongest: int
    strongest: list[list[StrongInput]]
    strongest_sheets: list[Sheet]
    norms: list[float | None]
    scale: list[float | None]
    bias: list[float | None]
    chart: Picture
