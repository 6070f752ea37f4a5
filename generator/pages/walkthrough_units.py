"""The second half of the walkthrough: what units look for, which of them are idle, and how two classes differ."""

from __future__ import annotations

from collections.abc import Iterator

from generator.network.graph import Layer
from generator.pages import class_parts, health_words, tiles, urls, wording
from generator.pages.chips import UnitChip, chip, filter_cell, thumbnail
from generator.pages.class_parts import ImageTile
from generator.pages.content import Link
from generator.pages.gallery import Gallery, Model
from generator.pages.removals import RemovalRow, removal_rows
from generator.pages.unit_panels import Patch, exemplar_panel
from generator.pages.visualised import described
from generator.pages.walkthrough_parts import COVER, Shown, Strip, cover, evenly, telling_units
from generator.records import Classes, Comparison, Health, LayerHealth, Record, VisualisedUnit

#: Layers whose visualisations are shown, units of each; units with exemplars, exemplars of each; units at fault, groups of
#: twins; units that tell classes apart; images that were mixed up.
SHOWN_LAYERS, SHOWN_UNITS = 3, 6
SHOWN_SEEKERS, SHOWN_PATCHES = 4, 6
SHOWN_FAULTS, SHOWN_CLUSTERS, SHOWN_TWINS = 12, 4, 3
SHOWN_EFFECTS, SHOWN_SWAPPED = 8, 8


class Sought(Record):
    """Visualisations. how: they were made, in sentences."""

    cover: tuple[tiles.Cell, ...]
    model: Link
    strips: tuple[Strip, ...]
    how: tuple[str, ...]


class Excited(Record):
    """A unit and the images that excite it most."""

    unit: Shown
    patches: tuple[Patch, ...]


class Found(Record):
    """Exemplars of some units of one layer."""

    cover: tuple[tiles.Cell, ...]
    model: Link
    layer: Link
    dataset: str
    num_images: int
    units: tuple[Excited, ...]


class Alike(Record):
    """Units that say the same. kept: the one that varies most."""

    kept: Shown
    others: tuple[Shown, ...]


class Idle(Record):
    """One layer's units at fault, and what happens without such units anywhere. headline, basis: of the whole model.

    removals: empty where none were tried.
    """

    cover: tuple[tiles.Cell, ...]
    model: Link
    health: Link
    layer: Link
    headline: str
    basis: str
    faults: tuple[Shown, ...]
    clusters: tuple[Alike, ...]
    labelled: bool
    removals: tuple[RemovalRow, ...]


class Telling(Record):
    chip: UnitChip
    effect: str
    interval: str
    means: tuple[str, str]


class Compared(Record):
    """The pair of classes that is confused most. taken: how often, in clauses."""

    cover: tuple[tiles.Cell, ...]
    model: Link
    classes: Link
    pair: Link
    names: tuple[str, str]
    accuracy: str
    interval: str
    basis: str
    taken: tuple[str, str]
    num_tested: int
    num_significant: int
    units: tuple[Telling, ...]
    swapped: tuple[ImageTile, ...]


