"""A layer's page: every unit's map on every probe, every filter, and the layer's numbers."""

from __future__ import annotations

from generator.network.graph import INPUT, Layer
from generator.pages import inputs, tiles, urls, wording
from generator.pages.content import Fact, Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.records import ColorTable, FeatureMaps, Filters, Picture, Record, Sheet, UnitStatistics

#: Classes of layers of at most so many units are written under their tiles.
MOST_WRITTEN = 64
#: What tiles without a picture say.
STATES = {"zero": "zero", "constant": "constant", "nan": "not a number", "infinite": "infinite"}


class ProbeChoice(Record):
    """name: also what `?probe=` in the page's address says."""

    name: str
    title: str
    href: str
    thumbnail: Picture
    photo: str


class Setting(Record):
    """The maps of one probe and value. files: one for each block. shared_high: the upper end of the layer's shared scale.

    states: unit numbers by state, `ok` left out.
    """

    probe: int
    value: int
    signed: bool
    tile_files: tuple[str, ...]
    shared_high: str
    states: tuple[tuple[str, tuple[int, ...]], ...]


class MapsSection(Record):
    """vector: one number a unit, which is on the shared scale from the start. field: what the middle position sees.

    first_states: by unit, in words, on the image the page opens with. scales: small, medium, large. phone_scale: medium where
    three tiles share a row. photo: the first image; all are as large.
    """

    num_units: int
    map_size: tuple[int, int]
    vector: bool
    tile_px: tuple[int, int]
    scales: tuple[float, float, float]
    phone_scale: float
    blocks: tuple[tiles.Block, ...]
    probes: tuple[ProbeChoice, ...]
    photo: Picture | None
    values: tuple[str, ...]
    settings: tuple[Setting, ...]
    first_states: dict[int, str]
    any_signed: bool
    any_unsigned: bool
    field: tiles.FieldBox
    field_text: str


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

    data: the numbers' script, relative. tables: colour tables for the maps.
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
    data: str
    maps: MapsSection | None
    filters: FiltersSection | None
    tables: tuple[ColorTable, ...]
    bgr: bool


class MapNumbers(Record):
    """A tile's own bounds follow from its minimum and maximum: 0 or minus the larger of both, and the larger of both."""

    probe: str
    value: str
    signed: bool
    shared_bounds: tuple[float, float]
    statistics: UnitStatistics


class FilterNumbers(Record):
    """links: each strongest input's layer and, where it has one, its page. sheets: of the strongest slices."""

    norms: list[float | None]
    scale: list[float | None]
    bias: list[float | None]
    num_strongest: int
    strongest: list[list[tuple[int, int, float]]]
    sources: tuple[Link, ...]
    sheets: tuple[Sheet, ...]


class LayerNumbers(Record):
    """All numbers of a layer, for its page and for journeys; `data/` of DESIGN in the shape a script can load from `file://`."""

    layer: str
    maps: tuple[MapNumbers, ...]
    filters: FilterNumbers | None


def layer_pages(gallery: Gallery, model: Model) -> list[Page]:
    pages = []
    for name in model.content.layers:
        view = _view(gallery, model, name)
        pages.append(Page(path=model.places.layers[name], template="layer.html.jinja", view=view))
        pages.append(Page(path=model.places.numbers[name], template="layer.js.jinja", view=_numbers(model, name)))
        if (filters := model.content.filters.get(name)) and inputs.has_page(filters):
            pages.append(inputs.inputs_page(gallery, model, name))
    return pages


def _view(gallery: Gallery, model: Model, name: str) -> LayerView:
    page = model.places.layers[name]
    layer = model.graph.by_name[name]
    order = model.content.layers
    position = order.index(name)
    maps = _maps(model, layer, page)
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
        data=urls.relative(page, model.places.numbers[name]),
        maps=maps,
        filters=_filters(model, filters, page) if filters else None,
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


def _node(model: Model, name: str, page: str) -> Link:
    """A link to a node: its own page, else its model's."""
    own = model.layer_link(page, name)
    return own or Link(text="the image" if name == INPUT else name, href=urls.relative(page, model.places.index))


