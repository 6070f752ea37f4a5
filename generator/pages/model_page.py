"""A model's page: its architecture, all its layers, the images that went through it, and where it came from."""

from __future__ import annotations

from generator.pages import architecture, health_words, representatives, tiles, urls, wording
from generator.pages.content import Fact, Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.quirk_lines import QuirkLine, quirk_lines
from generator.records import ColorTable, FeatureMaps, Picture, Record, Sheet, WeightsInfo

#: How many maps of a layer its row in the table shows at most: the first row of the strip's file, cut by CSS.
SHOWN_MAPS = 6
#: Tiles below the title.
RIBBON = 18
#: About how high they are.
MAP_PX = 56


class LayerRow(Record):
    """href: None for a layer without a page. strip: its strongest maps on the first probe; the first `shown` are seen.

    map_px: how high they are shown. badges: what is wrong with its units; health: the way to more about that, or empty.
    """

    name: str
    href: str | None
    badges: tuple[str, ...]
    health: str
    kind: str
    output: str
    params: int
    flops: int
    field: str
    strip: Sheet | None
    shown: int
    map_px: int
    signed: bool


class ProbeCard(Record):
    """answer: the class the model finds most likely, and how sure it is where it says so. other_label: see `Model`."""

    title: str
    href: str
    picture: Picture
    pixelated: bool
    answer: str
    score: str
    other_label: str


class ModelView(Record):
    """mosaic: visualisations from early to late, else maps. hierarchy: the way to that page; ways: to the model's others.

    choice: which of the layers have a page, and why these.
    """

    frame: Frame
    title: str
    description: str
    facts: tuple[Fact, ...]
    mosaic: tuple[tiles.Cell, ...]
    hierarchy: str | None
    ways: tuple[Link, ...]
    quirks: tuple[QuirkLine, ...]
    architecture: architecture.Architecture
    choice: str
    layers: tuple[LayerRow, ...]
    probes: tuple[ProbeCard, ...]
    seen: tuple[str, ...]
    weights: WeightsInfo | None
    source: str
    tables: tuple[ColorTable, ...]
    bgr: bool


def model_page(gallery: Gallery, model: Model) -> Page:
    page = model.places.index
    info = model.info
    rows = tuple(_row(model, page, layer.name) for layer in model.graph.layers)
    view = ModelView(
        frame=gallery.frame(
            page,
            info.title,
            info.description or f"{info.title} from the inside.",
            picture=model.first_probe.shown.file if model.first_probe else None,
            stylesheets=("site.css", "pages.css", "findings.css"),
        ),
        title=info.title,
        description=info.description,
        facts=model_facts(model),
        mosaic=representatives.ribbon(model, RIBBON) or mosaic(model, RIBBON),
        hierarchy=representatives.href(model, page),
        ways=_ways(model, page),
        quirks=quirk_lines(model, page),
        architecture=architecture.draw(
            model.graph,
            lambda layer: _href(model, page, layer.name),
            {name: health_words.badges(found) for name, found in model.health.items()},
        ),
        choice=model.content.choice,
        layers=rows,
        probes=tuple(probe_card(model, page, place) for place in range(len(model.content.probes))),
        seen=wording.preprocessing(info.preprocessing),
        weights=info.weights,
        source=info.source,
        tables=first_tables(gallery),
        bgr=model.bgr,
    )
    return Page(path=page, template="model.html.jinja", view=view)


def first_tables(gallery: Gallery) -> tuple[ColorTable, ...]:
    """The colour tables pages open with: the first unsigned and the first signed one."""
    tables = gallery.content.color_tables
    return tuple(t for s in (False, True) for t in [t for t in tables if t.signed is s][:1])


def model_facts(model: Model) -> tuple[Fact, ...]:
    """What it is in numbers."""
    info, graph = model.info, model.graph
    facts = [
        Fact(term="Input", text=wording.size(graph.input_shape)),
        Fact(term="Layers", text=f"{sum(layer.has_kernel for layer in graph.layers)} with weights"),
        Fact(term="Parameters (with normalisation statistics)", text=wording.amount(info.num_params)),
        Fact(term="Operations per image", text=wording.amount(sum(layer.flops for layer in graph.layers))),
    ]
    if info.num_classes:
        facts.append(Fact(term="Classes", text=f"{info.num_classes:,}"))
    return (*facts, *(Fact(term=term, text=text) for term, text in info.facts))


