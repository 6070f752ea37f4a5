"""The plain records that rooms hand to each other and that the store keeps as JSON.

Frozen pydantic models: `model_dump_json()` writes one, `model_validate_json()` reads it back. No JAX, no matplotlib.
Lists with an entry per unit are in unit order. `None` stands for a number that does not exist (NaN, infinity).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(Record):
    """One picture file of an artifact. file: its name there (pages turn it into a hashed URL)."""

    file: str
    width_px: int
    height_px: int


class Sheet(Picture):
    """A sprite: tiles of units `first ... first + count - 1`, row by row, without gaps.

    At most 256 tiles and 2,048 px a side. A tile is `tile_px = (height, width)`.
    """

    tile_px: tuple[int, int]
    columns: int
    rows: int
    first: int
    count: int


class Preprocessing(Record):
    """How a probe's pixels become a network's input, in this order.

    1. channels: `rgb`, `bgr` or `grey` (grey: ITU-R 601 luma, one channel).
    2. resize: `crop` resizes the shorter side to `size_px / crop_fraction` and cuts the centre; `squash` resizes to
       `size_px` ignoring the aspect ratio; `pad` fits the longer side and pads with `mean`.
    3. pixels in 0-255 are scaled linearly to `range`; then `(x - mean) / std` per channel (one number serves all).
    """

    size_px: tuple[int, int]
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    resize: Literal["crop", "squash", "pad"] = "crop"
    crop_fraction: float = 1.0
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class ProbeInfo(Record):
    """What is known of a probe besides its pixels. name: unique in the gallery, `cat`; set: the probe set's name."""

    name: str
    title: str
    set: str
    provenance: str
    licence: str
    label: str | None = None
    width_px: int
    height_px: int
    source_channels: int = 3


class ProbePictures(Record):
    """A prepared probe. shown: the exact crop the network sees, before range, mean and std. thumbnail: at most 96 px."""

    probe: ProbeInfo
    preprocessing: Preprocessing
    shown: Picture
    thumbnail: Picture


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


class FeatureVisSetup(Record):
    """How a layer's images were optimised; stated on pages.

    objective: `channel` (mean over the map), `neuron` (its centre) or `unit` (a layer of one number a unit). value: what is
    climbed. input_range: smallest and largest value the network was fed, after preprocessing.
    """

    objective: Literal["channel", "neuron", "unit"]
    value: Literal["activation", "pre_activation"]
    parameterisation: Literal["fourier", "pixels", "maco"]
    preset: str
    size_px: int
    steps: int
    seed: int
    input_range: tuple[float, float]


class VisualisedUnit(Record):
    """One unit's optimised images. state: `unexcited` where no image was found that the unit answers to.

    reached, lowest: the objective on the finished positive and negative image, without transforms; start: on the image the
    climb began with. negative, diverse: places in `FeatureVis.more_sheets`.
    """

    unit: int
    state: Literal["ok", "unexcited"]
    start: float | None
    reached: float | None
    lowest: float | None = None
    negative: int | None = None
    diverse: tuple[int, ...] = ()


class FeatureVis(Record):
    """Optimised images of units of one layer (Olah, Mordvintsev, Schubert 2017, Distill).

    units: in rising order, possibly not all of the layer. sheets: tile i is the positive image of `units[i]`, square, of
    `tile_px` at most `setup.size_px`. more_sheets: negative and diverse images.
    """

    layer: str
    setup: FeatureVisSetup
    units: list[VisualisedUnit]
    sheets: list[Sheet]
    more_sheets: list[Sheet]


class DatasetInfo(Record):
    """What exemplars are drawn from. kind: `images`, or `crops` of probes. labels: class names, if it has any."""

    name: str
    title: str
    kind: Literal["images", "crops"]
    num_images: int
    provenance: str
    licence: str
    labels: tuple[str, ...] | None = None


class DatasetImage(Record):
    """A dataset's image that occurs among exemplars. index: its number in the dataset.

    probe: the probe it is a crop of, if any. tile: its place in `DatasetImages.sheets`.
    """

    index: int
    title: str
    label: str | None
    probe: str | None
    tile: int


class DatasetImages(Record):
    """All images that occur as exemplars of a model, by rising index, each whole as the network sees it (possibly reduced)."""

    dataset: DatasetInfo
    images: list[DatasetImage]
    sheets: list[Sheet]


