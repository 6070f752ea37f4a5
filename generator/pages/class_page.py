"""A class's own page: how often it is named rightly, what it is taken for, and which units are selective for it."""

from __future__ import annotations

from generator.pages import class_parts, unit_panels, urls, wording
from generator.pages.chips import UnitChip, chip
from generator.pages.class_parts import ImageTile, SelectiveUnit, percent
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import first_tables
from generator.records import Classes, ClassFindings, ColorTable, Record

#: Classes that it is taken for, units, images of each kind, exemplars of its output's unit, and comparisons at most.
SHOWN_CONFUSED, SHOWN_UNITS, SHOWN_IMAGES, SHOWN_EXEMPLARS, SHOWN_COMPARISONS = 6, 8, 8, 6, 12


class Confused(Record):
    """share: of the images counted, for the bar. compared: whether the link leads to a comparison."""

    link: Link
    compared: bool
    count: int
    share: float
    share_text: str


class OutputPanel(Record):
    """The unit that is the class's score. vis: as on the unit's page."""

    chip: UnitChip
    vis: unit_panels.VisPanel | None
    exemplars: tuple[unit_panels.Patch, ...]


class ClassView(Record):
    """words: recall and precision. taken_for, taken_from: other classes, most first; more_for, more_from: images of those that
    are left out. others: whether bars of units' answers to all classes are shown.

    hits, misses: images with a picture; num_hits, num_misses: of the most confident.
    """

    frame: Frame
    model: Link
    classes: Link
    name: str
    place: str
    previous: Link | None
    following: Link | None
    words: tuple[str, ...]
    basis: str
    recall: float | None
    precision: float | None
    recall_text: str
    precision_text: str
    interval: str
    taken_for: tuple[Confused, ...]
    taken_from: tuple[Confused, ...]
    more_for: int
    more_from: int
    units: tuple[SelectiveUnit, ...]
    own: int
    others: bool
    output: OutputPanel | None
    hits: tuple[ImageTile, ...]
    misses: tuple[ImageTile, ...]
    num_hits: int
    num_misses: int
    comparisons: tuple[Link, ...]
    tables: tuple[ColorTable, ...]
    bgr: bool


def class_pages(gallery: Gallery, model: Model, classes: Classes) -> list[Page]:
    """One page for each class, in their order."""
    return [
        Page(path=model.class_path(n), template="class.html.jinja", view=_view(gallery, model, classes, n))
        for n in range(len(classes.labels))
    ]


def _view(gallery: Gallery, model: Model, classes: Classes, index: int) -> ClassView:
    one, page = classes.classes[index], model.class_path(index)
    away, towards = class_parts.confused(classes, index)
    named = sum(row[index] for row in classes.confusion)
    units = class_parts.selective_units(model, page, classes, index, SHOWN_UNITS)
    overview = Link(text="classes", href=urls.relative(page, model.places.classes))
    return ClassView(
        frame=gallery.frame(
            page,
            f"{one.name} · {model.info.title}",
            f"How {model.info.title} recognises {one.name}: what it is taken for and which units are selective for it.",
            crumbs=(model.link(page), Link(text="Classes", href=overview.href)),
            stylesheets=("site.css", "pages.css", "units.css", "classes.css"),
        ),
        model=model.link(page),
        classes=overview,
        name=one.name,
        place=f"{index + 1:,} of {len(classes.labels):,}",
        previous=_neighbour(model, classes, page, index - 1),
        following=_neighbour(model, classes, page, index + 1),
        words=_words(one, classes.confusion[index][index], named),
        basis=class_parts.basis(classes.measured),
        recall=one.recall,
        precision=one.precision,
        recall_text=percent(one.recall),
        precision_text=percent(one.precision),
        interval=class_parts.interval(one.low, one.high),
        taken_for=_confused(model, classes, page, index, away, one.num_images),
        taken_from=_confused(model, classes, page, index, towards, named),
        more_for=sum(count for _, count in away[SHOWN_CONFUSED:]),
        more_from=sum(count for _, count in towards[SHOWN_CONFUSED:]),
        units=units,
        own=one.own,
        others=any(unit.bars for unit in units),
        output=_output(model, classes, page, index),
        hits=class_parts.image_tiles(model, page, one.hits[:SHOWN_IMAGES], {}),
        misses=class_parts.image_tiles(model, page, one.misses[:SHOWN_IMAGES], _named_instead(classes, index)),
        num_hits=len(one.hits[:SHOWN_IMAGES]),
        num_misses=len(one.misses[:SHOWN_IMAGES]),
        comparisons=_comparisons(model, classes, page, index),
        tables=first_tables(gallery),
        bgr=model.bgr,
    )


def _neighbour(model: Model, classes: Classes, page: str, index: int) -> Link | None:
    """The class before or after; the last one's next is the first."""
    if len(classes.labels) < 2:
        return None
    index %= len(classes.labels)
    return Link(text=classes.labels[index], href=model.class_href(page, index))


def _words(one: ClassFindings, right: int, named: int) -> tuple[str, ...]:
    if not one.num_images:
        return ("None of the images is of this class.",)
    sentences = [f"Of {wording.plural(one.num_images, 'image')} of it, {right:,} {'is' if right == 1 else 'are'} named so."]
    if named:
        others = named - right
        sentences.append(
            f"Of {wording.plural(named, 'image')} named so, "
            + (f"{others:,} {'is' if others == 1 else 'are'} of another class." if others else "none is of another class.")
        )
    return tuple(sentences)


def _confused(
    model: Model, classes: Classes, page: str, index: int, found: list[tuple[int, int]], total: int
) -> tuple[Confused, ...]:
    rows = []
    for other, count in found[:SHOWN_CONFUSED]:
        compared = model.comparison_href(page, index, other)
        rows.append(
            Confused(
                link=Link(text=classes.labels[other], href=compared or model.class_href(page, other)),
                compared=compared is not None,
                count=count,
                share=round(count / total, 4),
                share_text=percent(count / total),
            )
        )
    return tuple(rows)


def _output(model: Model, classes: Classes, page: str, index: int) -> OutputPanel | None:
    """None where the class's unit was neither visualised nor has exemplars."""
    layer = class_parts.output(model, classes)
    if layer is None:
        return None
    vis = unit_panels.vis_panel(model, layer, index)
    found = unit_panels.exemplar_panel(model, page, layer, index)
    if vis is None and found is None:
        return None
    return OutputPanel(
        chip=chip(model, page, layer, index), vis=vis, exemplars=found.highest[:SHOWN_EXEMPLARS] if found else ()
    )


def _named_instead(classes: Classes, index: int) -> dict[int, str]:
    """By image of the class, what it was named instead, as far as comparisons keep the images that were swapped."""
    own = set(classes.classes[index].misses)
    return {
        image: f"named {classes.labels[pair.second if pair.first == index else pair.first]}"
        for pair in classes.comparisons
        if index in (pair.first, pair.second)
        for image in pair.swapped
        if image in own
    }


def _comparisons(model: Model, classes: Classes, page: str, index: int) -> tuple[Link, ...]:
    """Most confused first."""
    pairs = [pair for pair in classes.comparisons if index in (pair.first, pair.second)]
    others = [pair.second if pair.first == index else pair.first for pair in pairs]
    return tuple(
        Link(text=classes.labels[other], href=model.comparison_href(page, index, other) or "")
        for other in others[:SHOWN_COMPARISONS]
    )
