"""The pages of the whole site: home, about, the page for wrong addresses, and the map for search engines."""

from __future__ import annotations

from generator.pages import tiles, urls, wording
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import ProbeCard, first_tables, mosaic, probe_card, telling
from generator.records import ColorTable, Picture, ProbeInfo, Record, WeightsInfo

#: Maps between the image and the answer on the first page.
MAX_STATIONS = 5


class ModelCard(Record):
    """journeys: a few probes to start with. numbers: short facts."""

    title: str
    description: str
    href: str
    numbers: tuple[str, ...]
    mosaic: tuple[tiles.Cell, ...]
    journeys: tuple[ProbeCard, ...]


class Station(Record):
    """One map on the way through a network."""

    text: str
    cell: tiles.Cell


class Start(Record):
    """The journey a newcomer is sent on: the image, a map for each size they shrink to, the answer."""

    link: Link
    picture: Picture
    stations: tuple[Station, ...]
    answer: str
    score: str


class HomeView(Record):
    frame: Frame
    title: str
    description: str
    start: Start | None
    models: tuple[ModelCard, ...]
    tables: tuple[ColorTable, ...]
    bgr: bool


class Provenance(Record):
    """Where a model came from and what it is given."""

    title: str
    href: str
    source: str
    seen: tuple[str, ...]
    weights: WeightsInfo | None


class AboutView(Record):
    frame: Frame
    models: tuple[Provenance, ...]
    probes: tuple[ProbeInfo, ...]
    versions: tuple[tuple[str, str], ...]
    config_text: str
    tables: tuple[ColorTable, ...]


class NotFoundView(Record):
    """base: the site's absolute address with a slash at its end, since this page is shown at any depth."""

    frame: Frame
    base: str


class SitemapView(Record):
    addresses: tuple[str, ...]


def site_pages(gallery: Gallery) -> list[Page]:
    return [_home(gallery), _about(gallery)]


def absolute_pages(gallery: Gallery, base_url: str, pages: list[Page]) -> list[Page]:
    """What makes sense only where the site's address is known."""
    base = f"{base_url.rstrip('/')}/"
    frame = gallery.frame(urls.NOT_FOUND, "Page not found", "There is no such page.").model_copy(update={"canonical": None})
    shown = [page.path for page in pages if page.path.endswith(".html")]
    addresses = tuple(urls.absolute(base_url, "" if path == urls.HOME else path) for path in shown)
    return [
        Page(path=urls.NOT_FOUND, template="404.html.jinja", view=NotFoundView(frame=frame, base=base)),
        Page(path=urls.SITEMAP, template="sitemap.xml.jinja", view=SitemapView(addresses=addresses)),
    ]


def _home(gallery: Gallery) -> Page:
    content = gallery.content
    first = gallery.models[0] if gallery.models else None
    view = HomeView(
        frame=gallery.frame(
            urls.HOME,
            content.title,
            content.description,
            picture=first.first_probe.shown.file if first and first.first_probe else None,
        ),
        title=content.title,
        description=content.description,
        start=_start(first) if first and first.first_probe else None,
        models=tuple(_card(model) for model in gallery.models),
        tables=first_tables(gallery),
        bgr=any(model.bgr for model in gallery.models),
    )
    return Page(path=urls.HOME, template="home.html.jinja", view=view)


def _start(model: Model) -> Start:
    """Maps of five layers, one for each size of map where there are so many."""
    card = probe_card(model, urls.HOME, 0)
    name = model.content.probes[0].probe.name
    found = [m for m in (model.main_maps(layer, name) for layer in model.content.layers) if m and min(m.map_size) > 1]
    by_size = {m.map_size: m for m in reversed(found) if not m.signed} or {m.map_size: m for m in found}
    sizes = sorted(by_size, reverse=True)[:MAX_STATIONS]
    return Start(
        link=Link(text=f"{card.title} through {model.info.title}", href=card.href),
        picture=card.picture,
        stations=tuple(
            Station(
                text=wording.size(size),
                cell=tiles.cell([by_size[size].strip], telling(by_size[size]), tiles.map_colours(by_size[size].signed)),
            )
            for size in sizes
        ),
        answer=card.answer,
        score=card.score,
    )


def _card(model: Model) -> ModelCard:
    layers = sum(layer.has_kernel for layer in model.graph.layers)
    numbers = [wording.plural(layers, "layer"), f"{wording.amount(model.info.num_params)} parameters"]
    if model.info.num_classes:
        numbers.append(wording.plural(model.info.num_classes, "class"))
    return ModelCard(
        title=model.info.title,
        description=model.info.description,
        href=urls.relative(urls.HOME, model.places.index),
        numbers=tuple(numbers),
        mosaic=mosaic(model, 40),
        journeys=tuple(probe_card(model, urls.HOME, place) for place in range(min(6, len(model.content.probes)))),
    )


def _about(gallery: Gallery) -> Page:
    probes = {p.probe.name: p.probe for model in gallery.models for p in model.content.probes}
    view = AboutView(
        frame=gallery.frame(urls.ABOUT, "About", "How the pictures were made, how to read them, and whose the images are."),
        models=tuple(
            Provenance(
                title=model.info.title,
                href=urls.relative(urls.ABOUT, model.places.index),
                source=model.info.source,
                seen=wording.preprocessing(model.info.preprocessing),
                weights=model.info.weights,
            )
            for model in gallery.models
        ),
        probes=tuple(probes.values()),
        versions=tuple(gallery.content.versions),
        config_text=gallery.content.config_text,
        tables=first_tables(gallery),
    )
    return Page(path=urls.ABOUT, template="about.html.jinja", view=view)
