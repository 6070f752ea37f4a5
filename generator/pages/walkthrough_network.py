"""The first half of the walkthrough: what a network is made of, its filters, and what it makes of an image."""

from __future__ import annotations

from generator.network.graph import Layer
from generator.pages import representatives, tiles, urls, wording
from generator.pages.content import Link
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import mosaic
from generator.pages.walkthrough_parts import COVER, Shown, Strip, cover, evenly
from generator.records import FeatureMaps, Filters, Picture, Predictions, Record

#: Rows of the table of layers, frames of receptive fields, filters of a layer, layers whose maps are shown, maps of each.
SHOWN_LAYERS, SHOWN_FIELDS, SHOWN_FILTERS, SHOWN_STATIONS, SHOWN_MAPS = 14, 6, 64, 5, 8


class NetworkLine(Record):
    link: Link
    source: str
    image: str
    layers: int
    params: int
    classes: int | None


class Networks(Record):
    """All models of the gallery."""

    cover: tuple[tiles.Cell, ...]
    lines: tuple[NetworkLine, ...]


class LayerLine(Record):
    link: Link
    kind: str
    kernel: str
    output: str
    field: str


class Sight(Record):
    """What one position sees at the end of a stage."""

    title: str
    text: str
    field: tiles.FieldBox


class Layers(Record):
    """A model's layers with weights. num_layers: of which `lines` are some, evenly chosen. trade: what changes on the way,
    in a sentence. photo: the image that `sights` are drawn on.
    """

    cover: tuple[tiles.Cell, ...]
    model: Link
    num_layers: int
    lines: tuple[LayerLine, ...]
    trade: str
    photo: Picture | None
    sights: tuple[Sight, ...]


class FirstFilters(Record):
    """colour: whether the filters are drawn in the image's colours. deeper: a later layer whose units read one channel each.

    longest, shortest: numbers of the filters with the largest and the smallest norm, with it.
    """

    cover: tuple[tiles.Cell, ...]
    model: Link
    colour: bool
    first: Strip
    deeper: Strip | None
    longest: str
    shortest: str


class Passage(Record):
    """One image on its way. strips: a layer for each size of map."""

    cover: tuple[tiles.Cell, ...]
    model: Link
    journey: Link
    photo: Picture
    predictions: Predictions | None
    other_label: str
    strips: tuple[Strip, ...]


def networks(gallery: Gallery, page: str) -> Networks | None:
    lines = tuple(
        NetworkLine(
            link=model.link(page),
            source=model.info.source,
            image=wording.size(model.graph.input_shape),
            layers=len(_weighty(model)),
            params=model.info.num_params,
            classes=model.info.num_classes,
        )
        for model in gallery.models
    )
    return Networks(cover=mosaic(gallery.models[0], COVER), lines=lines) if lines else None


def layers(gallery: Gallery, page: str) -> Layers | None:
    """Of the first model."""
    model = next((model for model in gallery.models if _weighty(model)), None)
    if model is None:
        return None
    found = _weighty(model)
    probe = model.first_probe
    ends = [stage[-1] for stage in representatives.stages(model) if stage[-1].spatial]
    return Layers(
        cover=_stations(model, COVER),
        model=model.link(page),
        num_layers=len(found),
        lines=tuple(_line(model, page, layer) for layer in evenly(found, SHOWN_LAYERS)),
        trade=_trade([layer for layer in found if layer.spatial]),
        photo=probe.shown if probe else None,
        sights=tuple(_sight(model, layer) for layer in evenly(ends, SHOWN_FIELDS)) if probe else (),
    )


def _weighty(model: Model) -> list[Layer]:
    return [layer for layer in model.graph.layers if layer.has_kernel]


def _line(model: Model, page: str, layer: Layer) -> LayerLine:
    return LayerLine(
        link=model.layer_link(page, layer.name) or Link(text=layer.name, href=""),
        kind=wording.kind(layer),
        kernel=wording.size(layer.kernel_shape or ()),
        output=wording.size(layer.shape),
        field="the whole image" if layer.receptive_field.whole else wording.size(layer.receptive_field.size),
    )


def _trade(found: list[Layer]) -> str:
    """Where maps shrink while their number grows, so much in words."""
    if not found or found[0].spatial is None or found[-1].spatial is None:
        return ""
    first, last = found[0], found[-1]
    if min(first.spatial) <= max(last.spatial) or first.num_units >= last.num_units:
        return ""
    sizes = f"from {wording.size(first.spatial)} to {wording.size(last.spatial)} positions"
    units = f"from {first.num_units:,} to {last.num_units:,}"
    return f"From {first.name} to {last.name}, maps shrink {sizes} while units grow {units}: the network trades where for what."


