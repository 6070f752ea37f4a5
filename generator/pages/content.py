"""What pages are made of, and what one page is."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from generator.network.graph import Graph
from generator.records import (
    Classes,
    ColorTable,
    DatasetImages,
    Exemplars,
    FeatureMaps,
    FeatureVis,
    Filters,
    Health,
    ModelInfo,
    Predictions,
    ProbePictures,
    Quirk,
    Record,
    Responses,
    Tuning,
    Wires,
)


class ModelContent(Record):
    """Everything the pages of one model show. Every `Picture.file` is a path from the site's root.

    labels: names of the classes, in the order of the outputs. layers: names with a page of their own, in the graph's order.
    choice: how many these are and why, in a sentence. filters: by layer. feature_maps: one for each layer, probe and value.
    probes: the first one is what a page opens with. predictions: by probe. feature_vis, exemplars, responses, tuning: by layer,
    where they were made. wires: by node of the graph. images: those that occur as exemplars; class_images: those that stand for
    classes and their mistakes. quirks: most surprising first. unit_pages: by layer, the units with a page of their own.
    """

    info: ModelInfo
    graph: Graph
    labels: tuple[str, ...] | None
    layers: tuple[str, ...]
    choice: str
    filters: dict[str, Filters]
    feature_maps: list[FeatureMaps]
    probes: tuple[ProbePictures, ...]
    predictions: dict[str, Predictions]
    feature_vis: dict[str, FeatureVis] = Field(default_factory=dict)
    exemplars: dict[str, Exemplars] = Field(default_factory=dict)
    responses: dict[str, Responses] = Field(default_factory=dict)
    tuning: dict[str, Tuning] = Field(default_factory=dict)
    wires: dict[str, Wires] = Field(default_factory=dict)
    images: DatasetImages | None = None
    health: Health | None = None
    classes: Classes | None = None
    class_images: DatasetImages | None = None
    quirks: tuple[Quirk, ...] = ()
    unit_pages: dict[str, tuple[int, ...]] = Field(default_factory=dict)


class GalleryContent(Record):
    """A whole site. color_tables: the first signed and the first unsigned one are what a page opens with.

    base_url: where the site will live, or None; only then are there absolute addresses. versions: library and version.
    config_text: the YAML file, shown on the about page.
    """

    title: str
    description: str
    base_url: str | None
    models: tuple[ModelContent, ...]
    color_tables: tuple[ColorTable, ...]
    versions: list[tuple[str, str]]
    config_text: str


@dataclass(frozen=True)
class Page:
    """One file of the site. path: from the root. view: exactly what it shows; its JSON is the page's cache key."""

    path: str
    template: str
    view: Record


class Link(Record):
    """href: relative to the page it stands on."""

    text: str
    href: str


class Fact(Record):
    """A line of a fact table. links: shown instead of the text where given."""

    term: str
    text: str = ""
    links: tuple[Link, ...] = ()


class Frame(Record):
    """What every page has around its content.

    root: the way from the page to the site's root, `""` or `"../../"`. stylesheets, script, icon: from the root.
    canonical, picture: absolute addresses, only with a base URL.
    """

    title: str
    description: str
    site: str
    root: str
    stylesheets: tuple[str, ...]
    script: str
    icon: str
    home: str
    about: str
    walkthrough: str
    glossary: str
    models: tuple[Link, ...]
    crumbs: tuple[Link, ...] = ()
    canonical: str | None = None
    picture: str | None = None
