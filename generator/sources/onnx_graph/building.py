"""From the graph of an ONNX file to a function of parameters and images.

What the file knows is computed while it is loaded: shapes, constants, dequantised weights. What is left reads parameters
(the arrays that the owner would call weights) and the images. Half precision is for memory; here all runs in float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.errors import NetworkError, Problem
from generator.sources.onnx_graph import (  # noqa: F401 -- importing them registers their operators
    activations,
    convolutions,
    elementwise,
    normalisation,
    pooling,
    products,
    quantised,
    reductions,
    resizing,
    selecting,
    shaping,
)
from generator.sources.onnx_graph.batches import Each, adapted, each_image, leaves_images_apart
from generator.sources.onnx_graph.execution import Values, chosen, outcome, read, reads
from generator.sources.onnx_graph.naming import KERNELS, ParameterNames, node_paths
from generator.sources.onnx_graph.quantised_kernels import plain
from generator.sources.onnx_graph.reading import Graph
from generator.sources.onnx_graph.registry import OPERATORS, Node
from generator.sources.onnx_graph.values import Value, channels_last

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"})
_IF = "If"
#: Operators whose further inputs are settings, which must be known.
_SET = frozenset({"Resize", "Upsample"})


@dataclass(frozen=True)
class Built:
    """apply: `(params, images) -> outputs`, images float32 `(n, h, w, c)`, outputs a tuple. outputs: their names."""

    apply: Callable[[Any, jax.Array], tuple[jax.Array, ...]]
    params: dict[str, Any]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class _Setting:
    """place: the file. paths: of the nodes' layers. batch: number of images that the file was exported for, None for any."""

    place: str
    paths: dict[int, str]
    batch: int | None


def build(graph: Graph, place: str, *, layout: str, batch: int | None, output: str | None = None) -> Built:
    """The function of a graph with one input.

    layout: of the input, `nchw` or `nhwc`. batch: number of images that it was exported for, None for any. output: name of
    the one that comes first. Raises `NetworkError` with every operator that is not supported, and if no output depends on
    the image.
    """
    wanted = sorted(graph.outputs, key=lambda name: name != output)
    nodes = plain(_needed(graph.nodes, wanted), graph.known)
    _check_supported(nodes, place)
    known = {name: Value.of(array) for name, array in graph.known.items()}
    (source,) = (tensor.name for tensor in graph.inputs)
    live, origins = _folded(nodes, known, source, place)
    seen = _reached(live, source)
    outputs = tuple(dict.fromkeys(name for name in wanted if name in seen))
    if not outputs:
        raise NetworkError(Problem(place, "none of its outputs depends on the image", "export the model again"))
    paths = node_paths(_all(nodes))
    params, places = _parameters(live, known, origins, ParameterNames(paths))
    read_by_any = {name for node in live for name in reads(node)}
    constants = {name: value for name, value in known.items() if name in read_by_any and name not in places}
    order = channels_last(4) if layout == "nchw" else (0, 1, 2, 3)
    setting = _Setting(place, paths, batch)

    def apply(params: Any, images: jax.Array) -> tuple[jax.Array, ...]:
        values: dict[str, Value | Each] = {name: _parameter(params, path) for name, path in places.items()}
        values |= {**constants, source: Value(images, order)}
        _run(live, values, {source}, setting)
        _check_one_each(values[outputs[0]], images.shape[0], setting)
        return tuple(_array(values[name], order) for name in outputs)

    return Built(apply, params, outputs)


def _needed(nodes: Sequence[Node], wanted: Sequence[str]) -> list[Node]:
    alive, kept = set(wanted), []
    for node in reversed(nodes):
        if alive & set(node.outputs):
            kept.append(node)
            alive.update(reads(node))
    return kept[::-1]


def _check_supported(nodes: Sequence[Node], place: str) -> None:
    """All operators that are missing, each with its first node."""
    first: dict[str, str] = {}
    count: Counter[str] = Counter()
    for node in _all(nodes):
        if node.operator not in OPERATORS and node.operator != _IF:
            first.setdefault(node.operator, node.name)
            count[node.operator] += 1
    if not first:
        return
    way_out = "export the part of the model before it (its backbone), or without it"
    problems = []
    for operator, name in first.items():
        others = f" and {count[operator] - 1} others" if count[operator] > 1 else ""
        rule = f"the operator {operator} (node {name!r}{others}) is not supported"
        problems.append(Problem(place, rule, way_out if operator == list(first)[-1] else ""))
    raise NetworkError(problems)


def _all(nodes: Sequence[Node]) -> Sequence[Node]:
    inner = [graph for node in nodes for graph in node.attributes.values() if isinstance(graph, Graph)]
    return [*nodes, *(node for graph in inner for node in _all(graph.nodes))]


