"""Where each node of a network stands in its drawing: a text of boxes, read row by row.

Nodes are grouped into stages by the size of their maps; a stage is cut wherever only one value goes on, so that a residual
block or a set of parallel branches stays together in one row where it fits. Within such a group nodes stand in columns
by depth and in lanes by branch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from generator.network.graph import INPUT, Graph, Layer


@dataclass(frozen=True)
class Node:
    """One box to be. inputs: without repeats. stage: which band it belongs to, counted from the image."""

    name: str
    inputs: tuple[str, ...]
    stage: int
    layer: Layer | None


@dataclass(frozen=True)
class Cell:
    """The place of a node. column: within the row; lane: 0 is the main path."""

    row: int
    column: int
    lane: int


@dataclass(frozen=True)
class Row:
    """One line of the drawing. columns: x of the left and the width of each, in px. spans: `(stage, left, right)`."""

    columns: tuple[tuple[float, float], ...]
    num_lanes: int
    spans: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Layout:
    nodes: tuple[Node, ...]
    cells: dict[str, Cell]
    rows: tuple[Row, ...]

    def columns(self, row: int) -> list[list[str]]:
        """The names in each column of a row."""
        names: list[list[str]] = [[] for _ in self.rows[row].columns]
        for name, cell in self.cells.items():
            if cell.row == row:
                names[cell.column].append(name)
        return names


@dataclass(frozen=True)
class Spacing:
    """All in px. margin: outside the first and last column; stage: added between two bands of one row."""

    width: float
    margin: float = 18
    column: float = 16
    branches: float = 24
    stage: float = 26


Group = list[list[tuple[str, int]]]  # columns of (name, lane)


def lay_out(graph: Graph, width_of: Callable[[Node], float], spacing: Spacing) -> Layout:
    """width_of: a node's box in px."""
    nodes = sorted(_staged(graph), key=lambda node: node.stage)  # stable: execution order within a stage
    by_name = {node.name: node for node in nodes}
    flow = _Flow(spacing, lambda name: width_of(by_name[name]))
    for stage, members in groupby(_segments(nodes), key=lambda segment: segment[0].stage):
        flow.add_stage(stage, [_columns(segment) for segment in members])
    return Layout(tuple(nodes), flow.cells, tuple(flow.finished()))


def parent(name: str) -> str:
    """`blocks.3` of `blocks.3.expand`; empty where a name has no dots or slashes."""
    return name.replace("/", ".").rpartition(".")[0]


def _staged(graph: Graph) -> Iterator[Node]:
    """Nodes with their stage: one more than their inputs' where the size of the map changes.

    Vectors that flow back into maps (squeeze and excitation) stay in the stage of those maps.
    """
    feeds_map: dict[str, bool] = {}
    for layer in reversed(graph.layers):
        feeds_map.setdefault(layer.name, False)
        on = feeds_map[layer.name] or _is_map(layer)
        for name in layer.inputs:
            feeds_map[name] = feeds_map.get(name, False) or on
    stages = {INPUT: 0}
    sizes: dict[str, tuple[int, ...]] = {INPUT: graph.input_shape[:2]}
    yield Node(INPUT, (), 0, None)
    for layer in graph.layers:
        inputs = tuple(dict.fromkeys(name for name in layer.inputs if name in stages))
        passing = not _is_map(layer) and feeds_map[layer.name] and inputs
        sizes[layer.name] = sizes[inputs[0]] if passing else tuple(layer.spatial or ()) if _is_map(layer) else ()
        stages[layer.name] = max((stages[n] + (sizes[n] != sizes[layer.name]) for n in inputs), default=0)
        yield Node(layer.name, inputs, stages[layer.name], layer)


def _is_map(layer: Layer) -> bool:
    return layer.spatial is not None and layer.spatial != (1, 1)