def _ways(model: Model, page: str) -> tuple[Link, ...]:
    """Pages about the whole model, but for the hierarchy's."""
    content, places = model.content, model.places
    known = (
        ("Classes compared", places.classes if content.classes else ""),
        ("Dead and redundant units", places.health if content.health else ""),
        ("Images that excite units", places.images if content.images and content.images.images else ""),
        ("One-page summary", places.summary),
    )
    return tuple(Link(text=text, href=urls.relative(page, place)) for text, place in known if place)


def _href(model: Model, page: str, layer: str) -> str | None:
    link = model.layer_link(page, layer)
    return link.href if link else None


def _row(model: Model, page: str, name: str) -> LayerRow:
    layer = model.graph.by_name[name]
    href = _href(model, page, name)
    maps = model.main_maps(name, model.first_probe.probe.name) if model.first_probe and href else None
    strip = maps.strip if maps else None
    return LayerRow(
        name=name,
        href=href,
        badges=health_words.badges(model.health[name]) if name in model.health else (),
        health=model.health_href(page, name) or "",
        kind=wording.kind(layer),
        output=wording.size(layer.shape),
        params=layer.num_params,
        flops=layer.flops,
        field="whole image" if layer.receptive_field.whole else wording.size(layer.receptive_field.size),
        strip=strip,
        shown=min(strip.columns, SHOWN_MAPS) if strip else 0,
        map_px=round(strip.tile_px[0] * tiles.scale(strip.tile_px, MAP_PX)) if strip else 0,
        signed=bool(maps and maps.signed),
    )


def probe_card(model: Model, page: str, place: int) -> ProbeCard:
    pictures = model.content.probes[place]
    predictions = model.content.predictions.get(pictures.probe.name)
    best = predictions.top[0] if predictions and predictions.top else None
    sure = best is not None and predictions is not None and predictions.scores == "probability"
    return ProbeCard(
        title=pictures.probe.title,
        href=urls.relative(page, model.places.probes[pictures.probe.name]),
        picture=pictures.shown,
        pixelated=pictures.shown.width_px < 96,
        answer=best.label if best else "",
        score=f"{100 * best.score:.0f} %" if best and sure else "",
        other_label=model.other_label(pictures.probe),
    )


def mosaic(model: Model, count: int) -> tuple[tiles.Cell, ...]:
    """Tiles that show the model's depth: first filters, then strongest maps of layers from early to late."""
    cells: list[tiles.Cell] = []
    coloured = [f for f in model.content.filters.values() if f.look in ("colour", "grey") and f.sheets]
    if coloured:
        by_norm = sorted(range(coloured[0].num_units), key=lambda unit: -(coloured[0].norms[unit] or 0))
        colours = "bgr" if model.bgr and coloured[0].look == "colour" else None
        cells = [tiles.cell(coloured[0].sheets, unit, colours) for unit in by_norm[: count // 5]]
    if model.first_probe is None:
        return tuple(cells)
    probe = model.first_probe.probe.name
    found = [model.main_maps(name, probe) for name in model.content.layers]
    spatial = [m for m in found if m and min(m.map_size) >= 7 and m.strongest]
    wanted = count - len(cells)
    for i in range(wanted if spatial else 0):
        maps = spatial[i * len(spatial) // wanted]
        turn = i - -(-(i * len(spatial) // wanted) * wanted // len(spatial))
        cells.append(tiles.cell([maps.strip], telling(maps, turn), tiles.map_colours(maps.signed)))
    return tuple(cells)


def telling(maps: FeatureMaps, turn: int = 0) -> int:
    """The place in the strip of a map that is neither nearly empty nor nearly full. turn: 0 the best, 1 the next."""

    def emptiness(place: int) -> float:
        unit = maps.strongest[place]
        mean, high = maps.statistics.mean[unit], maps.statistics.maximum[unit]
        return abs((mean or 0) / high - 0.3) if high else 1.0

    places = sorted(range(min(maps.strip.count, len(maps.strongest))), key=emptiness)
    return places[turn % len(places)]
