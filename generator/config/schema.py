"""The shape of a configuration: what every key means, its type and its default.

`sources.py`, `views.py` and `datasets.py` hold what stands below `source:`, `views:` and `datasets:`.
`load.py` turns YAML into these with line numbers; nothing else constructs them except tests.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveInt

from generator.config.datasets import CifarLabels, DatasetConfig, Layout, PublishedName, Split
from generator.config.sections import FilePath, Name, RefusedValueError, Section, SidePx
from generator.config.sources import SourceConfig
from generator.config.views import ViewsConfig
from generator.records import Preprocessing


def _web_address(url: str) -> str:
    rule = f"expected an address such as 'https://name.github.io/gallery/', got {url!r}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s<>\"'\\]", url):
        raise RefusedValueError(rule, "it starts with http:// or https:// and has no '?' or '#'")
    return url


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] >= bounds[1]:
        raise RefusedValueError(f"must rise, got [{bounds[0]:g}, {bounds[1]:g}]", "write [lowest, highest], such as [0, 1]")
    return bounds


def _no_zero(std: tuple[float, ...] | float) -> tuple[float, ...] | float:
    if 0 in (std if isinstance(std, tuple) else (std,)):
        raise RefusedValueError(
            "no standard deviation can be 0, as pixels are divided by it", "write 1 to leave them as they are"
        )
    return std


class PreprocessingConfig(Section):
    """Overrides of the source's own preprocessing; see `records.Preprocessing`. What is left out is the source's."""

    size_px: tuple[SidePx, SidePx] | SidePx | None = None
    channels: Literal["rgb", "bgr", "grey"] | None = None
    resize: Literal["crop", "squash", "pad"] | None = None
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    range: Annotated[tuple[float, float], AfterValidator(_rising)] | None = None
    mean: tuple[float, ...] | float | None = None
    std: Annotated[tuple[float, ...] | float, AfterValidator(_no_zero)] | None = None

    def over(self, default: Preprocessing) -> Preprocessing:
        """`default` with what this section states."""
        stated = {key: value for key, value in self.model_dump().items() if value is not None}
        for key, value in stated.items():
            if key == "size_px" and isinstance(value, int):
                stated[key] = (value, value)
            if key in ("mean", "std") and isinstance(value, float):
                stated[key] = (value,)
        return default.model_copy(update=stated)


class PhotographsProbes(Section):
    """Public-domain photographs that ship inside scikit-image. images: names, or `all`."""

    name: Name
    kind: Literal["photographs"]
    images: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"] = "all"


class SyntheticProbes(Section):
    """Stimuli made here: gratings, zone plate, dots, edges, colour wheel. size_px: their side."""

    name: Name
    kind: Literal["synthetic"]
    images: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"] = "all"
    size_px: Annotated[int, Field(ge=16, le=1024)] = 224


class FolderProbes(Section):
    """Image files by glob, relative to the config. With `class_folders`, each image's label is its folder's name."""

    name: Name
    kind: Literal["folder"]
    path: FilePath
    class_folders: bool = False
    per_class: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class NpzProbes(Section):
    """A NumPy archive, as `datasets.NpzDataset` has it. per_class: the first of each class."""

    name: Name
    kind: Literal["npz"]
    path: FilePath
    split: Split | None = None
    layout: Layout | None = None
    per_class: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class IdxProbes(Section):
    """Two IDX files, as `datasets.IdxDataset` has them. per_class: the first of each class."""

    name: Name
    kind: Literal["idx"]
    images: FilePath
    labels: FilePath | None = None
    label_names: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    per_class: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class CsvProbes(Section):
    """Image files that a CSV file lists, as `datasets.CsvDataset` has them. per_class: the first of each class."""

    name: Name
    kind: Literal["csv"]
    path: FilePath
    per_class: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class PublishedProbes(Section):
    """Images of a published dataset, as `datasets.PublishedDataset` has it: the first `per_class` of each class."""

    name: Name
    kind: Literal["published"]
    dataset: PublishedName
    split: Split = "test"
    path: FilePath | None = None
    labels: CifarLabels = "fine"
    per_class: PositiveInt = 2


class ZooProbes(Section):
    """The test images that ship with a zoo model (`fashion_cnn`)."""

    name: Name
    kind: Literal["zoo"]
    model: str
    per_class: PositiveInt | None = None


ProbeSetConfig = Annotated[
    PhotographsProbes | SyntheticProbes | FolderProbes | NpzProbes | IdxProbes | CsvProbes | PublishedProbes | ZooProbes,
    Field(discriminator="kind"),
]


class ModelConfig(Section):
    """One model of the gallery.

    name: its place in URLs. layers: which are shown: `all`; `default`, all of a small network and of a large one what tells
    its story; `stages`, the last layer at each resolution; or a list of these, names, globs (`blocks.*.expand`) and kinds
    (`kind:add`), which with `!` in front take layers away again. probes: names of probe sets, or
    `set/probe` for one image. dataset: the name of a dataset, from which exemplars are drawn. measured_on: that of another one,
    by which health and classes are judged. labels: class names, or a text file with one a line; default the source's.
    unit_pages: which units get a page of their own; `featured` are those that `views.feature_vis.select` names.
    """

    name: Name
    title: str | None = None
    description: str = ""
    source: SourceConfig
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | FilePath | None = None
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all", "default", "stages"] = "default"
    probes: Annotated[tuple[str, ...], Field(min_length=1)]
    dataset: str | None = None
    measured_on: str | None = None
    views: ViewsConfig = ViewsConfig()
    unit_pages: Literal["all", "featured", "none"] = "featured"


class Config(Section):
    """The whole file. base_url: where the site will live; only then absolute URLs are written."""

    title: str = "CNNscope gallery"
    description: str = ""
    base_url: Annotated[str, AfterValidator(_web_address)] | None = None
    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    probes: Annotated[tuple[ProbeSetConfig, ...], Field(min_length=1)]
    datasets: tuple[DatasetConfig, ...] = ()
