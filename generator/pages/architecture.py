"""A network's graph as a drawing: boxes, paths and bands with their coordinates, for inline SVG.

Bands hold the layers whose maps have the same size. A box's height hints at that size, the bar in it at the number of
channels. Two drawings are made, for a desk and for a phone; CSS shows one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile
from math import log2, sqrt

from generator.network.graph import INPUT, Graph, Layer
from generator.pages import wording
from generator.pages.architecture_edges import MAX_TRACKS, Edge, Point, clear_lane, curve, rounded, route_edges
from generator.pages.architecture_layout import Cell, Layout, Node, Spacing, lay_out, parent
from generator.records import Record

WIDE_PX, NARROW_PX = 1180, 346
BOX_PX, SMALL_PX = 84, 24
GLYPHS = {"add": "+", "concat": "\N{DOUBLE VERTICAL LINE}", "gate": "\N{MULTIPLICATION SIGN}"}
#: Last parts of names that say nothing by themselves.
GENERIC = {"conv", "conv2d", "dense", "linear", "kernel", "weight", "layer"}
_LABEL, _TRACK, _LANE_GAP, _CAPTION, _PAD = 18, 6, 12, 13, 8

#: What is wrong with a layer's units, `2 dead`, by layer.
Marks = Mapping[str, tuple[str, ...]]
NO_MARKS: Marks = {}


class Box(Record):
    """One node, in px. label: what is written in it; shape: below that; bar: 0-1, its channels against the most.

    name: the layer's, or `input`. title: the whole of it, for screen readers and on hover. small: a circle with a glyph.
    mark: what is wrong with its units, in short, on its upper edge.
    """

    name: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    label: str
    shape: str
    bar: float
    title: str
    href: str | None
    small: bool
    mark: str


class Path(Record):
    """An edge as SVG path data. route: `direct`, `bridge` (over other boxes) or `wrap` (to the beginning of another row)."""

    source: str
    target: str
    route: str
    data: str


class Band(Record):
    """The boxes of one size of map in one row. label: empty where the band continues one of an earlier row."""

    x: float
    y: float
    width: float
    height: float
    label: str


class Caption(Record):
    """What the names of the boxes above it begin with."""

    x: float
    y: float
    text: str


class Drawing(Record):
    width: float
    height: float
    bands: tuple[Band, ...]
    paths: tuple[Path, ...]
    boxes: tuple[Box, ...]
    captions: tuple[Caption, ...]


class Architecture(Record):
    """label: the drawing in a sentence, for screen readers."""

    label: str
    wide: Drawing
    narrow: Drawing


def draw(graph: Graph, href: Callable[[Layer], str | None], marks: Marks = NO_MARKS) -> Architecture:
    """href: where the box of a layer leads, None for a layer without a page. marks: what is wrong with units, by layer."""
    kernels = sum(layer.has_kernel for layer in graph.layers)
    label = f"Architecture: {len(graph.layers)} layers, {kernels} of them with weights, from the image to the output"
    return Architecture(label=label, wide=draw_at(graph, href, WIDE_PX, marks), narrow=draw_at(graph, href, NARROW_PX, marks))


def draw_at(graph: Graph, href: Callable[[Layer], str | None], width_px: float, marks: Marks = NO_MARKS) -> Drawing:
    """One drawing, `width_px` wide and as high as it needs."""
    layout = lay_out(graph, _width, Spacing(width=width_px, column=16 if width_px > 600 else 11))
    edges = route_edges(layout)
    heights = _Heights(graph, layout, edges)
    most = max((layer.num_units for layer in graph.layers), default=1)
    boxes = {node.name: _box(node, graph, layout, heights, most, href, marks.get(node.name, ())) for node in layout.nodes}
    paths = _Paths(layout, heights, boxes)
    return Drawing(
        width=width_px,
        height=heights.total,
        bands=tuple(_bands(layout, heights, graph)),
        paths=tuple(paths.path(edge) for edge in edges),
        boxes=tuple(boxes.values()),
        captions=tuple(_captions(layout, heights)),
    )


def _is_small(node: Node) -> bool:
    return node.layer is not None and node.layer.kind in GLYPHS


def _width(node: Node) -> float:
    return SMALL_PX if _is_small(node) else BOX_PX


def _height(node: Node, graph: Graph) -> float:
    if _is_small(node):
        return SMALL_PX
    shape = graph.input_shape if node.layer is None else node.layer.shape
    side = max(shape[:2]) if len(shape) == 3 else 1
    return 36 + round(1.8 * log2(side))


class _Heights:
    """Where rows begin, in px from the top. Each has, from above: gutter, band's label, bridges, lanes, captions."""

    def __init__(self, graph: Graph, layout: Layout, edges: tuple[Edge, ...]):
        self.gutter: list[float] = []
        self.band: list[float] = []
        self.lanes: list[float] = []
        self.lane: list[float] = []
        self.bottom: list[float] = []
        cells, seen, y = layout.cells, set(), 0.0
        for index, row in enumerate(layout.rows):
            wraps = [e.track for e in edges if e.route == "wrap" and cells[e.target].row == index]
            passing = [e.track for e in edges if e.route == "wrap" and cells[e.source].row + 1 == index]
            bridges = [e.track for e in edges if e.route == "bridge" and cells[e.target].row == index]
            members = [node for node in layout.nodes if cells[node.name].row == index]
            stages = {stage for stage, _, _ in row.spans}
            self.gutter.append(y)
            y += (8 + _TRACK * (max([*wraps, *passing], default=0) + 1)) if index else 2
            self.band.append(y)
            y += _LABEL if stages - seen else _PAD
            y += _TRACK * (max(bridges, default=-1) + 1) + (4 if bridges else 0)
            self.lanes.append(y)
            self.lane.append(max(_height(node, graph) for node in members) + _LANE_GAP)
            y += row.num_lanes * self.lane[-1]
            y += _CAPTION if any(parent(node.name) for node in members) else 0
            self.bottom.append(y)
            seen |= stages
        self.total = y + 2
        self.layout = layout

    def below(self, row: int, span: tuple[float, float]) -> float:
        """Where a band ends that covers the columns between two x."""
        columns = enumerate(self.layout.rows[row].columns)
        inside = {column for column, (left, _) in columns if span[0] <= left <= span[1]}
        lanes = max(c.lane for c in self.layout.cells.values() if c.row == row and c.column in inside) + 1
        return self.bottom[row] - (self.layout.rows[row].num_lanes - lanes) * self.lane[row]

    def middle(self, cell: Cell) -> float:
        return self.lanes[cell.row] + (cell.lane + 0.5) * self.lane[cell.row]