def sought(gallery: Gallery, page: str) -> Sought | None:
    """Of the first model with visualisations, layers from early to late."""
    for model in gallery.models:
        named = _with_weights(model, [name for name in model.content.layers if _visualised(model, name)])
        if named:
            strips = tuple(
                Strip(
                    link=model.layer_link(page, name) or Link(text=name, href=""),
                    note=_what(model.graph.by_name[name]),
                    pictures=telling_units(model, page, name, SHOWN_UNITS),
                )
                for name in evenly(named, SHOWN_LAYERS)
            )
            setup = model.content.feature_vis[named[0]].setup
            pictures = cover(strips[len(strips) // 2].pictures)
            return Sought(cover=pictures, model=model.link(page), strips=strips, how=described(setup))
    return None


def _what(layer: Layer) -> str:
    return f"{wording.kind(layer).capitalize()}, {wording.plural(layer.num_units, 'unit')}."


def _visualised(model: Model, layer: str) -> list[VisualisedUnit]:
    """Those units that an image was found for."""
    found = model.content.feature_vis.get(layer)
    return [unit for unit in found.units if unit.state == "ok"] if found else []


def _with_weights(model: Model, layers: list[str]) -> list[str]:
    """Those of the layers that have weights, else all: the others only pass on what these say."""
    return [name for name in layers if model.graph.by_name[name].has_kernel] or layers


def excited(gallery: Gallery, page: str) -> Found | None:
    """Of the first model with exemplars, a layer from the middle whose units are visualised too, if there is one."""
    for model in gallery.models:
        layers = _with_weights(model, [name for name in model.content.layers if model.exemplars_of(name)])
        both = [name for name in layers if _visualised(model, name)]
        inner = [name for name in both or layers if not model.unit_names(name)] or both or layers
        if not inner:
            continue
        layer = inner[len(inner) // 2]
        wanted = telling_units(model, page, layer, SHOWN_SEEKERS) if both else _plain(model, page, layer)
        units = tuple(_excited(model, page, layer, wanted))
        link = model.layer_link(page, layer)
        exemplars, images = model.content.exemplars[layer], model.content.images
        if units and link and images:
            return Found(
                cover=tuple(patch.cell for patch in units[0].patches)[:COVER],
                model=model.link(page),
                layer=link,
                dataset=images.dataset.title,
                num_images=exemplars.num_images,
                units=units,
            )
    return None


def _plain(model: Model, page: str, layer: str) -> tuple[Shown, ...]:
    """The first units with exemplars, where none is visualised."""
    return tuple(_unit(model, page, layer, unit) for unit in list(model.exemplars_of(layer))[:SHOWN_SEEKERS])


def _excited(model: Model, page: str, layer: str, wanted: tuple[Shown, ...]) -> Iterator[Excited]:
    for shown in wanted:
        panel = exemplar_panel(model, page, layer, shown.unit)
        if panel and panel.highest:
            yield Excited(unit=shown, patches=panel.highest[:SHOWN_PATCHES])


def idle(gallery: Gallery, page: str) -> Idle | None:
    """Of the first model with a unit at fault, its first such layer whose filters can be drawn; else of any measured one."""
    measured = [(model, layer) for model in gallery.models for layer in model.health.values()]
    ill = [(model, layer) for model, layer in measured if layer.faults or layer.clusters]
    drawn = [(model, layer) for model, layer in ill if filter_cell(model, layer.layer, 0)]
    if not measured:
        return None
    model, layer = (drawn or ill or measured)[0]
    health = model.content.health
    link = model.layer_link(page, layer.layer)
    return _idle(model, page, health, layer, link) if health and link else None


def _idle(model: Model, page: str, health: Health, layer: LayerHealth, link: Link) -> Idle:
    kinds: dict[int, list[str]] = {}
    for fault in layer.faults:
        kinds.setdefault(fault.unit, []).append(health_words.NAMES.get(fault.kind, fault.kind))
    faults = tuple(_unit(model, page, layer.layer, unit, ", ".join(said)) for unit, said in list(kinds.items())[:SHOWN_FAULTS])
    clusters = tuple(
        Alike(
            kept=_unit(model, page, layer.layer, cluster.kept, "stays"),
            others=tuple(
                _unit(model, page, layer.layer, twin.unit, health_words.likeness(twin)) for twin in cluster.others[:SHOWN_TWINS]
            ),
        )
        for cluster in layer.clusters[:SHOWN_CLUSTERS]
    )
    tried = [one for one in health.removals if one.kind != "weakest" and one.layer in (None, layer.layer)]
    return Idle(
        cover=cover([*faults, *(shown for found in clusters for shown in (found.kept, *found.others))]),
        model=model.link(page),
        health=Link(text=model.info.title, href=model.health_href(page, layer.layer) or ""),
        layer=link,
        headline=health_words.headline(model.health),
        basis=health_words.seen_on(health.measured),
        faults=faults,
        clusters=clusters,
        labelled=any(one.before is not None for one in tried),
        removals=removal_rows(model, page, tried),
    )


def _unit(model: Model, page: str, layer: str, unit: int, note: str = "") -> Shown:
    """A unit by its filter where that can be drawn, as faults are often seen there."""
    cell = filter_cell(model, layer, unit) or thumbnail(model, layer, unit)
    return Shown(unit=unit, cell=cell, href=model.unit_href(page, layer, unit) or "", text=f"unit {unit}", note=note)


def compared(gallery: Gallery, page: str) -> Compared | None:
    """Of the first model with a compared pair of classes."""
    for model in gallery.models:
        if model.content.classes and model.content.classes.comparisons:
            return _compared(model, page, model.content.classes, model.content.classes.comparisons[0])
    return None


def _compared(model: Model, page: str, classes: Classes, pair: Comparison) -> Compared:
    names = classes.labels[pair.first], classes.labels[pair.second]
    known = class_parts.pictured(model)
    of = {index: f"is {known[index][0].label}" for index in pair.swapped if index in known}
    swapped = class_parts.image_tiles(model, page, list(of)[:SHOWN_SWAPPED], of)
    return Compared(
        cover=tuple(image.cell for image in swapped)[:COVER],
        model=model.link(page),
        classes=Link(text=model.info.title, href=urls.relative(page, model.places.classes)),
        pair=Link(text=f"{names[0]} and {names[1]}", href=model.comparison_href(page, pair.first, pair.second) or ""),
        names=names,
        accuracy=class_parts.percent(classes.accuracy),
        interval=class_parts.interval(classes.low, classes.high),
        basis=class_parts.basis(classes.measured),
        taken=(
            class_parts.taken(classes, pair.first, pair.second),
            class_parts.taken(classes, pair.second, pair.first),
        ),
        num_tested=pair.num_tested,
        num_significant=pair.num_significant,
        units=tuple(
            Telling(
                chip=chip(model, page, one.layer, one.unit),
                effect=class_parts.signed(one.effect),
                interval=f"{class_parts.signed(one.low)} to {class_parts.signed(one.high)}",
                means=(wording.number(one.mean_first), wording.number(one.mean_second)),
            )
            for one in pair.units[:SHOWN_EFFECTS]
        ),
        swapped=swapped,
    )
