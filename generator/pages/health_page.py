"""The page of a model's health: which units are dead or redundant, how that was measured, and what happens without them."""

from __future__ import annotations

from generator.pages import health_words, urls
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.health_data import data_paths, health_data
from generator.pages.health_layers import LayerLine, LayerSection, layer_line, layer_section, remarkable
from generator.pages.model_page import first_tables
from generator.pages.removals import CHART, Chart, Ladder, RemovalRow, ladders, removal_rows
from generator.records import ColorTable, Health, Record


class Meaning(Record):
    """What was looked for. count: how many units, or pairs, were found."""

    kind: str
    text: str
    count: int


class HealthPageView(Record):
    """lead: what it rests on. lines: of layers with weights. removals: of dead and redundant units; ladders: of ever more weak
    ones, weak: the same as a table. tried: images that units were removed on, 0 where nothing was. spared: the largest share
    that could go.
    """

    frame: Frame
    model: Link
    title: str
    lead: str
    positions: int
    meanings: tuple[Meaning, ...]
    lines: tuple[LayerLine, ...]
    sections: tuple[LayerSection, ...]
    removals: tuple[RemovalRow, ...]
    ladders: tuple[Ladder, ...]
    weak: tuple[RemovalRow, ...]
    labelled: bool
    tried: int
    spared: str
    chart: Chart
    files: tuple[Link, ...]
    tables: tuple[ColorTable, ...]
    bgr: bool


def health_pages(gallery: Gallery, model: Model) -> list[Page]:
    """The page and its files; none where health was not measured."""
    health, page = model.content.health, model.places.health
    if health is None:
        return []
    return [
        Page(path=page, template="health.html.jinja", view=_view(gallery, model, health, page)),
        *health_data(model, health),
    ]


def href(model: Model, page: str) -> str | None:
    """The way to the page of health from another one; None where there is none."""
    return urls.relative(page, model.places.health) if model.content.health else None


def _view(gallery: Gallery, model: Model, health: Health, page: str) -> HealthPageView:
    layers = model.health
    best = health_words.best_removal(health, layers)
    return HealthPageView(
        frame=gallery.frame(
            page,
            f"Health · {model.info.title}",
            f"Which units of {model.info.title} are dead or redundant, and what happens without them.",
            crumbs=(model.link(page),),
            stylesheets=("site.css", "pages.css", "units.css", "findings.css"),
        ),
        model=model.link(page),
        title=health_words.headline(layers),
        lead=health_words.seen_on(health.measured),
        positions=health.measured.positions,
        meanings=_meanings(health, model),
        lines=tuple(layer_line(model, page, found) for found in layers.values()),
        sections=tuple(layer_section(model, page, found) for found in layers.values() if remarkable(found)),
        removals=removal_rows(model, page, (one for one in health.removals if one.kind != "weakest")),
        ladders=tuple(ladders(model, page, health)),
        weak=removal_rows(model, page, (one for one in health.removals if one.kind == "weakest")),
        labelled=any(one.before is not None for one in health.removals),
        tried=max((one.num_images for one in health.removals), default=0),
        spared=health_words.spared(best, layers[best.layer].num_units) if best and best.layer else "",
        chart=CHART,
        files=tuple(Link(text=text, href=urls.relative(page, path)) for text, path in data_paths(model)),
        tables=first_tables(gallery),
        bgr=model.bgr,
    )


def _meanings(health: Health, model: Model) -> tuple[Meaning, ...]:
    layers = model.health.values()
    number = {
        "redundant": sum(health_words.counts(found)["redundant"] for found in layers),
        "opposite": sum(len(found.opposites) for found in layers),
        "noisy": sum(len(found.noisy) for found in layers),
    }
    for fault in (fault for found in layers for fault in found.faults):
        number[fault.kind] = number.get(fault.kind, 0) + 1
    texts = health_words.meanings(health.thresholds, health.measured)
    return tuple(Meaning(kind=health_words.NAMES.get(kind, kind), text=text, count=number.get(kind, 0)) for kind, text in texts)