def _segments(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Runs that end where only the last node's value goes on, or where a stage ends; runs of one parent are joined."""
    order = {node.name: index for index, node in enumerate(nodes)}
    last_use = list(range(len(nodes)))
    for node in nodes:
        for name in node.inputs:
            last_use[order[name]] = max(last_use[order[name]], order[node.name])
    segment: list[Node] = []
    reach = 0  # the furthest use of a value other than the newest
    for index, node in enumerate(nodes):
        segment.append(node)
        ends_stage = index + 1 == len(nodes) or nodes[index + 1].stage != node.stage
        if ends_stage or (reach <= index and not _same_parent(node, nodes[index + 1])):
            yield segment
            segment = []
        reach = max(reach, last_use[index])


def _same_parent(node: Node, follower: Node) -> bool:
    return parent(node.name) != "" and parent(node.name) == parent(follower.name)


def _columns(segment: Sequence[Node]) -> Group:
    """A column for each depth; a branch keeps its lane, and a lane is used again once nothing leaves it any more."""
    inside = {node.name for node in segment}
    uses = {node.name: {n.name for n in segment if node.name in n.inputs} for node in segment}
    depths: dict[str, int] = {}
    tails: list[str] = []  # the last node of each lane
    columns: Group = []
    for node in segment:
        before = [name for name in node.inputs if name in inside]
        depth = 1 + max((depths[name] for name in before), default=-1)
        done = [depths[tail] < depth and all(depths.get(use, depth + 1) <= depth for use in uses[tail]) for tail in tails]
        own = (lane for lane, tail in enumerate(tails) if tail in before and depths[tail] < depth)
        free = (lane for lane, is_done in enumerate(done) if is_done and before)
        lane = next(own, next(free, len(tails)))
        tails[lane : lane + 1] = [node.name]
        depths[node.name] = depth
        columns.extend([] for _ in range(depth + 1 - len(columns)))
        columns[depth].append((node.name, lane))
    return columns


class _Flow:
    """Fills rows with groups from left to right, as words fill lines."""

    def __init__(self, spacing: Spacing, width_of: Callable[[str], float]):
        self.spacing, self.width_of = spacing, width_of
        self.cells: dict[str, Cell] = {}
        self.rows: list[Row] = []
        self.columns: list[tuple[float, float]] = []
        self.num_lanes = 1
        self.spans: list[tuple[int, float, float]] = []
        self.x = spacing.margin

    def add_stage(self, stage: int, groups: list[Group]) -> None:
        gap = self.spacing.stage if self.columns else 0
        whole = sum(self.group_width(group) + self.gap(group) for group in groups) - self.gap(groups[-1])
        if self.columns and not self.fits(whole, gap):
            self.end_row()
            gap = 0
        self.x += gap
        for group in groups:
            if self.columns and not self.fits(self.group_width(group)):
                self.end_row()
            for column in group:
                if self.columns and not self.fits(self.column_width(column)):
                    self.end_row()
                self.add_column(stage, column, self.gap(group))

    def add_column(self, stage: int, column: list[tuple[str, int]], gap: float) -> None:
        width = self.column_width(column)
        for name, lane in column:
            self.cells[name] = Cell(len(self.rows), len(self.columns), lane)
            self.num_lanes = max(self.num_lanes, lane + 1)
        self.columns.append((self.x, width))
        if self.spans and self.spans[-1][0] == stage:
            self.spans[-1] = (stage, self.spans[-1][1], self.x + width)
        else:
            self.spans.append((stage, self.x, self.x + width))
        self.x += width + gap

    def end_row(self) -> None:
        self.rows.append(Row(tuple(self.columns), self.num_lanes, tuple(self.spans)))
        self.columns, self.spans, self.num_lanes, self.x = [], [], 1, self.spacing.margin

    def finished(self) -> Iterable[Row]:
        if self.columns:
            self.end_row()
        return self.rows

    def fits(self, width: float, gap: float = 0) -> bool:
        return self.x + gap + width <= self.spacing.width - self.spacing.margin

    def gap(self, group: Group) -> float:
        return self.spacing.branches if any(len(column) > 1 for column in group) else self.spacing.column

    def column_width(self, column: list[tuple[str, int]]) -> float:
        return max(self.width_of(name) for name, _ in column)

    def group_width(self, group: Group) -> float:
        return sum(self.column_width(column) for column in group) + (len(group) - 1) * self.gap(group)
