"""The page of all classes: how often they are named rightly, what they are confused with, and where units become selective."""

from __future__ import annotations

from math import ceil, sqrt

from generator.pages import urls, wording
from generator.pages.chips import UnitChip, chip
from generator.pages.class_data import class_data, data_paths
from generator.pages.class_page import class_pages
from generator.pages.class_parts import basis, interval, percent, taken
from generator.pages.comparison_page import comparison_pages
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import first_tables
from generator.records import Classes, ColorTable, Record

#: Rows of the confusion matrix at most; of more classes, those that are mistaken most.
SHOWN_CLASSES = 40
#: Steps of a cell's shade, and pairs in words.
SHADES, SHOWN_PAIRS = 9, 6


class ConfusionCell(Record):
    """shade: 0 for none to `SHADES`, by the share of the row. href: of the comparison, empty where there is none."""

    count: int
    shade: int
    right: bool
    href: str


class ConfusionRow(Record):
    link: Link
    cells: tuple[ConfusionCell, ...]


class ConfusedPair(Record):
    """words: how many images of each are taken for the other. link: the comparison; without address where there is none."""

    link: Link
    words: str


class LayerBar(Record):
    """height: of its mean selectivity, as a share of the drawing's."""

    link: Link
    selectivity: str
    height: float


class ClassLine(Record):
    """recall: the share as such, for its bar; None for a class without images."""

    link: Link
    num_images: int
    recall: float | None
    recall_text: str
    interval: str
    precision: str
    own: int
    best: UnitChip | None


class ClassesView(Record):
    """accuracy, interval: in words. left_out: classes without a row in the matrix. top: of the drawing of layers."""

    frame: Frame
    model: Link
    accuracy: str
    interval: str
    basis: str
    left_out: int
    matrix: tuple[ConfusionRow, ...]
    pairs: tuple[ConfusedPair, ...]
    layers: tuple[LayerBar, ...]
    top: float
    most: str
    lines: tuple[ClassLine, ...]
    files: tuple[Link, ...]
    tables: tuple[ColorTable, ...]
    bgr: bool


def classes_pages(gallery: Gallery, model: Model) -> list[Page]:
    """The page of all classes, one of each class and of each compared pair; none where classes were not measured."""
    classes = model.content.classes
    if classes is None:
        return []
    page = model.places.classes
    return [
        Page(path=page, template="classes.html.jinja", view=_view(gallery, model, classes, page)),
        *class_data(model, classes),
        *class_pages(gallery, model, classes),
        *comparison_pages(gallery, model, classes),
    ]


def _view(gallery: Gallery, model: Model, classes: Classes, page: str) -> ClassesView:
    shown = _shown(classes)
    layers, top = _layers(model, classes, page)
    most = max(classes.layer_selectivity.items(), key=lambda pair: pair[1], default=None)
    return ClassesView(
        frame=gallery.frame(
            page,
            f"Classes · {model.info.title}",
            f"How often {model.info.title} names each class rightly, which classes it confuses, and what tells them apart.",
            crumbs=(model.link(page),),
            stylesheets=("site.css", "pages.css", "units.css", "classes.css"),
        ),
        model=model.link(page),
        accuracy=percent(classes.accuracy),
        interval=interval(classes.low, classes.high),
        basis=basis(classes.measured),
        left_out=len(classes.labels) - len(shown),
        matrix=tuple(_row(model, classes, page, n, shown) for n in shown),
        pairs=_pairs(model, classes, page),
        layers=layers,
        top=top,
        most=f"{most[0]} ({wording.number(most[1])})" if most else "",
        lines=tuple(_line(model, classes, page, n) for n in range(len(classes.labels))),
        files=tuple(Link(text=text, href=urls.relative(page, path)) for text, path in data_paths(model)),
        tables=first_tables(gallery),
        bgr=model.bgr,
    )


def _shown(classes: Classes) -> list[int]:
    """The classes with a row in the matrix, in their order."""
    numbers = range(len(classes.labels))
    columns = [sum(column) for column in zip(*classes.confusion, strict=True)]
    wrong = [sum(classes.confusion[n]) + columns[n] - 2 * classes.confusion[n][n] for n in numbers]
    return sorted(sorted(numbers, key=lambda n: -wrong[n])[:SHOWN_CLASSES])


def _row(model: Model, classes: Classes, page: str, row: int, shown: list[int]) -> ConfusionRow:
    counts = classes.confusion[row]
    total = sum(counts) or 1
    return ConfusionRow(
        link=Link(text=classes.labels[row], href=model.class_href(page, row)),
        cells=tuple(
            ConfusionCell(
                count=counts[n],
                shade=_shade(counts[n] / total, right=n == row),
                right=n == row,
                href=(model.comparison_href(page, row, n) or "") if counts[n] else "",
            )
            for n in shown
        ),
    )


def _shade(share: float, *, right: bool) -> int:
    """Mistakes are few: their shade goes by the root of the share, so that 2 % are still seen."""
    return ceil(SHADES * (share if right else sqrt(share)))


def _pairs(model: Model, classes: Classes, page: str) -> tuple[ConfusedPair, ...]:
    counts, labels = classes.confusion, classes.labels
    pairs = [(a, b) for a in range(len(labels)) for b in range(a + 1, len(labels)) if counts[a][b] or counts[b][a]]
    pairs.sort(key=lambda pair: -counts[pair[0]][pair[1]] - counts[pair[1]][pair[0]])
    found = []
    for a, b in pairs[:SHOWN_PAIRS]:
        first, second = (a, b) if counts[a][b] >= counts[b][a] else (b, a)
        found.append(
            ConfusedPair(
                link=Link(text=f"{labels[first]} and {labels[second]}", href=model.comparison_href(page, a, b) or ""),
                words=f"{taken(classes, first, second)}; {taken(classes, second, first)}.",
            )
        )
    return tuple(found)


def _layers(model: Model, classes: Classes, page: str) -> tuple[tuple[LayerBar, ...], float]:
    """The bars and the value at the drawing's upper edge, a quarter or a multiple of it."""
    values = classes.layer_selectivity
    top = max(0.25, ceil(4 * max(values.values(), default=0.0)) / 4)
    bars = tuple(
        LayerBar(
            link=model.layer_link(page, layer) or Link(text=layer, href=""),
            selectivity=wording.number(value),
            height=round(value / top, 3),
        )
        for layer, value in values.items()
    )
    return bars, top


def _line(model: Model, classes: Classes, page: str, index: int) -> ClassLine:
    one = classes.classes[index]
    best = one.units[0] if one.units else None
    return ClassLine(
        link=Link(text=one.name, href=model.class_href(page, index)),
        num_images=one.num_images,
        recall=one.recall,
        recall_text=percent(one.recall),
        interval=interval(one.low, one.high),
        precision=percent(one.precision),
        own=one.own,
        best=chip(model, page, best.layer, best.unit) if best else None,
    )
