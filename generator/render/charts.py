"""Charts as matplotlib figures, written as small SVGs that can stand alone or be placed inline.

Text and axes are drawn in `currentColor`: inline they follow the page; opened alone or as an `<img>` they follow the reader's
preference for light or dark. The SVGs carry no ids, dates or random names, so several fit on one page and the same numbers give
the same bytes.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

#: Stands for `currentColor` while matplotlib draws; no chart uses it for anything else.
INK = "#010203"
#: Both have a contrast of at least 3:1 on white and on #111.
NORM_COLOUR = "#3f83c2"
BIAS_COLOUR = "#c1702f"

WIDTH_PX, HEIGHT_PX = 720, 176
DPI = 72  # an SVG point is then one CSS pixel
FONT_PX = 10

_STANDALONE = (
    "<style>svg:root{color:#595959;font-family:system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg:root{color:#b0b0b0}}</style>"
)
#: matplotlib reads these settings while it writes, and they are global: one chart at a time.
_LOCK = threading.Lock()
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "cnnscope", "path.simplify": False, "axes.unicode_minus": True}


@dataclass(frozen=True)
class _Box:
    """A panel's place in fractions of the figure, from the bottom left."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height


def norms_and_biases(norms: Sequence[float | None], biases: Sequence[float | None]) -> bytes:
    """SVG, 720 x 176 px: kernel norms (upper row) and biases (lower row) of a layer's filters.

    norms, biases: one number a unit; None, NaN or infinity where there is none (left blank and counted). Wide panels are in
    unit order, narrow ones sort the same numbers, largest first. The axis names the smallest, middle and largest value.
    """
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI)
    figure.patch.set_visible(False)
    with _LOCK, matplotlib.rc_context(_SETTINGS):
        FigureCanvasSVG(figure)
        rows = ((0.53, norms, NORM_COLOUR, "norm"), (0.09, biases, BIAS_COLOUR, "bias"))
        for bottom, numbers, colour, name in rows:
            values = np.array(numbers, np.float64)
            finite = values[np.isfinite(values)]
            low, high = min(finite.min(initial=0.0), 0.0), max(finite.max(initial=0.0), 0.0)
            span = (low, high if high > low else low + 1.0)
            wide, narrow = _Box(0.075, bottom, 0.70, 0.34), _Box(0.805, bottom, 0.185, 0.34)
            _bars(figure, wide, values, span, colour)
            _sorted(figure, narrow, finite, span, colour)
            _labels(figure, wide, values, span, name)
        for x, text, align in (
            (0.075, "unit 0", "left"),
            (0.775, f"unit {len(norms) - 1}", "right"),
            (0.805, "sorted", "left"),
        ):
            figure.text(x, 0.01, text, ha=align, va="bottom", fontsize=FONT_PX, color=INK)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _compact(buffer.getvalue().decode(), f"Kernel norms and biases of {len(norms)} filters")


def _heights(box: _Box, values: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    return box.bottom + box.height * (values - span[0]) / (span[1] - span[0])


def _draw(figure: Figure, vertices: np.ndarray, codes: np.ndarray | None = None, **look) -> None:
    figure.add_artist(PathPatch(Path(vertices, codes), transform=figure.transFigure, clip_on=False, snap=False, **look))


def _bars(figure: Figure, box: _Box, values: np.ndarray, span: tuple[float, float], colour: str) -> None:
    """A bar from zero for each finite value, and the line of zero."""
    zero = float(_heights(box, np.zeros(1), span)[0])
    _draw(figure, np.array([(box.left, zero), (box.right, zero)]), fill=False, edgecolor=INK, linewidth=0.5, alpha=0.5)
    at = np.flatnonzero(np.isfinite(values))
    if not len(at):
        return
    pitch = box.width / len(values)
    x = box.left + (at + 0.5) * pitch
    y = _heights(box, values[at], span)
    ends = np.stack([x, np.full_like(x, zero), x, y], axis=1).reshape(-1, 2)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], np.uint8), len(at))
    width_px = min(max(0.7 * pitch * WIDTH_PX, 0.5), 6.0)
    _draw(figure, ends, codes, fill=False, edgecolor=colour, linewidth=width_px, capstyle="butt")


def _sorted(figure: Figure, box: _Box, finite: np.ndarray, span: tuple[float, float], colour: str) -> None:
    """The area under the values in falling order, at most one step a pixel."""
    zero = float(_heights(box, np.zeros(1), span)[0])
    _draw(figure, np.array([(box.left, zero), (box.right, zero)]), fill=False, edgecolor=INK, linewidth=0.5, alpha=0.5)
    if not len(finite):
        return
    steps = min(len(finite), int(box.width * WIDTH_PX))
    ranks = ((np.arange(steps) + 0.5) * len(finite) / steps).astype(int)
    y = np.repeat(_heights(box, -np.sort(-finite)[ranks], span), 2)
    x = np.repeat(np.linspace(box.left, box.right, steps + 1), 2)[1:-1]
    outline = np.concatenate([[(box.left, zero)], np.stack([x, y], axis=1), [(box.right, zero)]])
    _draw(figure, outline, facecolor=colour, edgecolor="none")


def _labels(figure: Figure, box: _Box, values: np.ndarray, span: tuple[float, float], name: str) -> None:
    """The row's name, its smallest, middle and largest value, and how many are missing."""
    style = {"fontsize": FONT_PX, "color": INK}
    figure.text(box.left, box.top + 0.02, name, va="bottom", weight="bold", **style)  # over the bars: numbers are beside them
    finite = values[np.isfinite(values)]
    if len(finite) < len(values):
        note = f"{len(values) - len(finite)} of {len(values)} not finite"
        figure.text(box.right, box.top + 0.02, note, ha="right", va="bottom", **style)
    if len(finite):
        distance = (span[1] - span[0]) * FONT_PX * 1.1 / (HEIGHT_PX * box.height)
        for value in _apart((float(finite.min()), float(np.median(finite)), float(finite.max())), distance):
            y = float(_heights(box, np.array(value), span))
            figure.text(box.left - 0.008, y, f"{value:.2g}".replace("-", "\u2212"), ha="right", va="center", **style)


def _apart(marks: tuple[float, float, float], distance: float) -> list[float]:
    """Smallest, middle and largest mark without those that would overlap a more important one (largest, smallest, middle)."""
    low, middle, high = marks
    kept = [high]
    for mark in (low, middle):
        if all(abs(mark - other) >= distance for other in kept):
            kept.append(mark)
    return kept


def _compact(svg: str, title: str) -> bytes:
    """Only what draws: no prologue, metadata, ids, groups or fonts; numbers to 0.1 px; sizes in px; `currentColor`."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>.*?</defs>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:id|xmlns:xlink|version|width|height|transform)="[^"]*"|</?g[^>]*>|; stroke-linejoin: miter', "", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r' d="([^"]*)"', lambda match: f' d="{_short_path(match[1])}"', svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg.replace(INK, "currentColor"))
    head, rest = svg.split(">", 1)
    head = head.replace("<svg", f'<svg role="img" width="{WIDTH_PX}" height="{HEIGHT_PX}"')
    return f"{head}><title>{title}</title>{_STANDALONE}{rest}".encode()


def _short_path(path: str) -> str:
    """An SVG path with numbers to 0.1 px, vertical strokes as `V`, and no line breaks."""
    path = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), path)
    path = re.sub(r"\s*([MLCQZz])\s*", r"\1", path).strip()
    return re.sub(r"M([-\d.]+) ([-\d.]+)L\1 ([-\d.]+)", r"M\1 \2V\3", path)
