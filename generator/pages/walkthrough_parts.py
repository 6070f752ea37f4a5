"""What the steps of the walkthrough share: pictures that lead to what they are of, and how a few of many are chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from generator.pages import representatives, tiles
from generator.pages.chips import unit_text
from generator.pages.content import Link
from generator.pages.gallery import Model
from generator.records import Record

#: Pictures that announce a step.
COVER = 6

Item = TypeVar("Item")


class Shown(Record):
    """A unit's picture (None without any) and the way to it. text: its name; note: a number or a word behind it."""

    unit: int
    cell: tiles.Cell | None
    href: str
    text: str
    note: str = ""


class Strip(Record):
    """Pictures of one layer. link: to it; note: what is said of all of them."""

    link: Link
    note: str
    pictures: tuple[Shown, ...]


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of `items` in their order, the first and the last among them where `count` is at least 2."""
    if len(items) <= count:
        return list(items)
    return [items[i * (len(items) - 1) // max(1, count - 1)] for i in range(count)]


def cover(pictures: Iterable[Shown]) -> tuple[tiles.Cell, ...]:
    return tuple(picture.cell for picture in pictures if picture.cell)[:COVER]


def telling_units(model: Model, page: str, layer: str, count: int) -> tuple[Shown, ...]:
    """The units of a layer that stand out most, chosen as on the page of the hierarchy, by their visualisations."""
    found = representatives.representatives(model, [model.graph.by_name[layer]], representatives.scores(model), count)
    return tuple(
        Shown(
            unit=one.unit,
            cell=tiles.cell(one.sheets, one.place, smooth=one.sheets[0].tile_px[0] >= tiles.SMOOTH_FROM_PX),
            href=model.unit_href(page, layer, one.unit) or "",
            text=unit_text(model, layer, one.unit) if model.unit_names(layer) else f"unit {one.unit}",
        )
        for one in found
        if one.picture == "visualisation"
    )
