"""Paths between the boxes of an architecture drawing.

Neighbours are joined directly; what skips over boxes of its own row goes above them as a bridge; what leads to another row
goes through the gutter above that row, like a line of text that is continued below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from generator.pages.architecture_layout import Cell, Layout

Route = Literal["direct", "bridge", "wrap"]
Point = tuple[float, float]
MAX_TRACKS = 6


@dataclass(frozen=True)
class Edge:
    """track: which of the parallel lines above (bridge) or in the gutter (wrap) it takes, 0 next to the boxes."""

    source: str
    target: str
    route: Route
    track: int = 0


def route_edges(layout: Layout) -> tuple[Edge, ...]:
    """All edges in drawing order of their targets."""
    taken = {(cell.row, cell.lane, cell.column) for cell in layout.cells.values()}
    edges: list[Edge] = []
    for node in layout.nodes:
        for name in node.inputs:
            source, target = layout.cells[name], layout.cells[node.name]
            if source.row != target.row or source.column >= target.column:
                route: Route = "wrap"
            else:
                route = "direct" if clear_lane(source, target, taken) is not None else "bridge"
            edges.append(Edge(name, node.name, route))
    return tuple(_tracked(edges, layout))


def clear_lane(source: Cell, target: Cell, taken: set[tuple[int, int, int]]) -> int | None:
    """The lane, the source's or the target's, with no box between the two."""
    between = range(source.column + 1, target.column)
    for lane in (source.lane, target.lane):
        if not any((source.row, lane, column) in taken for column in between):
            return lane
    return None


def _tracked(edges: Sequence[Edge], layout: Layout) -> Iterable[Edge]:
    cells = layout.cells
    tracks: dict[Edge, int] = {}
    bridges = [edge for edge in edges if edge.route == "bridge"]
    lines: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (row, track) -> column intervals
    for edge in sorted(bridges, key=lambda e: cells[e.target].column - cells[e.source].column):
        start, end, row = cells[edge.source].column, cells[edge.target].column, cells[edge.source].row
        track = 0
        while track < MAX_TRACKS and any(start < b and a < end for a, b in lines.get((row, track), [])):
            track += 1
        track = min(track, MAX_TRACKS - 1)
        lines.setdefault((row, track), []).append((start, end))
        tracks[edge] = track
    used: dict[int, list[str]] = {}  # gutter above a row -> sources, so that one source has one line
    for edge in edges:
        if edge.route == "wrap":
            names = used.setdefault(cells[edge.target].row, [])
            if edge.source not in names:
                names.append(edge.source)
            tracks[edge] = names.index(edge.source) % MAX_TRACKS
    return (Edge(e.source, e.target, e.route, tracks.get(e, 0)) for e in edges)


def rounded(points: Sequence[Point], radius: float = 7) -> str:
    """SVG path data of a line through the points with rounded corners."""
    points = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
    parts = [f"M{_xy(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        reach = min(radius, _length(before, corner) / 2, _length(corner, after) / 2)
        parts.append(f"L{_xy(_towards(corner, before, reach))}Q{_xy(corner)} {_xy(_towards(corner, after, reach))}")
    return "".join(parts) + f"L{_xy(points[-1])}"


def curve(start: Point, end: Point, bend: tuple[float, float]) -> str:
    """From start to end, straight but for an S between the two x of `bend`."""
    if abs(start[1] - end[1]) < 0.05:
        return f"M{_xy(start)}H{round(end[0], 1):g}"
    left, right = bend
    middle = (left + right) / 2
    swing = f"C{_xy((middle, start[1]))} {_xy((middle, end[1]))} {_xy((right, end[1]))}"
    return f"M{_xy(start)}L{_xy((left, start[1]))}{swing}L{_xy(end)}"


def _xy(point: Point) -> str:
    return f"{round(point[0], 1):g},{round(point[1], 1):g}"


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: Point, end: Point, distance: float) -> Point:
    length = _length(start, end)
    return (start[0] + (end[0] - start[0]) * distance / length, start[1] + (end[1] - start[1]) * distance / length)
