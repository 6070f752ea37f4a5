"""A unit's own page: what it looks for, what excites it, how often it answers, what it reads and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from generator.network.graph import INPUT, Layer
from generator.pages import health_words, tiles, unit_panels, unit_words, urls, wording
from generator.pages.chips import UnitChip, filter_cell
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import first_tables
from generator.pages.trace_view import Branch, TraceView, trace_view
from generator.records import ColorTable, Record

#: Breadth, depth and units of the trace on a unit's page; it says nothing new of layers that read the image.
TRACE = (2, 3, 12)


class FilterPanel(Record):
    """cell: None where kernels are drawn as one matrix. where: the way to its place among the layer's filters."""

    cell: tiles.Cell | None
    look: str
    kernel: str
    bound: str
    norm: str
    bias: str
    where: str


class UnitView(Record):
    """title: the class it stands for, else `Unit 12`. place: `12 of 48`, among units with pages. inside: its place on its
    layer's page. map_px: width of a map's tile, 0 without maps. digest: of the weights, hexadecimal. health: what is wrong
    with it, in sentences; health_href: the way to more about that.
    """

    frame: Frame
    model: Link
    layer: Link
    unit: int
    title: str
    named: bool
    words: tuple[str, ...]
    health: tuple[str, ...]
    health_href: str
    place: str
    inside: str
    previous: Link | None
    following: Link | None
    vis: unit_panels.VisPanel | None
    exemplars: unit_panels.ExemplarPanel | None
    histogram: unit_panels.Histogram | None
    classes: tuple[unit_panels.ClassRow, ...]
    selectivity: str
    maps: tuple[unit_panels.MapTile, ...]
    map_px: int
    vector: bool
    signed: bool
    filter: FilterPanel | None
    inputs: tuple[unit_panels.WireRow, ...]
    outputs: tuple[unit_panels.WireRow, ...]
    tuning: unit_panels.TuningPanel | None
    trace: TraceView | None
    seen: tuple[str, ...]
    digest: str
    tables: tuple[ColorTable, ...]
    bgr: bool


class UnitPage(Page):
    """Its view is worked out whenever it is asked for and not kept: a gallery may have 20,000 of them, 170 KB each."""

    def __init__(self, path: str, make: Callable[[], UnitView]):
        for name, value in (("path", path), ("template", "unit.html.jinja"), ("_make", make)):
            object.__setattr__(self, name, value)

    @property
    def view(self) -> UnitView:
        return self._make()


def unit_pages(gallery: Gallery, model: Model) -> list[Page]:
    """The pages of all units that have one, in the order of layers and units."""
    pages = []
    for name in model.content.layers:
        units = tuple(sorted(model.paged.get(name, ())))
        for place, unit in enumerate(units):
            make = partial(_view, gallery, model, model.graph.by_name[name], units, place)
            pages.append(UnitPage(model.places.unit(name, unit), make))
    return pages


