"""A model on one page, for readers who have no time: what it is, how it sees, what stands out, and how sure all this is."""

from __future__ import annotations

from math import isqrt

from generator.pages import health_words, representatives, tiles
from generator.pages.chips import filter_cell, unit_text
from generator.pages.class_parts import basis, interval, percent
from generator.pages.content import Fact, Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import ProbeCard, first_tables, model_facts, probe_card
from generator.pages.quirk_lines import QuirkLine, quirk_lines
from generator.records import ColorTable, Record

#: Filters on a side of the first picture at most, and facts that stand out.
SHOWN_FILTERS, SHOWN_QUIRKS = 4, 4


class UnitPicture(Record):
    """A unit that stands for its stage. kind: what the picture is."""

    name: str
    href: str
    cell: tiles.Cell
    kind: str


class SummaryView(Record):
    """filters: of the first layer that has pictures of them, `side` in a row. middle, late: units. photo: the first image and
    the answer. searched: whether anything could stand out. sure: what the numbers rest on; unmeasured: what is not known.
    """

    frame: Frame
    model: Link
    description: str
    facts: tuple[Fact, ...]
    filters: tuple[tiles.Cell, ...]
    side: int
    filters_of: Link | None
    middle: UnitPicture | None
    late: UnitPicture | None
    photo: ProbeCard | None
    quirks: tuple[QuirkLine, ...]
    searched: bool
    sure: tuple[str, ...]
    unmeasured: tuple[str, ...]
    tables: tuple[ColorTable, ...]
    bgr: bool


def summary_page(gallery: Gallery, model: Model) -> Page:
    page = model.places.summary
    filters = next((f for f in model.content.filters.values() if f.sheets and f.look in ("colour", "grey")), None)
    by_norm = sorted(range(filters.num_units), key=lambda unit: -(filters.norms[unit] or 0)) if filters else []
    side = min(SHOWN_FILTERS, isqrt(len(by_norm)))
    middle, late = _units(model, page)
    view = SummaryView(
        frame=gallery.frame(
            page,
            f"Summary · {model.info.title}",
            f"{model.info.title} on one page: what it is, how it sees, what stands out, and how sure that is.",
            crumbs=(model.link(page),),
            stylesheets=("site.css", "pages.css", "units.css", "findings.css"),
        ),
        model=model.link(page),
        description=model.info.description,
        facts=model_facts(model),
        filters=tuple(cell for unit in by_norm[: side * side] if filters and (cell := filter_cell(model, filters.layer, unit))),
        side=side,
        filters_of=model.layer_link(page, filters.layer, "#filters") if filters else None,
        middle=middle,
        late=late,
        photo=probe_card(model, page, 0) if model.content.probes else None,
        quirks=quirk_lines(model, page, SHOWN_QUIRKS),
        searched=bool(model.content.health or model.content.classes),
        sure=tuple(_sure(model)),
        unmeasured=tuple(_unmeasured(model)),
        tables=first_tables(gallery),
        bgr=model.bgr,
    )
    return Page(path=page, template="summary.html.jinja", view=view)


def _units(model: Model, page: str) -> tuple[UnitPicture | None, UnitPicture | None]:
    """One from the middle of the stages that have pictures, one from their end."""
    score = representatives.scores(model)
    found = [c for stage in representatives.stages(model) for c in representatives.representatives(model, stage, score, 1)]
    if len(found) < 2:
        return None, _picture(model, page, found[0]) if found else None
    return _picture(model, page, found[(len(found) - 1) // 2]), _picture(model, page, found[-1])


def _picture(model: Model, page: str, found: representatives.Candidate) -> UnitPicture | None:
    href = model.unit_href(page, found.layer, found.unit)
    maps = model.main_maps(found.layer, model.first_probe.probe.name) if model.first_probe else None
    colours = tiles.map_colours(maps.signed) if found.picture == "map" and maps else None
    smooth = found.picture != "map" and min(found.sheets[0].tile_px) >= tiles.SMOOTH_FROM_PX
    kinds = {
        "visualisation": "made to excite it",
        "exemplar": "the image that excites it most",
        "map": "where it answers on the photograph",
    }
    return UnitPicture(
        name=unit_text(model, found.layer, found.unit),
        href=href or "",
        cell=tiles.cell(found.sheets, found.place, colours, smooth=smooth),
        kind=kinds[found.picture],
    )


def _sure(model: Model) -> list[str]:
    health, classes = model.content.health, model.content.classes
    found = []
    if classes:
        between = interval(classes.low, classes.high).replace(" to ", " and ")
        found.append(
            f"{percent(classes.accuracy)} of images are named rightly; with images like these, the true share most likely lies "
            f"between {between} (95 % interval). {basis(classes.measured)}"
        )
    elif health and health.accuracy is not None:
        found.append(f"{percent(health.accuracy)} of images are named rightly. {basis(health.measured)}")
    if health:
        found.append(f"{health_words.headline(model.health)}. {health_words.seen_on(health.measured)}")
        best = health_words.best_removal(health, model.health)
        if best and best.layer:
            found.append(health_words.spared(best, model.health[best.layer].num_units))
    return found


def _unmeasured(model: Model) -> list[str]:
    content = model.content
    health = content.health
    accuracy = content.classes or (health and health.accuracy is not None)
    missing = (
        "" if accuracy else "how often it is right",
        "" if health else "which units are dead or redundant",
        "" if health and health.removals else "what happens without some units",
    )
    known = [text for text in missing if text]
    found = [f"Not measured: {health_words.listed(known)}."] if known else []
    return [*found, "Nothing here says how it does on images of another kind, or on images made to mislead it."]
