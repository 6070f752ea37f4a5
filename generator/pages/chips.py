"""A unit wherever a page names one: a small picture, its name, and the way to it."""

from __future__ import annotations

from generator.network.graph import INPUT
from generator.pages import tiles
from generator.pages.gallery import Model
from generator.pages.visualised import is_smooth
from generator.records import Record

#: Names of image channels, in the order a model reads them.
CHANNELS = {"rgb": ("red", "green", "blue"), "bgr": ("blue", "green", "red"), "grey": ("grey",)}

#: Kinds whose unit `i` stands for unit `i` of the layer before.
PASSING = ("mean", "avg_pool", "max_pool")


class UnitChip(Record):
    """text: the class a unit stands for, else `layer · unit`. href: None for an image channel and for a layer without a page.

    cell: its feature visualisation, else its map on the first image it answers to, else its filter; that of the unit it passes
    on, as a global mean does; None without any.
    Drawn by `unit_chip` of `partials/pieces.html.jinja` on pages that load `units.css`.
    """

    layer: str
    unit: int
    text: str
    href: str | None
    cell: tiles.Cell | None


def chip(model: Model, page: str, layer: str, unit: int) -> UnitChip:
    """The chip of a unit, or of a channel of the image (`layer` is `input`), for `page` (a path from the site's root)."""
    return UnitChip(
        layer=layer,
        unit=unit,
        text=unit_text(model, layer, unit),
        href=model.unit_href(page, layer, unit),
        cell=thumbnail(model, layer, unit),
    )


def unit_text(model: Model, layer: str, unit: int) -> str:
    if layer == INPUT:
        names = CHANNELS[model.info.preprocessing.channels]
        return f"image · {names[unit] if unit < len(names) else unit}"
    names = model.unit_names(layer)
    return names[unit] if names else f"{layer} · {unit}"


def thumbnail(model: Model, layer: str, unit: int) -> tiles.Cell | None:
    """Worked out once for each unit: a unit is named on many pages."""
    key = (layer, unit)
    if key not in model.thumbnails:
        found = _visualisation(model, layer, unit) or _map(model, layer, unit) or filter_cell(model, layer, unit)
        model.thumbnails[key] = found or _passed_on(model, layer, unit)
    return model.thumbnails[key]


def _visualisation(model: Model, layer: str, unit: int) -> tiles.Cell | None:
    place = model.visualised(layer).get(unit)
    found = model.content.feature_vis.get(layer)
    if place is None or found is None or found.units[place].state != "ok":
        return None
    return tiles.cell(found.sheets, place, smooth=is_smooth(found))


def _map(model: Model, layer: str, unit: int) -> tiles.Cell | None:
    for probe in model.content.probes:
        maps = model.main_maps(layer, probe.probe.name)
        # One number is no picture worth showing.
        if maps and maps.map_size != (1, 1) and maps.statistics.state[unit] == "ok":
            return tiles.cell(maps.tile_sheets, unit, tiles.map_colours(maps.signed))
    return None


def _passed_on(model: Model, layer: str, unit: int) -> tiles.Cell | None:
    """A layer without pictures of its own that reads one layer unit by unit shows the units it reads."""
    node = model.graph.by_name.get(layer)
    if node is None or node.kind not in PASSING or len(node.inputs) != 1 or node.inputs[0] == INPUT:
        return None
    source = node.inputs[0]
    return thumbnail(model, source, unit) if model.graph.by_name[source].num_units == node.num_units else None


def filter_cell(model: Model, layer: str, unit: int) -> tiles.Cell | None:
    """The unit's kernel; None where kernels are drawn as one matrix, or not at all."""
    filters = model.content.filters.get(layer)
    if not filters or not filters.sheets:
        return None
    return tiles.cell(filters.sheets, unit, "bgr" if model.bgr and filters.look == "colour" else None)