def _box(
    node: Node,
    graph: Graph,
    layout: Layout,
    heights: _Heights,
    most: int,
    href: Callable[[Layer], str | None],
    marks: tuple[str, ...],
) -> Box:
    cell = layout.cells[node.name]
    left, column = layout.rows[cell.row].columns[cell.column]
    width, height = _width(node), _height(node, graph)
    layer = node.layer
    shape = graph.input_shape if layer is None else layer.shape
    if layer is None:
        title = f"input image: {wording.size(shape)}"
    else:
        params = f", {layer.num_params:,} parameters" if layer.num_params else ""
        title = f"{layer.name}: {wording.kind(layer)}, {wording.size(shape)}{params}{''.join(f', {mark}' for mark in marks)}"
    return Box(
        name=node.name,
        kind=INPUT if layer is None else re.sub(r"[^a-z0-9_-]", "_", layer.kind.lower()),
        x=round(left + (column - width) / 2, 1),
        y=round(heights.middle(cell) - height / 2, 1),
        width=width,
        height=height,
        label=GLYPHS[layer.kind] if layer is not None and _is_small(node) else _short(node.name),
        shape="\N{MULTIPLICATION SIGN}".join(str(n) for n in shape) or "1",
        bar=0 if layer is None else round(sqrt(layer.num_units / most), 3),
        title=title,
        href=href(layer) if layer is not None else None,
        small=_is_small(node),
        mark=f"{marks[0]}{' …' if len(marks) > 1 else ''}" if marks else "",
    )


def _short(name: str) -> str:
    """The last part of a name, or its last two if one alone says nothing, cut to what fits into a box."""
    parts = [part.strip("_") or part for part in name.replace("/", ".").split(".")]
    long = len(parts) > 1 and (parts[-1].lower() in GENERIC or parts[-1].isdigit())
    text = ".".join(parts[-2:] if long else parts[-1:])
    text = re.sub(r"_(conv|conv2d|layer)$", "", text, flags=re.IGNORECASE)  # the colour says it
    return _cut(text, BOX_PX - 10)


def _cut(text: str, width_px: float) -> str:
    """What fits into a width; the middle goes, as names differ at their ends."""
    count = _fitting(width_px)
    return text if len(text) <= count else f"{text[: count // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (count - 1) // 2 :]}"


def _fitting(width_px: float) -> int:
    """How many characters, in a bold sans-serif of 11 px."""
    return int(width_px / 6.3)


def _bands(layout: Layout, heights: _Heights, graph: Graph) -> Iterator[Band]:
    sizes = {node.stage: _size(node, graph) for node in reversed(layout.nodes) if not _is_small(node)}
    seen: set[int] = set()
    for index, row in enumerate(layout.rows):
        for stage, left, right in row.spans:
            yield Band(
                x=round(left - _PAD, 1),
                y=heights.band[index],
                width=round(right - left + 2 * _PAD, 1),
                height=heights.below(index, (left, right)) - heights.band[index],
                label="" if stage in seen else sizes.get(stage, ""),
            )
            seen.add(stage)