def _view(gallery: Gallery, model: Model, layer: Layer, units: tuple[int, ...], place: int) -> UnitView:
    name, unit = layer.name, units[place]
    page = model.places.unit(name, unit)
    inside = urls.relative(page, model.places.layers[name])
    classes = model.unit_names(name)
    title = classes[unit] if classes else f"Unit {unit}"
    responses, wires = model.content.responses.get(name), model.content.wires.get(name)
    maps = unit_panels.map_tiles(model, page, name, unit)
    inputs = unit_panels.wire_rows(model, page, wires.inputs[unit]) if wires else ()
    outputs = unit_panels.wire_rows(model, page, wires.outputs[unit]) if wires else ()
    trace = None if set(layer.inputs) == {INPUT} else trace_view(model, page, name, unit, *TRACE)
    chips = [*(row.chip for row in (*inputs, *outputs)), *(_buds(trace.stem) if trace else ())]
    colours = {cell.colours for cell in (*(m.cell for m in maps), *(chip.cell for chip in chips)) if cell}
    return UnitView(
        frame=gallery.frame(
            page,
            f"{title} · {name} · {model.info.title}",
            f"Unit {unit} of {name} of {model.info.title}: what it looks for and what excites it.",
            crumbs=(model.link(page), Link(text=name, href=inside)),
            stylesheets=("site.css", "pages.css", "units.css", "hierarchy.css"),
        ),
        model=model.link(page),
        layer=Link(text=name, href=inside),
        unit=unit,
        title=title,
        named=bool(classes),
        words=_words(model, layer, unit, maps),
        health=_health(model, name, unit),
        health_href=model.health_href(page, name) or "",
        place=f"{place + 1:,} of {len(units):,}",
        inside=inside + model.fragment(name, unit),
        previous=_neighbour(model, page, name, units, place - 1),
        following=_neighbour(model, page, name, units, place + 1),
        vis=unit_panels.vis_panel(model, name, unit),
        exemplars=unit_panels.exemplar_panel(model, page, name, unit),
        histogram=unit_panels.histogram(responses, unit) if responses else None,
        classes=unit_panels.class_rows(model, responses, name, unit) if responses else (),
        selectivity=wording.number(responses.selectivity[unit]) if responses and responses.selectivity else "",
        maps=maps,
        map_px=main.tile_sheets[0].tile_px[1] if (main := next(iter(model.maps_by_layer.get(name, ())), None)) else 0,
        vector=not layer.spatial,
        signed=any(m.share < 0 for m in maps),
        filter=_filter(model, name, unit, inside),
        inputs=inputs,
        outputs=outputs,
        tuning=unit_panels.tuning_panel(model, name, unit),
        trace=trace,
        seen=wording.preprocessing(model.info.preprocessing),
        digest=model.info.weights.digest if model.info.weights else "",
        tables=tuple(t for t in first_tables(gallery) if tiles.map_colours(t.signed) in colours),
        bgr=model.bgr,
    )


def _buds(branch: Branch) -> Iterator[UnitChip]:
    """Every chip of a trace but its root's, which is the page's own unit."""
    yield from (bud.chip for bud in branch.buds)
    for part in branch.branches:
        yield from _buds(part)


def _words(model: Model, layer: Layer, unit: int, maps: tuple[unit_panels.MapTile, ...]) -> tuple[str, ...]:
    content, name = model.content, layer.name
    classes, responses, tuning = model.unit_names(name), content.responses.get(name), content.tuning.get(name)
    exemplars, place = model.exemplars_of(name).get(unit), model.visualised(name).get(unit)
    maxima = [m.statistics.maximum[unit] for p in content.probes if (m := model.main_maps(name, p.probe.name))]
    excited = place is None or content.feature_vis[name].units[place].state == "ok"
    sentences = (
        unit_words.class_sentence(classes[unit]) if classes else "",
        unit_words.sight(layer),
        unit_words.answers(responses, layer, unit) if responses else unit_words.best_image([m.title for m in maps], maxima),
        unit_words.shared_label(exemplars, model.dataset_images) if exemplars and content.images else "",
        unit_words.preference(tuning, unit) if tuning else "",
        "" if excited else "No image was found that excites it.",
    )
    return tuple(sentence for sentence in sentences if sentence)


def _health(model: Model, layer: str, unit: int) -> tuple[str, ...]:
    found, health = model.health.get(layer), model.content.health
    return tuple(health_words.unit_sentences(found, unit, health.measured)) if found and health else ()


def _neighbour(model: Model, page: str, layer: str, units: tuple[int, ...], place: int) -> Link | None:
    """The unit before or after among those with pages; the last one's next is the first."""
    if len(units) < 2:
        return None
    unit, classes = units[place % len(units)], model.unit_names(layer)
    return Link(text=classes[unit] if classes else str(unit), href=urls.relative(page, model.places.unit(layer, unit)))


def _filter(model: Model, layer: str, unit: int, inside: str) -> FilterPanel | None:
    filters = model.content.filters.get(layer)
    if not filters:
        return None
    return FilterPanel(
        cell=filter_cell(model, layer, unit),
        look=filters.look,
        kernel=wording.size(filters.kernel_shape[:-1]),
        bound=wording.number(filters.bounds[1]),
        norm=wording.number(filters.norms[unit]),
        bias=wording.number(filters.bias[unit]),
        where=f"{inside}#f{unit}" if filters.sheets else f"{inside}#filters",
    )