class Exemplar(Record):
    """An image that excites a unit. image: its number in the dataset. value: the unit's largest activation on it.

    position: where in the map, None for a layer without positions. box: `(top, left, height, width)` of the patch in input
    pixels: the receptive field of that position, cut to the image.
    """

    image: int
    value: float
    position: tuple[int, int] | None
    box: tuple[int, int, int, int]


class UnitExemplars(Record):
    """highest: falling. lowest: rising. spread: images at rising quantiles of the unit's largest activation.

    first: the place in `Exemplars.sheets` of the first of its tiles; the others follow: highest, lowest, spread.
    """

    unit: int
    first: int
    highest: tuple[Exemplar, ...]
    lowest: tuple[Exemplar, ...]
    spread: tuple[Exemplar, ...]


class Exemplars(Record):
    """The images of a dataset that excite each unit of a layer most, least, and in between.

    quantiles: of `spread`. look: how patches show where: `heat` lays the map over the patch, `dim` darkens what lies outside
    the strong part (Bau et al. 2017), `plain` for layers that see the whole image from one position.
    """

    layer: str
    dataset: str
    num_images: int
    quantiles: tuple[float, ...]
    look: Literal["heat", "dim", "plain"]
    units: list[UnitExemplars]
    sheets: list[Sheet]


class Responses(Record):
    """How a layer's units answer to a dataset, one entry per unit; of each unit's largest activation on every image.

    active: share of all positions of all images with an activation above 0. edges: of the histogram's bins, rising, shared by
    the layer; counts: one list per unit. class_means: mean of the largest activation over each class's images, one list per
    unit, classes in the dataset's order; None without labels. selectivity: class selectivity index (Morcos et al. 2018),
    `(best - mean of the others) / (best + mean of the others)` of rectified class means, 0-1.
    """

    layer: str
    dataset: str
    num_images: int
    mean: list[float | None]
    std: list[float | None]
    minimum: list[float | None]
    maximum: list[float | None]
    active: list[float]
    edges: list[float]
    counts: list[list[int]]
    class_means: list[list[float]] | None
    selectivity: list[float] | None


class Wire(Record):
    """A connection between units. layer, channel: the unit at the other end. weight: signed, with the normalisation folded in.

    For a k x k kernel: the L2 norm of its slice with the sign of its sum; 1 for nodes that pass a value on (addition, pooling).
    """

    layer: str
    channel: int
    weight: float


class Wires(Record):
    """Strongest inputs and outputs of every unit of one node, by falling magnitude. outputs: nodes that read this one."""

    layer: str
    inputs: list[list[Wire]]
    outputs: list[list[Wire]]


class Tuning(Record):
    """What simple stimuli do to each unit of a layer: gratings of all orientations and scales, and patches of all hues.

    orientation: selectivity 0-1, one minus the circular variance (Ringach, Shapley, Hawken 2002); angle_deg: preferred
    orientation of the stripes, 0-180 counter-clockwise from horizontal. colour: selectivity for hue, 0-1; hue_deg: preferred
    hue, 0-360.
    None where a unit answers to none of the stimuli. colour, hue_deg: None for models that see grey.
    """

    layer: str
    orientation: list[float | None]
    angle_deg: list[float | None]
    colour: list[float | None] | None
    hue_deg: list[float | None] | None


class WeightsInfo(Record):
    """Where the weights came from. digest: sha256 of the file, hexadecimal."""

    file: str
    format: str
    digest: str
    num_bytes: int
    licence: str = ""
    provenance: str = ""


class ModelInfo(Record):
    """What a page says of a model apart from its graph. facts: further lines, such as test accuracy, in order."""

    name: str
    title: str
    description: str
    source: str
    weights: WeightsInfo | None
    preprocessing: Preprocessing
    num_params: int
    num_classes: int | None
    facts: list[tuple[str, str]] = []


class ColorTable(Record):
    """A colormap for grey sheets, as the tables of an SVG `feComponentTransfer` with `type="table"`.

    red, green, blue: sRGB values in 0-1 at equally spaced greys from 0 to 255, linear in between (so the filter needs
    `color-interpolation-filters="sRGB"`). signed: diverging, for maps whose zero is the middle of the scale.
    """

    name: str
    title: str
    signed: bool
    red: tuple[float, ...]
    green: tuple[float, ...]
    blue: tuple[float, ...]
