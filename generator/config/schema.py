"""The shape of a configuration: what every key means, its type and its default.

`load.py` turns YAML into these with line numbers; nothing else constructs them except tests.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from generator.records import Preprocessing


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ZooSource(Section):
    """A known architecture. weights: a local file instead of the shipped or installed one."""

    kind: Literal["zoo"]
    name: str
    weights: str | None = None


class FlaxSource(Section):
    """A Flax module of one's own. module: `package.file:Class` (NNX or linen), looked up beside the config too.

    arguments: keyword arguments of its constructor. checkpoint: safetensors, msgpack or npz.
    input_shape: `(h, w, c)` of one image.
    """

    kind: Literal["flax"]
    module: str
    arguments: dict[str, Any] = {}
    checkpoint: str
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]


SourceConfig = Annotated[ZooSource | FlaxSource, Field(discriminator="kind")]


class PreprocessingConfig(Section):
    """Overrides of the source's own preprocessing; see `records.Preprocessing`. What is left out is the source's."""

    size_px: tuple[PositiveInt, PositiveInt] | PositiveInt | None = None
    channels: Literal["rgb", "bgr", "grey"] | None = None
    resize: Literal["crop", "squash", "pad"] | None = None
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | float | None = None
    std: tuple[float, ...] | float | None = None

    def over(self, default: Preprocessing) -> Preprocessing:
        """`default` with what this section states."""
        stated = {key: value for key, value in self.model_dump().items() if value is not None}
        for key, value in stated.items():
            if key == "size_px" and isinstance(value, int):
                stated[key] = (value, value)
            if key in ("mean", "std") and isinstance(value, float):
                stated[key] = (value,)
        return default.model_copy(update=stated)


class FiltersView(Section):
    """num_strongest: how many of the strongest inputs of each filter are named and drawn."""

    num_strongest: Annotated[int, Field(ge=1, le=16)] = 8


class FeatureMapsView(Section):
    """values: before and/or after the non-linearity."""

    values: tuple[Literal["activation", "pre_activation"], ...] = ("activation",)


class ViewsConfig(Section):
    filters: FiltersView | Literal[False] = FiltersView()
    feature_maps: FeatureMapsView | Literal[False] = FeatureMapsView()


class PhotographsProbes(Section):
    """Public-domain photographs that ship inside scikit-image. images: names, or `all`."""

    name: str
    kind: Literal["photographs"]
    images: tuple[str, ...] | Literal["all"] = "all"


class SyntheticProbes(Section):
    """Stimuli made here: gratings, zone plate, dots, edges, colour wheel. size_px: their side."""

    name: str
    kind: Literal["synthetic"]
    images: tuple[str, ...] | Literal["all"] = "all"
    size_px: Annotated[int, Field(ge=16, le=1024)] = 224


class FolderProbes(Section):
    """Image files by glob, relative to the config. With `class_folders`, each image's label is its folder's name."""

    name: str
    kind: Literal["folder"]
    path: str
    class_folders: bool = False
    per_class: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class NpzProbes(Section):
    """A NumPy archive with `images` uint8 `(n, h, w)` or `(n, h, w, c)`, and optionally `labels` (n) and `label_names`."""

    name: str
    kind: Literal["npz"]
    path: str
    per_class: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class ZooProbes(Section):
    """The test images that ship with a zoo model (`fashion_cnn`)."""

    name: str
    kind: Literal["zoo"]
    model: str
    per_class: PositiveInt | None = None


ProbeSetConfig = Annotated[
    PhotographsProbes | SyntheticProbes | FolderProbes | NpzProbes | ZooProbes, Field(discriminator="kind")
]


class ModelConfig(Section):
    """One model of the gallery.

    name: its place in URLs. layers: `all`, or names and globs (`blocks.*.expand`). probes: names of probe sets, or
    `set/probe` for one image. labels: class names, or a text file with one a line; default the source's.
    """

    name: str
    title: str | None = None
    description: str = ""
    source: SourceConfig
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    labels: tuple[str, ...] | str | None = None
    layers: tuple[str, ...] | Literal["all"] = "all"
    probes: Annotated[tuple[str, ...], Field(min_length=1)]
    views: ViewsConfig = ViewsConfig()


class Config(Section):
    """The whole file. base_url: where the site will live; only then absolute URLs are written."""

    title: str = "CNNscope gallery"
    description: str = ""
    base_url: str | None = None
    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    probes: Annotated[tuple[ProbeSetConfig, ...], Field(min_length=1)]
