"""Two classes compared: how often they are confused, and which units answer to them most differently."""

from __future__ import annotations

from itertools import islice
from math import ceil, isfinite

from generator.pages import class_parts, tiles, urls, wording
from generator.pages.chips import UnitChip, chip, filter_cell
from generator.pages.class_parts import ImageTile
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import first_tables
from generator.records import Classes, ColorTable, Comparison, FeatureMaps, ProbePictures, Record, UnitEffect

#: Units in the table, units whose maps are shown side by side, and images of each class that were swapped.
SHOWN_UNITS, SHOWN_MAPS, SHOWN_IMAGES = 12, 4, 8


class Side(Record):
    """One of the two classes. taken: its images that are named as the other, in words. swapped: some of them."""

    link: Link
    taken: str
    share: float
    swapped: tuple[ImageTile, ...]
    output: UnitChip | None


class EffectRow(Record):
    """low, dot, high: of the effect, -100 ... 100 on the scale that all rows share."""

    chip: UnitChip
    low: float
    dot: float
    high: float
    effect: str
    interval: str
    p: str
    means: tuple[str, str]


class MapOn(Record):
    """A unit's map on a photograph of one class. cell: None where `state` says why there is none. maximum: of the map."""

    photo: str
    title: str
    href: str
    cell: tiles.Cell | None
    state: str
    maximum: str


class UnitMaps(Record):
    """filter: the unit's kernel, where it can be shown. where: the way to its place on its layer's page."""

    chip: UnitChip
    layer: Link | None
    where: str
    filter: tiles.Cell | None
    maps: tuple[MapOn | None, MapOn | None]


class ComparisonView(Record):
    """scale: the effect at the right end of the drawing. on_photos: whether any unit has a map on an image of the classes."""

    frame: Frame
    model: Link
    classes: Link
    first: Side
    second: Side
    basis: str
    verdict: str
    rows: tuple[EffectRow, ...]
    scale: str
    units: tuple[UnitMaps, ...]
    on_photos: bool
    num_swapped: int
    tables: tuple[ColorTable, ...]
    bgr: bool


def comparison_pages(gallery: Gallery, model: Model, classes: Classes) -> list[Page]:
    """One page for each comparison, in their order."""
    return [
        Page(
            path=model.comparison_path(pair.first, pair.second),
            template="comparison.html.jinja",
            view=_view(gallery, model, classes, pair),
        )
        for pair in classes.comparisons
    ]


def _view(gallery: Gallery, model: Model, classes: Classes, pair: Comparison) -> ComparisonView:
    page = model.comparison_path(pair.first, pair.second)
    first, second = classes.labels[pair.first], classes.labels[pair.second]
    effects = pair.units[:SHOWN_UNITS]
    scale = _scale(effects)
    found = (_unit_maps(model, page, effect, (first, second)) for effect in effects)
    units = tuple(islice((unit for unit in found if unit.filter or any(unit.maps)), SHOWN_MAPS))
    overview = Link(text="classes", href=urls.relative(page, model.places.classes))
    return ComparisonView(
        frame=gallery.frame(
            page,
            f"{first} against {second} · {model.info.title}",
            f"How often {model.info.title} confuses {first} with {second}, and which units tell them apart.",
            crumbs=(model.link(page), Link(text="Classes", href=overview.href)),
            stylesheets=("site.css", "pages.css", "units.css", "classes.css"),
        ),
        model=model.link(page),
        classes=overview,
        first=_side(model, classes, page, pair, pair.first, pair.second),
        second=_side(model, classes, page, pair, pair.second, pair.first),
        basis=class_parts.basis(classes.measured),
        verdict=_verdict(pair),
        rows=tuple(_row(model, page, effect, scale) for effect in effects),
        scale=wording.number(scale),
        units=units,
        on_photos=any(on for unit in units for on in unit.maps),
        num_swapped=len(pair.swapped),
        tables=first_tables(gallery),
        bgr=model.bgr,
    )


