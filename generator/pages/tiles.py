"""How tiles are laid out on a page: which sheet, which place in it, and at which whole-number scale.

A tile is drawn by CSS from its sheet (`--i` image, `--c` columns, `--x --y` place, `--w --h` size, `--z` scale), so a page
needs one element for each unit. Scales are whole numbers, or one over a whole number, so that pixels stay pixels.
"""

from __future__ import annotations

import re
from typing import Literal

from generator.network.graph import ReceptiveField
from generator.records import Record, Sheet

Colours = Literal["upwards", "around", "bgr"]
#: Photographs and optimised images of fewer pixels a side are enlarged without smoothing, as maps are.
SMOOTH_FROM_PX = 64
SAFE_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._/-]*")


def safe_file(file: str) -> str:
    """The same path, known to be harmless inside CSS's `url()`. Raises ValueError otherwise."""
    if not SAFE_FILE.fullmatch(file) or ".." in file:
        raise ValueError(f"not a safe path of a picture: {file!r}")
    return file


def scale(tile_px: tuple[int, int], target_px: float) -> float:
    """The whole number, or one over one, that brings a tile's longer side nearest to `target_px`."""
    side = max(tile_px)
    if side <= target_px:
        return float(max(1, round(target_px / side)))
    return 1 / max(1, round(side / target_px))


def scales(tile_px: tuple[int, int], target_px: float) -> tuple[float, float, float]:
    """Three different scales, small to large, around `target_px`."""
    middle = scale(tile_px, target_px)
    small = scale(tile_px, middle * max(tile_px) / 1.7)
    large = scale(tile_px, middle * max(tile_px) * 1.9)
    if small == middle:
        small = 1 / (round(1 / middle) + 1) if middle <= 1 else middle - 1
    if large == middle:
        large = middle + 1
    return small, middle, large


class Block(Record):
    """One sheet's part of a grid: `count` tiles from `first`, `columns` in a row of the file."""

    columns: int
    first: int
    count: int


class Cell(Record):
    """One tile on its own. colours: `upwards` or `around` zero for a map, `bgr` for a filter whose red and blue are to be
    exchanged; None where the picture carries its colours. smooth: a picture whose pixels are no single numbers.
    """

    file: str
    columns: int
    column: int
    row: int
    colours: Colours | None = None
    smooth: bool = False


def blocks(sheets: list[Sheet]) -> tuple[Block, ...]:
    return tuple(Block(columns=s.columns, first=s.first, count=s.count) for s in sheets)


def map_colours(signed: bool) -> Colours:
    return "around" if signed else "upwards"


def cell(sheets: list[Sheet], unit: int, colours: Colours | None = None, *, smooth: bool = False) -> Cell:
    """Tile `unit` of the sheets; it fills whatever square the page gives it."""
    number, column, row = place(sheets, unit)
    return Cell(
        file=safe_file(sheets[number].file),
        columns=sheets[number].columns,
        column=column,
        row=row,
        colours=colours,
        smooth=smooth,
    )


def place(sheets: list[Sheet], tile: int) -> tuple[int, int, int]:
    """The sheet's number in the list, the column and the row where a tile is found."""
    number, sheet = next((i, s) for i, s in enumerate(sheets) if s.first <= tile < s.first + s.count)
    row, column = divmod(tile - sheet.first, sheet.columns)
    return number, column, row


class FieldBox(Record):
    """A receptive field on the input image, in per cent of its sides; may reach over its edges into the padding."""

    left: float
    top: float
    width: float
    height: float


def field_box(field: ReceptiveField, map_size: tuple[int, int] | None, image: tuple[int, ...]) -> FieldBox:
    """The receptive field of the middle position of a map of `map_size` on an image `(h, w, ...)`."""
    if field.whole or map_size is None:
        return FieldBox(left=0, top=0, width=100, height=100)
    edges = [first + (n // 2) * step for first, step, n in zip(field.first, field.stride, map_size, strict=True)]
    top, left = (round(100 * edge / side, 2) for edge, side in zip(edges, image, strict=False))
    height, width = (round(100 * extent / side, 2) for extent, side in zip(field.size, image, strict=False))
    return FieldBox(left=left, top=top, width=width, height=height)
