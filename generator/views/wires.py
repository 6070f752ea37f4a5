"""Wires: which units each unit of a network listens to most, and which listen to it.

A wire is a weight as the network applies it, normalisation folded in: of a k x k kernel the L2 norm of the slice between two
units, with the sign of its sum (a sum of zero counts as positive). A dense layer after a flattened map has a slice of all
positions of a channel. Nodes that only pass values on (additions, gates, pooling) have a wire of weight 1 to the same channel
of each input; one that is taken away (subtraction) has -1. Concatenations are looked through, as `Graph.channel_source` does.

What cannot be said has no wires rather than wrong ones: matrix products of two activations, gathered or looped values, maps
padded with further channels, kernels whose inputs are neither a unit's channels nor a whole flattened map, and slices that do
not divide a node's channels among them (the graph keeps widths, not where a slice begins; slices that add up are taken in
order). Maps are taken to be flattened rows, columns, channels. Weights of zero, NaN or infinity are no wires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.network.graph import INPUT, Graph, Layer
from generator.records import Wire, Wires
from generator.views.filters import ROW_BLOCK
from generator.views.statistics import finite_numbers

#: Kinds whose units are the units of what they read, one for one.
PASSING = frozenset(
    {
        *("max_pool", "avg_pool", "reduce_window_min", "reduce_window", "mean", "global_max", "reduce_min", "reduce_prod"),
        *("add", "subtract", "gate", "divide", "maximum", "minimum", "select", "pow", "resize"),
    }
)

_Ends = list[list[tuple[int, float]]]  # for each unit: channels at the other end and weights, strongest first
_Readers = list[tuple[str, int, float]]  # units that read a unit and their weights, strongest first


@dataclass(frozen=True)
class _Joint:
    """How a node reads one of its inputs.

    weights: `(groups, units, channels)`; group `g` holds units `first_unit + g * units ...` of the node, which read channels
    `first_channel + g * channels ...` of `source`.
    """

    source: str
    weights: np.ndarray
    first_unit: int = 0
    first_channel: int = 0


def wires(
    graph: Graph, weights: Mapping[str, tuple[np.ndarray, np.ndarray]], num_inputs: int, num_outputs: int
) -> dict[str, Wires]:
    """The strongest wires of every node that has channels, nodes in the order of execution.

    weights: of each layer with a kernel, the kernel float32 `(kh, kw, cin // groups, cout)` or `(cin, cout)` and the folded
    normalisation's factor float32 `(cout,)`, as `Network.weights` gives them. num_inputs, num_outputs: how many wires a unit
    names at most on each side, equal magnitudes in the order of inputs, readers and channels; units that only pass values on
    name all their inputs. A concatenation is named as a reader only where nothing reads it.
    Raises ValueError for a layer without its weights, or weights that are not of the graph's shape.
    """
    joints = {layer.name: _joints(graph, layer, weights) for layer in graph.layers}
    sources = _sources(graph, joints)
    outputs = _outputs(graph, joints, num_outputs)
    return {
        layer.name: Wires(
            layer=layer.name,
            inputs=_inputs(layer, joints[layer.name], sources, num_inputs),
            outputs=[[Wire(layer=reader, channel=c, weight=w) for reader, c, w in unit] for unit in outputs[layer.name]],
        )
        for layer in graph.layers
        if layer.shape
    }


def _joints(graph: Graph, layer: Layer, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[_Joint]:
    units, widths = layer.num_units, [_width(graph, name) for name in layer.inputs]
    if layer.has_kernel and layer.kernel_shape:
        if layer.name not in weights:
            raise ValueError(f"the weights of {layer.name} are missing")
        return _kernel_joints(graph, layer, *weights[layer.name])
    if layer.kind == "concat" and sum(widths) == units:
        starts = np.cumsum([0, *widths]).tolist()
        return [_same(name, width, unit) for name, width, unit in zip(layer.inputs, widths, starts, strict=False)]
    if layer.kind == "slice":
        parts = [part for part in map(graph.by_name.get, graph.consumers(layer.inputs[0])) if part.kind == "slice"]
        if sum(part.num_units for part in parts) != widths[0]:
            return []
        before = [part.num_units for part in parts[: parts.index(layer)]]
        return [_same(layer.inputs[0], units, first_channel=sum(before))]
    # A concatenation of positions rather than channels passes all of its inputs on.
    if layer.kind in PASSING or (layer.kind == "concat" and set(widths) == {units}):
        signs = [-1.0 if layer.kind == "subtract" and place else 1.0 for place in range(len(widths))]
        named = zip(layer.inputs, widths, signs, strict=True)
        return [_passed(name, width, units, sign) for name, width, sign in named if width in (1, units)]
    return []


def _width(graph: Graph, name: str) -> int:
    return graph.input_shape[-1] if name == INPUT else graph.by_name[name].num_units


def _same(source: str, width: int, first_unit: int = 0, first_channel: int = 0) -> _Joint:
    return _Joint(source, np.ones((width, 1, 1)), first_unit, first_channel)


def _passed(source: str, width: int, units: int, weight: float) -> _Joint:
    """Channel for channel, or the only channel to all units."""
    return _Joint(source, np.full((width, units // width, 1), weight))


def _kernel_joints(graph: Graph, layer: Layer, kernel: np.ndarray, scale: np.ndarray) -> list[_Joint]:
    kernel, scale, units = np.asarray(kernel), np.asarray(scale, np.float64), layer.num_units
    if kernel.shape != layer.kernel_shape or scale.shape != (units,) or kernel.shape[-1] != units:
        raise ValueError(
            f"{layer.name}: kernel {kernel.shape} and scale {scale.shape} are not {layer.kernel_shape}, ({units},)"
        )
    source, channels = layer.inputs[0], kernel.shape[-2]
    shape = graph.input_shape if source == INPUT else graph.by_name[source].shape
    width = _width(graph, source)
    if channels * layer.groups != width:
        if kernel.ndim != 2 or channels != np.prod(shape):
            return []
        channels = width
    if layer.flattened == "chw":  # channels outermost
        kernel = kernel.reshape(channels, -1, units).swapaxes(0, 1)
    slices = kernel.reshape(-1, channels, units)
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = _signed_norms(slices) * scale
    return [_Joint(source, matrix.reshape(channels, layer.groups, -1).transpose(1, 2, 0))]


def _signed_norms(slices: np.ndarray) -> np.ndarray:
    """`(taps, channels, units)` to float64 `(channels, units)`: L2 norms over the taps with the signs of the sums.

    Tap by tap, as a dense layer after a large map would not fit into memory twice.
    """
    if len(slices) == 1:
        return slices[0].astype(np.float64)
    total, squares = (np.zeros(slices.shape[1:]) for _ in range(2))
    for taps in slices:
        total += taps
        squares += np.square(taps, dtype=np.float64)
    return np.where(total < 0, -1.0, 1.0) * np.sqrt(squares)


def strongest(weights: np.ndarray, count: int) -> np.ndarray:
    """Columns `(n, min(count, m))` of `weights` `(n, m)` by falling magnitude; equal ones in order, what is not finite last."""
    count = min(count, weights.shape[1])
    chosen = np.empty((len(weights), count), np.int64)
    step = max(1, ROW_BLOCK // max(1, weights.shape[1]))
    for start in range(0, len(weights), step):
        block = weights[start : start + step]
        magnitude = np.where(np.isfinite(block), np.abs(block), -1.0)
        if 0 < count < block.shape[1]:
            # Only the strongest are sorted. Of those as strong as the weakest of them the first ones are in.
            least = np.partition(magnitude, -count, axis=1)[:, -count, None]
            level = magnitude == least
            level &= np.cumsum(level, axis=1) <= count - (magnitude > least).sum(axis=1, keepdims=True)
            columns = np.nonzero((magnitude > least) | level)[1].reshape(-1, count)
        else:
            columns = np.broadcast_to(np.arange(count), (len(block), count))
        order = np.argsort(-np.take_along_axis(magnitude, columns, axis=1), axis=1, kind="stable")
        chosen[start : start + step] = np.take_along_axis(columns, order, axis=1)
    return chosen


def _ends(weights: np.ndarray, first: int, count: int) -> _Ends:
    """Of each row of each group of `weights` `(groups, rows, columns)`, the strongest columns, numbered from `first`."""
    groups, rows, columns = weights.shape
    flat = weights.reshape(-1, columns)
    order = strongest(flat, count)
    numbers = np.take_along_axis(flat, order, axis=1)
    places = order + first + (np.arange(groups).repeat(rows) * columns)[:, None]
    rounded = finite_numbers(numbers.ravel())
    step = order.shape[1]
    return [
        [(place, weight) for place, weight in zip(channels, rounded[row * step : (row + 1) * step], strict=True) if weight]
        for row, channels in enumerate(places.tolist())
    ]


def _sources(graph: Graph, joints: Mapping[str, list[_Joint]]) -> dict[str, list[tuple[str, int]]]:
    """For each node, the unit that computed each of its channels: itself, or behind a concatenation."""
    found = {INPUT: [(INPUT, channel) for channel in range(graph.input_shape[-1])]}
    for layer in graph.layers:
        if _is_seam(layer, joints):
            found[layer.name] = [source for joint in joints[layer.name] for source in found[joint.source]]
        else:
            found[layer.name] = [(layer.name, channel) for channel in range(layer.num_units)]
    return found


def _is_seam(layer: Layer, joints: Mapping[str, list[_Joint]]) -> bool:
    """Whether a node is a concatenation of channels, and so looked through."""
    return layer.kind == "concat" and sum(len(joint.weights) for joint in joints[layer.name]) == layer.num_units


def _inputs(
    layer: Layer, joints: Sequence[_Joint], sources: Mapping[str, list[tuple[str, int]]], count: int
) -> list[list[Wire]]:
    found: list[list[Wire]] = [[] for _ in range(layer.num_units)]
    for joint in joints:
        channels = sources[joint.source]
        for unit, ends in enumerate(_ends(joint.weights, joint.first_channel, count), joint.first_unit):
            found[unit] += [Wire(layer=channels[c][0], channel=channels[c][1], weight=w) for c, w in ends]
    return found


def _outputs(graph: Graph, joints: Mapping[str, list[_Joint]], count: int) -> dict[str, list[_Readers]]:
    """Of each unit of each node; from the last node to the first, since seams hand theirs on."""
    found: dict[str, list[_Readers]] = {name: [[] for _ in range(_width(graph, name))] for name in (INPUT, *graph.by_name)}
    for layer in reversed(graph.layers):
        readers = found[layer.name] = [sorted(unit, key=lambda wire: -abs(wire[2]))[:count] for unit in found[layer.name]]
        seam = _is_seam(layer, joints)
        for joint in reversed(joints[layer.name]):
            for channel, ends in enumerate(
                _ends(joint.weights.transpose(0, 2, 1), joint.first_unit, count), joint.first_channel
            ):
                direct = [(layer.name, unit, weight) for unit, weight in ends]
                behind = [reader for unit, _ in ends for reader in readers[unit]] if seam else []
                found[joint.source][channel] = (behind or direct) + found[joint.source][channel]
    return found
