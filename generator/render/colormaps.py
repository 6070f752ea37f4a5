"""Colours: lookup tables from matplotlib's colormaps, for palettes here and for SVG filters in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import matplotlib
import numpy as np

from generator.records import ColorTable


@dataclass(frozen=True)
class Choice:
    """A colormap on offer. name: its id on pages; colormap: matplotlib's name; signed: diverging, zero in the middle."""

    name: str
    title: str
    signed: bool
    colormap: str


#: In the order pages list them; the first of each kind is the default.
CHOICES = (
    Choice("viridis", "Viridis", False, "viridis"),
    Choice("magma", "Magma", False, "magma"),
    Choice("inferno", "Inferno", False, "inferno"),
    Choice("grey", "Grey", False, "gray"),
    Choice("ink", "Ink on paper", False, "gray_r"),
    Choice("blue-red", "Blue to red", True, "RdBu_r"),
    Choice("orange-purple", "Orange to purple", True, "PuOr"),
    Choice("brown-teal", "Brown to teal", True, "BrBG"),
    Choice("grey-signed", "Grey, zero in the middle", True, "gray"),
)

#: What palette pictures of weights use: negative blue, zero near white, positive red.
WEIGHTS = "RdBu_r"

#: Table lengths tried, and how far (of 255) a table may be from its colormap anywhere.
SAMPLES = (2, 17, 33, 65, 129, 256)
MAX_ERROR = 2.0


@lru_cache(maxsize=32)
def lookup(colormap: str, size: int = 256) -> np.ndarray:
    """sRGB uint8 `(size, 3)` of matplotlib's colormap at equally spaced points from 0 to 1, read-only."""
    colours = matplotlib.colormaps[colormap].resampled(size)(np.arange(size))[:, :3]
    table = np.rint(colours * 255).astype(np.uint8)
    table.flags.writeable = False
    return table


def svg_table(choice: Choice) -> ColorTable:
    """The tables of `feComponentTransfer` for grey sheets in `choice`'s colours: the shortest within `MAX_ERROR`."""
    colours = lookup(choice.colormap).astype(np.float64)
    greys = np.linspace(0.0, 1.0, len(colours))
    for samples in SAMPLES:
        nodes = np.linspace(0.0, 1.0, samples)
        tables = [(np.interp(nodes, greys, column) / 255).round(3) for column in colours.T]
        drawn = np.stack([np.interp(greys, nodes, table) * 255 for table in tables], axis=1)
        if np.abs(drawn - colours).max() <= MAX_ERROR:
            break
    red, green, blue = (tuple(table.tolist()) for table in tables)
    return ColorTable(name=choice.name, title=choice.title, signed=choice.signed, red=red, green=green, blue=blue)


def svg_tables() -> tuple[ColorTable, ...]:
    """The tables of every colormap on offer."""
    return tuple(svg_table(choice) for choice in CHOICES)
