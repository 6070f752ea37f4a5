"""What is known of single units: optimised images, exemplars, responses, wires and tuning."""

from __future__ import annotations

from typing import Literal

from generator.records.base import Record, Sheet


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
    unit, classes in the dataset's order (None for one without images); None without labels. selectivity: class selectivity
    index (Morcos et al. 2018), `(best - mean of the others) / (best + mean of the others)` of rectified class means, 0-1.
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
    class_means: list[list[float | None]] | None
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