def _sight(model: Model, layer: Layer) -> Sight:
    return Sight(
        title=f"{wording.size(layer.spatial or ())} positions",
        text=wording.receptive_field(layer.receptive_field),
        field=tiles.field_box(layer.receptive_field, layer.spatial, model.graph.input_shape),
    )


def _stations(model: Model, count: int) -> tuple[tiles.Cell, ...]:
    """The strongest map of each size on the first probe."""
    return tuple(tiles.cell([maps.strip], 0, tiles.map_colours(maps.signed)) for maps in _passage(model)[:count])


def _passage(model: Model) -> list[FeatureMaps]:
    """On the first probe, of each size of map the first layer's, those that are never negative before others."""
    if model.first_probe is None:
        return []
    probe = model.first_probe.probe.name
    found = [m for name in model.content.layers if (m := model.main_maps(name, probe)) and min(m.map_size) > 1]
    by_size: dict[tuple[int, int], FeatureMaps] = {}
    for maps in sorted(found, key=lambda m: m.signed):
        by_size.setdefault(maps.map_size, maps)
    return sorted(by_size.values(), key=lambda m: -m.map_size[0])


def first_filters(gallery: Gallery, page: str) -> FirstFilters | None:
    """Of the first model that sees colours, else of the first whose filters can be drawn."""
    found = [
        (model, filters)
        for look in ("colour", "grey")
        for model in gallery.models
        for filters in model.content.filters.values()
        if filters.look == look and filters.sheets and filters.layer in model.places.layers
    ]
    if not found:
        return None
    model, filters = found[0]
    deeper = [
        f for f in model.content.filters.values() if f.look == "depthwise" and f.sheets and f.layer in model.places.layers
    ]
    first = _filter_strip(model, page, filters)
    by_norm = sorted(range(filters.num_units), key=lambda unit: filters.norms[unit] or 0.0)
    shortest, longest = (f"filter {unit} ({wording.number(filters.norms[unit])})" for unit in (by_norm[0], by_norm[-1]))
    return FirstFilters(
        cover=cover(first.pictures),
        model=model.link(page),
        colour=filters.look == "colour",
        first=first,
        deeper=_filter_strip(model, page, deeper[len(deeper) // 2]) if deeper else None,
        longest=longest,
        shortest=shortest,
    )


def _filter_strip(model: Model, page: str, filters: Filters) -> Strip:
    shown = range(min(filters.num_units, SHOWN_FILTERS))
    some = "All" if len(shown) == filters.num_units else f"The first {len(shown)} of"
    colours = "bgr" if model.bgr and filters.look == "colour" else None
    link = model.layer_link(page, filters.layer, "#filters")
    place = urls.relative(page, model.places.layers[filters.layer])
    return Strip(
        link=link or Link(text=filters.layer, href=place),
        note=f"{some} {wording.plural(filters.num_units, 'filter')}, on one scale of ±{wording.number(filters.bounds[1])}.",
        pictures=tuple(
            Shown(unit=unit, cell=tiles.cell(filters.sheets, unit, colours), href=f"{place}#f{unit}", text=f"{unit}")
            for unit in shown
        ),
    )


def passage(gallery: Gallery, page: str) -> Passage | None:
    """The first image through the first model that has maps."""
    model = next((model for model in gallery.models if _passage(model)), None)
    if model is None or model.first_probe is None:
        return None
    probe = model.first_probe
    strips = tuple(_map_strip(model, page, maps) for maps in evenly(_passage(model), SHOWN_STATIONS))
    return Passage(
        cover=cover(strips[-1].pictures),
        model=model.link(page),
        journey=Link(text=probe.probe.title, href=urls.relative(page, model.places.probes[probe.probe.name])),
        photo=probe.shown,
        predictions=model.content.predictions.get(probe.probe.name),
        other_label=model.other_label(probe.probe),
        strips=strips,
    )


def _map_strip(model: Model, page: str, maps: FeatureMaps) -> Strip:
    place = f"{urls.relative(page, model.places.layers[maps.layer])}?probe={urls.query(maps.probe)}"
    zero = sum(maps.statistics.zero_fraction) / maps.num_units
    answered = "" if maps.signed else f", {100 * (1 - zero):.0f} % of all values above zero"
    return Strip(
        link=Link(text=maps.layer, href=place),
        note=f"{wording.size(maps.map_size)} positions{answered}.",
        pictures=tuple(
            Shown(
                unit=unit,
                cell=tiles.cell([maps.strip], number, tiles.map_colours(maps.signed)),
                href=f"{place}#u{unit}",
                text=f"unit {unit}",
                note=f"up to {wording.number(maps.statistics.maximum[unit])}",
            )
            for number, unit in enumerate(maps.strongest[: min(SHOWN_MAPS, maps.strip.count)])
        ),
    )