def _folded(nodes: Sequence[Node], known: Values, source: str, place: str) -> tuple[list[Node], dict[str, str]]:
    """Computes what can be known into `known`; returns the nodes that are left, and which tensor of the file the largest part
    of a computed one comes from."""
    live: list[Node] = []
    origins = {name: name for name in known}
    for node in nodes:
        if node.operator == _IF and node.inputs[0] in known:
            branch = chosen(node, known, place)
            known.update({name: Value.of(array) for name, array in branch.known.items()})
            origins.update({name: name for name in branch.known})
            inner, found = _folded(branch.nodes, known, source, place)
            origins.update(found)
            live += inner
            for name, output in zip(branch.outputs, node.outputs, strict=False):
                if name in known:
                    known[output], origins[output] = known[name], origins.get(name, name)
                else:
                    live.append(Node(output, "Identity", (name,), (output,), {}, node.opset))
            continue
        names = reads(node)
        if any(name not in known for name in names):
            live.append(node)
            continue
        inputs = read(known, node, place)
        largest = max(names, key=lambda name: known[name].array.size, default="")
        for name, value in zip(node.outputs, outcome(node, inputs, place), strict=False):
            known[name] = value
            origins[name] = origins.get(largest, largest)
    return live, origins


def _reached(nodes: Sequence[Node], source: str) -> set[str]:
    seen = {source}
    for node in nodes:
        if seen & set(reads(node)):
            seen.update(name for name in node.outputs if name)
    return seen


def _parameters(
    live: Sequence[Node], known: Values, origins: dict[str, str], names: ParameterNames
) -> tuple[dict[str, Any], dict[str, str]]:
    """The nested parameters, and the path of each by the name that nodes read it under."""
    params: dict[str, Any] = {}
    places: dict[str, str] = {}
    settings = {name for node in live if node.operator in _SET for name in node.inputs[1:]}
    for node in live:
        for position, name in enumerate(node.inputs):
            value = known.get(name)
            if value is None or name in places or name in settings or value.array.dtype.name not in _FLOATS:
                continue
            if value.array.size < 2 and not (node.operator in KERNELS and position == 1):
                continue  # a number
            places[name] = path = names.name(origins.get(name, ""), node, position)
            *folders, leaf = path.split("/")
            inner = params
            for folder in folders:
                inner = inner.setdefault(folder, {})
            inner[leaf] = jnp.asarray(np.asarray(value.logical, np.float32))
    return params, places


def _parameter(params: Any, path: str) -> Value:
    for part in path.split("/"):
        params = params[part]
    return Value.of(params)


def _run(nodes: Sequence[Node], values: dict[str, Value | Each], moving: set[str], setting: _Setting) -> None:
    """Computes what the nodes do into `values`. moving: names of those that depend on the images."""
    for node in nodes:
        inputs = read(values, node, setting.place)
        moves = [name in moving for name in node.inputs]
        if node.operator == _IF:
            branch = chosen(node, values, setting.place)
            values.update({name: Value.of(array) for name, array in branch.known.items()})
            _run(branch.nodes, values, moving, setting)
            found = [values[name] for name in branch.outputs]
        else:
            with jax.named_scope(f"layer:{setting.paths.get(id(node), node.name)}"):
                found = _computed(node, inputs, moves, setting)
        for name, value in zip(node.outputs, found, strict=False):
            values[name] = value
            if not value.known:
                moving.add(name)


def _computed(node: Node, inputs: list[Value | Each | None], moves: list[bool], setting: _Setting) -> Sequence[Value | Each]:
    run = partial(outcome, node, place=setting.place)
    if not any(moves) or setting.batch is None:
        return run(inputs)
    if setting.batch == 1 and (any(isinstance(x, Each) for x in inputs) or not leaves_images_apart(node, inputs, moves)):
        return each_image(run, inputs, moves)
    return run(adapted(node, inputs, setting.batch) if moves[0] else inputs)


def _check_one_each(value: Value | Each, num_images: int, setting: _Setting) -> None:
    """Raises `NetworkError` if an output has no value for each image."""
    if isinstance(value, Value) and (value.rank == 0 or value.shape[0] != num_images):
        shape = " x ".join(map(str, value.shape)) or "a number"
        rule = (
            f"its output is {shape} for {num_images} images, as it was exported for {setting.batch or 'another number of them'}"
        )
        raise NetworkError(Problem(setting.place, rule, "export it for 1 image, or with an open number of images"))


def _array(value: Value | Each, order: tuple[int, ...]) -> jax.Array:
    """An output as CNNscope has them: maps with channels last, as the images are; all else as the file speaks of it."""
    if isinstance(value, Each):
        value = Value(value.array, (0, *(1 + axis for axis in value.order)))
    return value.ordered(order) if value.rank == 4 else value.logical
