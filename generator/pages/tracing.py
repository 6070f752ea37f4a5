"""Traces: from one unit down to the pixels along its strongest wires, as a tree that a page can show."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from generator.network.graph import INPUT, Graph
from generator.records import Record, Wire, Wires

#: Kinds whose units weigh many inputs against each other; all others pass on what they read.
MIXING = frozenset({"conv", "conv_transpose", "dense"})


class Link(Record):
    """A unit of a strand. layer, unit: `input` and a colour channel at the bottom. weight: of the wire to the link before it,
    1 at the root.

    passes: whether it only passes on what it reads (addition, gate, pooling, depthwise convolution). importance: the share of
    the root that comes this way, 0-1: the product of `|weight| / sum of |weights|` over the units from the root down.
    """

    layer: str
    unit: int
    weight: float
    passes: bool
    importance: float


class Strand(Record):
    """Units in a row, each the only shown input of the one before it, and the strands that the last of them reads.

    links: at least one. again: the last link's inputs are shown elsewhere in the tree.
    Strands nest as deep as a path forks, at most `limit` deep, so that a trace of any network stays within JSON's limits.
    """

    links: tuple[Link, ...]
    again: bool = False
    strands: tuple[Strand, ...] = ()


@dataclass
class _Node:
    """A unit in the tree while it grows. place: among its parent's inputs. level: mixing units above it."""

    layer: str
    unit: int
    weight: float
    importance: float
    place: int
    level: int
    parts: list[_Node] = field(default_factory=list)


class _Edge(NamedTuple):
    """A wire that the tree may grow along next, the most important first, among equals the one found first."""

    priority: float
    number: int
    above: _Node
    place: int


def trace(wires: Mapping[str, Wires], graph: Graph, layer: str, unit: int, breadth: int, depth: int, limit: int = 40) -> Strand:
    """What unit `unit` of `layer` is made of: its strongest inputs, theirs in turn, down to the pixels.

    wires: of every node, as `views.wires` finds them. breadth: how many inputs are shown of a unit that mixes; units that pass
    on show all of theirs, so residual additions fork, and cost nothing. depth: how many mixing units deep the tree forks.
    limit: how many units it shows besides those that pass on, and how many in all off the strongest path; the most important
    ones (`Link.importance`) are kept.

    Whatever the limits, one path is shown as far as the pixels: the strongest input at every unit, another one only where that
    leads nowhere (a unit without wires). A unit's inputs are shown once in a tree. Raises ValueError for a unit that does not
    exist, or limits below 1.
    """
    if layer not in wires or not 0 <= unit < len(wires[layer].inputs):
        raise ValueError(f"there is no unit {unit} of {layer!r} to trace")
    if min(breadth, depth, limit) < 1:
        raise ValueError(f"breadth {breadth}, depth {depth} and limit {limit} must be at least 1")
    root = _Node(layer, unit, 1.0, 1.0, 0, 0)
    expanded: dict[tuple[str, int], _Node] = {}
    edges: list[_Edge] = []
    number = 0

    def expand(node: _Node, path: int | None = None) -> None:
        """Offers the inputs of `node`, but for the one on the path, which is there already."""
        nonlocal number
        ends, mixes = _ends(wires, node.layer, node.unit), _mixes(graph, node.layer)
        forks = node.level + mixes <= depth
        if (path is None and not forks) or expanded.setdefault((node.layer, node.unit), node) is not node or not forks:
            return
        for place in range(min(breadth, len(ends)) if mixes else len(ends)):
            if place != path:
                share = node.importance * abs(ends[place].weight) / sum(abs(end.weight) for end in ends)
                heapq.heappush(edges, _Edge(-share, number, node, place))
                number += 1

    path = _path(wires, layer, unit)
    shown = int(_mixes(graph, layer))
    node = root
    for place in path:
        below = _attach(wires, graph, node, place)
        expand(node, place)
        node, shown = below, shown + _counts(graph, below.layer)
    expand(node)
    for _ in range(limit):
        if not edges:
            break
        edge = heapq.heappop(edges)
        end = _ends(wires, edge.above.layer, edge.above.unit)[edge.place]
        if shown >= limit and _counts(graph, end.layer):
            break
        below = _attach(wires, graph, edge.above, edge.place)
        shown += _counts(graph, below.layer)
        expand(below)
    return _strand(graph, root, expanded)


def _ends(wires: Mapping[str, Wires], layer: str, unit: int) -> list[Wire]:
    return [] if layer == INPUT else wires[layer].inputs[unit]


def _mixes(graph: Graph, layer: str) -> bool:
    return layer != INPUT and graph.by_name[layer].kind in MIXING


def _counts(graph: Graph, layer: str) -> bool:
    """Whether a unit counts towards the limit."""
    return layer == INPUT or _mixes(graph, layer)


def _attach(wires: Mapping[str, Wires], graph: Graph, above: _Node, place: int) -> _Node:
    """Grows the tree by input `place` of `above`."""
    ends = _ends(wires, above.layer, above.unit)
    share = abs(ends[place].weight) / sum(abs(end.weight) for end in ends)
    level = above.level + _mixes(graph, above.layer)
    below = _Node(ends[place].layer, ends[place].channel, ends[place].weight, above.importance * share, place, level)
    above.parts.append(below)
    return below


def _path(wires: Mapping[str, Wires], layer: str, unit: int) -> list[int]:
    """The strongest way to the pixels, as the input taken at each unit; empty where no way leads there.

    Depth first, strongest inputs first: a unit that was left behind leads nowhere, however it is reached.
    """
    left: set[tuple[str, int]] = set()
    taken, places = [(layer, unit)], [0]
    while taken and taken[-1][0] != INPUT:
        ends = _ends(wires, *taken[-1])
        if places[-1] == len(ends):
            left.add(taken.pop())
            places.pop()
            continue
        end = ends[places[-1]]
        places[-1] += 1
        if (end.layer, end.channel) not in left:
            taken.append((end.layer, end.channel))
            places.append(0)
    return [place - 1 for place in places[:-1]]


def _strand(graph: Graph, node: _Node, expanded: Mapping[tuple[str, int], _Node]) -> Strand:
    links = [_link(graph, node)]
    while len(node.parts) == 1:
        node = node.parts[0]
        links.append(_link(graph, node))
    parts = sorted(node.parts, key=lambda part: part.place)
    elsewhere = expanded.get((node.layer, node.unit), node)
    return Strand(
        links=tuple(links),
        again=elsewhere is not node and bool(elsewhere.parts),
        strands=tuple(_strand(graph, part, expanded) for part in parts),
    )


def _link(graph: Graph, node: _Node) -> Link:
    passes = not _counts(graph, node.layer)
    return Link(layer=node.layer, unit=node.unit, weight=node.weight, passes=passes, importance=node.importance)
