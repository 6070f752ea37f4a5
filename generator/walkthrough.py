"""Figures of the walkthrough How_to_Visualize_CNN: grids of pictures that a notebook displays and a script finds as files.

Every figure says below its title how its values became colours. Nothing here asks for a screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from generator.naming import slug
from generator.render import colormaps
from generator.render.norms import TileNorm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Where figures are written, from the current folder: git does not see it, and `make clean` removes it.
FOLDER = Path("build/walkthrough")

MAPS, COUNTS = "viridis", "Blues"

#: In inches: a figure's width, the largest tile, the gap between tiles, the line of a name below one, a figure's title and the
#: note below that, its margin, a table's rows and the room for the slanted names of its columns.
WIDTH, TILE, GAP, LINE, TITLE, NOTE, MARGIN, ROW, LABELS = 9.0, 2.1, 0.07, 0.19, 0.42, 0.2, 0.15, 0.32, 0.75
DPI = 110


@dataclass(frozen=True)
class Shown:
    """A figure on disk. A notebook displays it where it is the last value of a cell."""

    path: Path

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


def show_pictures(title: str, pictures: Sequence[np.ndarray], names: Sequence[str] = (), columns: int = 8) -> Shown:
    """Images as they are: uint8 `(h, w)` or `(h, w, 1 | 3)`, `columns` a row, each with its name below it, if it has one."""
    pixels = [np.asarray(picture) for picture in pictures]
    colours = [np.broadcast_to(one.reshape(*one.shape[:2], -1), (*one.shape[:2], 3)) for one in pixels]
    return _grid(title, "", colours, names, columns)


def show_maps(title: str, maps: np.ndarray, names: Sequence[str] = (), columns: int = 8) -> Shown:
    """Feature maps `(h, w, c)`, a tile for each of `c` channels, each on a scale of its own that begins at zero.

    Where a map has values below zero, zero is in the middle of all scales.
    """
    signed = bool((maps < 0).any())
    norm = TileNorm.symmetric(np.abs(maps).max(axis=(0, 1)), signed)
    colours = colormaps.lookup(colormaps.WEIGHTS if signed else MAPS)[norm.grey(maps)]
    words = "blue is below zero, red above" if signed else "dark is zero, bright its own largest value"
    return _grid(title, f"Each map on a scale of its own: {words}.", np.moveaxis(colours, 2, 0), names, columns)


def show_filters(title: str, kernel: np.ndarray, names: Sequence[str] = (), columns: int = 8) -> Shown:
    """Filters of a kernel `(kh, kw, 1 | 3, cout)`, a tile for each of `cout`, all on one scale with zero in the middle.

    Three inputs are drawn as red, green and blue, grey being zero; a single one in blue (negative), white and red (positive).
    Raises ValueError for another number of inputs.
    """
    if kernel.shape[2] not in (1, 3):
        raise ValueError(f"filters with 1 or 3 inputs can be drawn as one tile each, not {kernel.shape[2]}")
    grey = TileNorm.symmetric(np.abs(kernel).max(), signed=True).grey(kernel)
    if kernel.shape[2] == 3:
        note, colours = (
            "One scale for all: grey is zero; light in a bright colour excites the unit, in a dark one silences it.",
            grey,
        )
    else:
        note = "One scale for all: white is zero, red excites the unit, blue silences it."
        colours = colormaps.lookup(colormaps.WEIGHTS)[grey[:, :, 0]].swapaxes(2, 3)
    return _grid(title, note, np.moveaxis(colours, 3, 0), names, columns)


def show_table(title: str, numbers: np.ndarray, rows: Sequence[str], columns: Sequence[str], note: str = "") -> Shown:
    """Numbers `(r, c)`, none below zero, with their names: the larger, the darker. note: what they are."""
    numbers = np.asarray(numbers)
    tall, left = ROW * len(rows), 0.3 + 0.08 * max(map(len, rows))
    figure, top = _figure(title, note, LABELS + tall)
    axes = _axes(figure, left, top + LABELS, WIDTH - left - LABELS, tall)
    axes.imshow(numbers, cmap=COUNTS, vmin=0, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="left", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    dark = numbers > 0.55 * max(numbers.max(), 1e-12)
    for (row, column), number in np.ndenumerate(numbers):
        text = f"{number:.1f}" if numbers.dtype.kind == "f" else str(number)
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if dark[row, column] else "#222")
    for side in axes.spines.values():
        side.set_visible(False)
    return _written(figure, title)


def _grid(title: str, note: str, tiles: Sequence[np.ndarray], names: Sequence[str], columns: int) -> Shown:
    """tiles: uint8 `(h, w, 3)`, all of one shape."""
    columns = min(columns, len(tiles))
    side = min(TILE, (WIDTH - 2 * MARGIN + GAP) / columns - GAP)
    tall = side * tiles[0].shape[0] / tiles[0].shape[1]
    step = tall + LINE * bool(names) + GAP
    figure, top = _figure(title, note, math.ceil(len(tiles) / columns) * step)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        axes = _axes(figure, MARGIN + column * (side + GAP), top + row * step, side, tall)
        axes.imshow(tile)
        axes.set_axis_off()
        if place < len(names):
            axes.text(0.5, -0.03, names[place], transform=axes.transAxes, ha="center", va="top", fontsize=8, color="#333")
    return _written(figure, title)


def _figure(title: str, note: str, height: float) -> tuple[Figure, float]:
    """A figure with its heading and room for `height` inches; and how far below its upper edge that room begins."""
    from matplotlib.figure import Figure

    top = TITLE + NOTE * bool(note)
    whole = top + height + MARGIN
    figure = Figure(figsize=(WIDTH, whole), dpi=DPI, facecolor="white")
    figure.text(MARGIN / WIDTH, 1 - 0.12 / whole, title, va="top", fontsize=12, fontweight="bold", color="#111")
    figure.text(MARGIN / WIDTH, 1 - 0.37 / whole, note, va="top", fontsize=9, color="#555")
    return figure, top


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes in inches from the upper left corner."""
    whole = figure.get_figheight()
    return figure.add_axes((left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole))


def _written(figure: Figure, title: str) -> Shown:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{slug(title)}.png"
    figure.savefig(path)
    return Shown(path)