def _maps(model: Model, layer: Layer, page: str) -> MapsSection | None:
    every = model.maps_by_layer.get(layer.name)
    if not every:
        return None
    first = every[0]
    values = tuple(v for v in ("activation", "pre_activation") if any(m.value == v for m in every))
    pictures = {p.probe.name: p for p in model.content.probes}
    names = [name for name in pictures if any(m.probe == name for m in every)]
    layout = [tiles.blocks(m.tile_sheets) for m in every]
    if any(blocks != layout[0] for blocks in layout):
        raise ValueError(f"{layer.name}: sheets of the same layer differ in their layout")
    tile_px = first.tile_sheets[0].tile_px
    settings = tuple(_setting(m, names.index(m.probe), values.index(m.value)) for m in every)
    opening = min(settings, key=lambda s: (s.probe, s.value))
    return MapsSection(
        num_units=first.num_units,
        map_size=first.map_size,
        vector=first.map_size == (1, 1),
        tile_px=tile_px,
        scales=tiles.scales(tile_px, _target_px(first)),
        phone_scale=tiles.scale(tile_px, 40 if first.map_size == (1, 1) else 112),
        blocks=layout[0],
        probes=tuple(
            ProbeChoice(
                name=name,
                title=pictures[name].probe.title,
                href=urls.relative(page, model.places.probes[name]),
                thumbnail=pictures[name].thumbnail,
                photo=tiles.safe_file(pictures[name].shown.file),
            )
            for name in names
        ),
        photo=model.first_probe.shown if model.first_probe else None,
        values=values,
        settings=settings,
        first_states={unit: STATES[state] for state, units in opening.states for unit in units},
        any_signed=any(m.signed for m in every),
        any_unsigned=any(not m.signed for m in every),
        field=tiles.field_box(layer.receptive_field, layer.spatial, model.graph.input_shape),
        field_text=wording.receptive_field(layer.receptive_field),
    )


def _target_px(maps: FeatureMaps) -> float:
    """How large a map is drawn at first: the more units, the smaller."""
    if maps.map_size == (1, 1):
        return 40
    return 112 if maps.num_units <= 192 else 84


def _setting(maps: FeatureMaps, probe: int, value: int) -> Setting:
    units: dict[str, list[int]] = {}
    for unit, state in enumerate(maps.statistics.state):
        if state != "ok":
            units.setdefault(state, []).append(unit)
    return Setting(
        probe=probe,
        value=value,
        signed=maps.signed,
        tile_files=tuple(tiles.safe_file(s.file) for s in maps.tile_sheets),
        shared_high=wording.number(maps.shared_bounds[1]),
        states=tuple((state, tuple(found)) for state, found in sorted(units.items())),
    )


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


def _numbers(model: Model, name: str) -> LayerNumbers:
    filters = model.content.filters.get(name)
    return LayerNumbers(
        layer=name,
        maps=tuple(
            MapNumbers(
                probe=m.probe,
                value=m.value,
                signed=m.signed,
                shared_bounds=m.shared_bounds,
                statistics=m.statistics,
            )
            for m in model.maps_by_layer.get(name, ())
        ),
        filters=_filter_numbers(model, filters) if filters else None,
    )


def _filter_numbers(model: Model, filters: Filters) -> FilterNumbers:
    """Layers of strongest inputs are listed once and referred to by their place in the list."""
    sources = list(dict.fromkeys(strong.layer for found in filters.strongest for strong in found))
    place = {name: i for i, name in enumerate(sources)}
    # From the site's root: journeys, one folder deeper, read the same file.
    return FilterNumbers(
        norms=filters.norms,
        scale=filters.scale,
        bias=filters.bias,
        num_strongest=filters.num_strongest,
        strongest=[[(place[s.layer], s.channel, s.weight) for s in found] for found in filters.strongest],
        sources=tuple(inputs.source(model, source, urls.HOME) for source in sources),
        sheets=tuple(filters.strongest_sheets),
    )