def _side(model: Model, classes: Classes, page: str, pair: Comparison, index: int, other: int) -> Side:
    """The class of a swapped image is known by its label, hence only of images with a picture."""
    name, count, total = classes.labels[index], classes.confusion[index][other], sum(classes.confusion[index])
    layer = class_parts.output(model, classes)
    known = class_parts.pictured(model)
    of_it = [i for i in pair.swapped if i in known and known[i][0].label == name]
    return Side(
        link=Link(text=name, href=model.class_href(page, index)),
        taken=class_parts.taken(classes, index, other),
        share=round(count / total, 4) if total else 0.0,
        swapped=class_parts.image_tiles(model, page, of_it[:SHOWN_IMAGES], {}),
        output=chip(model, page, layer, index) if layer else None,
    )


def _verdict(pair: Comparison) -> str:
    """How many units differ, in plain words."""
    tested, differ = wording.plural(pair.num_tested, "unit"), pair.num_significant
    if not pair.num_tested:
        return "No unit could be tested: too few images, or answers that never vary."
    if not differ:
        return f"Of {tested} tested, none answers to the two classes more differently than chance would explain."
    if differ == pair.num_tested:
        return f"All {tested} tested answer to the two classes more differently than chance would explain."
    verb = "answers" if differ == 1 else "answer"
    return f"Of {tested} tested, {differ:,} {verb} to the two classes more differently than chance would explain."


def _scale(effects: tuple[UnitEffect, ...]) -> float:
    """The next whole number above every end of an interval."""
    ends = [abs(end) for one in effects for end in (one.low, one.effect, one.high) if isfinite(end)]
    return float(max(1, ceil(max(ends, default=1.0))))


def _row(model: Model, page: str, one: UnitEffect, scale: float) -> EffectRow:
    low, dot, high = (round(100 * value / scale, 1) for value in (one.low, one.effect, one.high))
    return EffectRow(
        chip=chip(model, page, one.layer, one.unit),
        low=low,
        dot=dot,
        high=high,
        effect=class_parts.signed(one.effect),
        interval=f"{class_parts.signed(one.low)} to {class_parts.signed(one.high)}",
        p=class_parts.probability(one.p),
        means=(wording.number(one.mean_first), wording.number(one.mean_second)),
    )


def _unit_maps(model: Model, page: str, one: UnitEffect, labels: tuple[str, str]) -> UnitMaps:
    return UnitMaps(
        chip=chip(model, page, one.layer, one.unit),
        layer=model.layer_link(page, one.layer),
        where=f"{link.href}{model.fragment(one.layer, one.unit)}" if (link := model.layer_link(page, one.layer)) else "",
        filter=filter_cell(model, one.layer, one.unit),
        maps=(_map_on(model, page, one, labels[0]), _map_on(model, page, one, labels[1])),
    )


def _map_on(model: Model, page: str, one: UnitEffect, label: str) -> MapOn | None:
    """On the first photograph with that label."""
    found = _first_probe(model, one.layer, label)
    if found is None:
        return None
    probe, maps = found
    state = maps.statistics.state[one.unit]
    return MapOn(
        photo=tiles.safe_file(probe.thumbnail.file),
        title=probe.probe.title,
        href=urls.relative(page, model.places.probes[probe.probe.name]),
        cell=tiles.cell(maps.tile_sheets, one.unit, tiles.map_colours(maps.signed)) if state == "ok" else None,
        state=state,
        maximum=wording.number(maps.statistics.maximum[one.unit]),
    )


def _first_probe(model: Model, layer: str, label: str) -> tuple[ProbePictures, FeatureMaps] | None:
    for probe in model.content.probes:
        maps = model.main_maps(layer, probe.probe.name)
        # One number is no picture worth showing.
        if probe.probe.label == label and maps and maps.map_size != (1, 1):
            return probe, maps
    return None