def _size(node: Node, graph: Graph) -> str:
    shape = graph.input_shape if node.layer is None else node.layer.shape
    return wording.size(shape[:2]) if len(shape) == 3 else "vectors"


def _captions(layout: Layout, heights: _Heights) -> Iterator[Caption]:
    """Under each run of columns whose names begin alike."""
    for index, row in enumerate(layout.rows):
        begins = [_common(parent(name) for name in names) for names in layout.columns(index)]
        start = 0
        for end in range(1, len(begins) + 1):
            if end < len(begins) and begins[start] and f"{begins[end]}.".startswith(f"{begins[start]}."):
                continue
            (left, _), (last, width) = row.columns[start], row.columns[end - 1]
            if begins[start] and last + width - left >= BOX_PX:
                text = _cut(begins[start], last + width - left)
                yield Caption(x=round(left, 1), y=heights.below(index, (left, last)) - 5, text=text)
            start = end


def _common(paths: Iterable[str]) -> str:
    """The parts that dotted paths begin with alike."""
    together = zip(*(path.split(".") for path in paths), strict=False)
    return ".".join(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, together))


class _Paths:
    def __init__(self, layout: Layout, heights: _Heights, boxes: dict[str, Box]):
        self.layout, self.heights, self.boxes = layout, heights, boxes
        self.taken = {(cell.row, cell.lane, cell.column) for cell in layout.cells.values()}

    def path(self, edge: Edge) -> Path:
        into_row = edge.route == "wrap" and self.layout.cells[edge.target].column > 0
        route = "bridge" if into_row else edge.route
        return Path(source=edge.source, target=edge.target, route=route, data=self.data(edge))

    def data(self, edge: Edge) -> str:
        source, target = self.layout.cells[edge.source], self.layout.cells[edge.target]
        if edge.route == "direct":
            return self.direct(edge, source, target)
        if edge.route == "bridge":
            y = self.heights.lanes[source.row] - _TRACK * edge.track - 3
            return rounded([*self.leave(edge.source, source, y), *self.arrive(edge.target, target, y)])
        return rounded(self.wrap(edge, source, target))

    def direct(self, edge: Edge, source: Cell, target: Cell) -> str:
        columns = self.layout.rows[source.row].columns
        late = clear_lane(source, target, self.taken) == source.lane
        column = target.column - 1 if late else source.column
        bend = (sum(columns[column]), columns[column + 1][0])
        return curve(self.right(edge.source), self.left(edge.target), bend)

    def leave(self, name: str, cell: Cell, y: float) -> list[Point]:
        """Up to a bridge: from the top, or beside the column where other boxes are above."""
        box = self.boxes[name]
        if self.open_above(cell):
            x = box.x + box.width / 2 + (4 if box.small else 12)
            return [(x, box.y + (1.5 if box.small else 0)), (x, y)]
        x = sum(self.layout.rows[cell.row].columns[cell.column]) + 6
        return [self.right(name), (x, box.y + box.height / 2), (x, y)]

    def arrive(self, name: str, cell: Cell, y: float) -> list[Point]:
        box = self.boxes[name]
        if self.open_above(cell):
            x = box.x + box.width / 2 - (4 if box.small else 12)
            return [(x, y), (x, box.y + (1.5 if box.small else 0))]
        x = self.layout.rows[cell.row].columns[cell.column][0] - 6
        return [(x, y), (x, box.y + box.height / 2), self.left(name)]

    def wrap(self, edge: Edge, source: Cell, target: Cell) -> list[Point]:
        out = sum(self.layout.rows[source.row].columns[source.column]) + 7
        start = self.right(edge.source)
        below, above = self.gutter(source.row + 1, edge.track), self.gutter(target.row, edge.track)
        points = [start, (out, start[1]), (out, below)]
        if target.row > source.row + 1:
            margin = 8 - edge.track
            points += [(margin, below), (margin, above)]
        if target.column == 0:
            end = self.left(edge.target)
            return [*points, (4, above), (4, end[1]), end]
        return [*points, *self.arrive(edge.target, target, above)]

    def gutter(self, row: int, track: int) -> float:
        return self.heights.gutter[row] + 7 + _TRACK * (track % MAX_TRACKS)

    def open_above(self, cell: Cell) -> bool:
        return not any((cell.row, lane, cell.column) in self.taken for lane in range(cell.lane))

    def right(self, name: str) -> Point:
        box = self.boxes[name]
        return (box.x + box.width, box.y + box.height / 2)

    def left(self, name: str) -> Point:
        box = self.boxes[name]
        return (box.x, box.y + box.height / 2)
