"""A layer's page: every unit's map on every probe, every filter, and the layer's numbers."""

from __future__ import annotations

from generator.network.graph import INPUT, Layer
from generator.pages import health_words, inputs, tiles, urls, wording
from generator.pages.content import Fact, Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.layer_maps import MapsSection, maps_section
from generator.pages.layer_numbers import layer_numbers
from generator.pages.visualised import VisSection, vis_section
from generator.records import ColorTable, Filters, Picture, Record

#: Classes of layers of at most so many units are written under their tiles.
MOST_WRITTEN = 64


class FiltersSection(Record):
    """blocks, files: of the filters' sheets; empty for a weight matrix, which is one picture.

    reads: how many inputs a filter has and the layers they are units of. inputs: the strongest of every filter; where they
    are too many for this page, inputs_href leads to theirs.
    """

    look: str
    num_units: int
    kernel: str
    bound: str
    tile_px: tuple[int, int]
    scale: float
    blocks: tuple[tiles.Block, ...]
    files: tuple[str, ...]
    matrix: Picture | None
    matrix_scale: float
    num_inputs: int
    sources: tuple[Link, ...]
    inputs: inputs.InputsSection | None
    inputs_href: str | None
    chart: Picture


class LayerView(Record):
    """unit_names: the class of every unit of an output; else empty. names_written: whether they stand under the tiles.

    pages: by unit, its own page, relative. data: the numbers' script, relative. tables: colour tables for the maps.
    health: what is wrong with its units, sentences with the way to more; empty where nothing is.
    """

    frame: Frame
    model: Link
    name: str
    kind: str
    explanation: str
    facts: tuple[Fact, ...]
    previous: Link | None
    following: Link | None
    unit_names: tuple[str, ...]
    names_written: bool
    pages: dict[int, str]
    data: str
    vis: VisSection | None
    maps: MapsSection | None
    filters: FiltersSection | None
    health: tuple[str, ...]
    health_href: str
    tables: tuple[ColorTable, ...]
    bgr: bool


def layer_pages(gallery: Gallery, model: Model) -> list[Page]:
    pages = []
    for name in model.content.layers:
        view = _view(gallery, model, name)
        pages.append(Page(path=model.places.layers[name], template="layer.html.jinja", view=view))
        pages.append(Page(path=model.places.numbers[name], template="layer.js.jinja", view=layer_numbers(model, name)))
        if (filters := model.content.filters.get(name)) and inputs.has_page(filters):
            pages.append(inputs.inputs_page(gallery, model, name))
    return pages


def _view(gallery: Gallery, model: Model, name: str) -> LayerView:
    page = model.places.layers[name]
    layer = model.graph.by_name[name]
    order = model.content.layers
    position = order.index(name)
    maps = maps_section(model, layer, page)
    filters = model.content.filters.get(name)
    names = model.unit_names(name)
    kind = wording.kind(layer)
    return LayerView(
        frame=gallery.frame(
            page,
            f"{name} · {model.info.title}",
            f"{name} of {model.info.title}: {kind}, {wording.plural(layer.num_units, 'unit')}.",
            crumbs=(model.link(page),),
            stylesheets=("site.css",),
        ),
        model=model.link(page),
        name=name,
        kind=kind,
        explanation=wording.explanation(layer),
        facts=_facts(model, layer, page),
        previous=model.layer_link(page, order[position - 1]) if position else None,
        following=model.layer_link(page, order[position + 1]) if position + 1 < len(order) else None,
        unit_names=names,
        names_written=0 < len(names) <= MOST_WRITTEN,
        pages={unit: urls.relative(page, model.places.unit(name, unit)) for unit in sorted(model.paged.get(name, ()))},
        data=urls.relative(page, model.places.numbers[name]),
        vis=vis_section(model, name),
        maps=maps,
        filters=_filters(model, filters, page) if filters else None,
        health=_health(model, name),
        health_href=model.health_href(page, name) or "",
        tables=gallery.tables(signed=maps.any_signed, unsigned=maps.any_unsigned) if maps else (),
        bgr=model.bgr,
    )


def _facts(model: Model, layer: Layer, page: str) -> tuple[Fact, ...]:
    facts = [
        Fact(term="Units", text=f"{layer.num_units:,}"),
        Fact(term="Output", text=wording.size(layer.shape)),
    ]
    if layer.kernel_shape:
        facts.append(Fact(term="Kernel", text=wording.size(layer.kernel_shape)))
    if layer.strides and layer.strides != (1, 1):
        facts.append(Fact(term="Stride", text=wording.size(layer.strides)))
    if layer.dilation and layer.dilation != (1, 1):
        facts.append(Fact(term="Dilation", text=wording.size(layer.dilation)))
    if layer.groups > 1:
        facts.append(Fact(term="Groups", text=f"{layer.groups:,}"))
    if layer.activation:
        facts.append(Fact(term="Activation", text=layer.activation))
    facts.append(Fact(term="One position sees", text=wording.receptive_field(layer.receptive_field)))
    if layer.num_params:
        facts.append(Fact(term="Parameters", text=wording.amount(layer.num_params)))
    if layer.flops:
        facts.append(Fact(term="Operations per image", text=wording.amount(layer.flops)))
    reads = tuple(_node(model, name, page) for name in layer.inputs)
    read_by = tuple(_node(model, name, page) for name in model.graph.consumers(layer.name))
    if reads:
        facts.append(Fact(term="Reads", links=reads))
    facts.append(Fact(term="Read by", links=read_by) if read_by else Fact(term="Read by", text="nothing: an output"))
    return tuple(facts)


def _health(model: Model, layer: str) -> tuple[str, ...]:
    """What is wrong with a layer's units, and what happened without them."""
    found, health = model.health.get(layer), model.content.health
    sentence = health_words.layer_sentence(found) if found else ""
    if not sentence or not health:
        return ()
    without = [
        f"Without the {one.kind} ones, on {wording.plural(one.num_images, 'image')}: {health_words.change(one)}."
        for one in health.removals
        if one.layer == layer and one.kind != "weakest"
    ]
    return (sentence, *without, health_words.seen_on(health.measured))


def _node(model: Model, name: str, page: str) -> Link:
    """A link to a node: its own page, else its model's."""
    own = model.layer_link(page, name)
    return own or Link(text="the image" if name == INPUT else name, href=urls.relative(page, model.places.index))


def _filters(model: Model, filters: Filters, page: str) -> FiltersSection:
    tile_px = filters.sheets[0].tile_px if filters.sheets else (1, 1)
    target = {"colour": 72, "grey": 72, "depthwise": 60, "spatial": 112}.get(filters.look, 64)
    matrix = filters.matrix
    return FiltersSection(
        look=filters.look,
        num_units=filters.num_units,
        kernel=wording.size(filters.kernel_shape),
        bound=wording.number(filters.bounds[1]),
        tile_px=tile_px,
        scale=tiles.scale(tile_px, target),
        blocks=tiles.blocks(filters.sheets),
        files=tuple(tiles.safe_file(s.file) for s in filters.sheets),
        matrix=matrix,
        matrix_scale=max(1.0, tiles.scale((matrix.height_px, matrix.width_px), 640)) if matrix else 1.0,
        num_inputs=filters.kernel_shape[-2],
        sources=tuple(
            inputs.source(model, name, page)
            for name in dict.fromkeys(strong.layer for found in filters.strongest for strong in found)
        ),
        inputs=inputs.inside(model, filters, page),
        inputs_href=urls.relative(page, model.places.filters[filters.layer]) if inputs.has_page(filters) else None,
        chart=filters.chart,
    )
