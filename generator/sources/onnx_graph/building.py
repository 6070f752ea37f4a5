"""From the graph of an ONNX file to a function of parameters and images.

What the file knows is computed while it is loaded: shapes, constants, dequantised weights. What is left reads parameters
(the arrays that the owner would call weights) and the images. Half precision is for memory; here all runs in float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from generator.sources.onnx_graph.execution import Values, chosen, outcome, outer, read, reads
from generator.sources.onnx_graph.naming import ParameterNames, node_paths
from generator.sources.onnx_graph.reading import Graph
from generator.sources.onnx_graph.registry import OPERATORS, Node
from generator.sources.onnx_graph.values import Value, channels_last

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"})
#: What decides by random numbers or by training is left alone while the file is loaded.
_NEVER_KNOWN = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"})
_IF = "If"


@dataclass(frozen=True)
class Built:
    """apply: `(params, images) -> outputs`, images float32 `(n, h, w, c)`, outputs a tuple. outputs: their names."""

    apply: Callable[[Any, jax.Array], tuple[jax.Array, ...]]
    params: dict[str, Any]
    outputs: tuple[str, ...]


def build(graph: Graph, place: str, *, layout: str, batch: int | None, output: str | None = None) -> Built:
    """The function of a graph with one input.

    layout: of the input, `nchw` or `nhwc`. batch: number of images that it was exported for, None for any. output: name of
    the one that comes first. Raises `NetworkError` with every operator that is not supported, and if no image reaches
    an output.
    """
    wanted = _outputs(graph, place, output)
    nodes = _needed(graph.nodes, wanted)
    _check_supported(nodes, place)
    known = {name: Value.of(array) for name, array in graph.known.items()}
    (source,) = (tensor.name for tensor in graph.inputs)
    live, origins = _folded(nodes, known, source, place)
    seen = _reached(live, source)
    outputs = tuple(name for name in wanted if name in seen)
    if not outputs:
        raise NetworkError(Problem(place, "none of its outputs depends on the image", "export the model again"))
    paths = node_paths(graph.nodes)
    params, places = _parameters(live, known, origins, ParameterNames(paths))

    def apply(params: Any, images: jax.Array) -> tuple[jax.Array, ...]:
        values: Values = {**known, **{name: _parameter(params, path, known[name]) for name, path in places.items()}}
        values[source] = Value(images, channels_last(4) if layout == "nchw" else (0, 1, 2, 3))
        _run(live, values, paths, place, _Batch(batch, images.shape[0]))
        return tuple(_array(values[name]) for name in outputs)

    return Built(apply, params, outputs)


def _outputs(graph: Graph, place: str, first: str | None) -> list[str]:
    if first is not None and first not in graph.outputs:
        from generator.errors import did_you_mean

        raise NetworkError(Problem(place, f"no output {first!r}", did_you_mean(first, graph.outputs)))
    return [*([first] if first else []), *(name for name in graph.outputs if name != first)]


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
    live, origins = [], {name: name for name in known}
    for node in nodes:
        if node.operator == _IF and node.inputs[0] in known:
            branch = chosen(node, known, place)
            known.update({name: Value.of(array) for name, array in branch.known.items()})
            renamed = dict(zip(branch.outputs, node.outputs, strict=False))
            inner, found = _folded(_renamed(branch.nodes, renamed), known, source, place)
            origins.update(found)
            live += inner
            # A branch may hand on what it reads or holds.
            for name, output in renamed.items():
                if name in known:
                    known[output] = known[name]
                elif name in outer(branch):
                    live.append(Node(output, "Identity", (name,), (output,), {}, 13))
            continue
        names = reads(node)
        if any(name not in known for name in names) or node.operator in _NEVER_KNOWN:
            live.append(node)
            continue
        inputs = read(known, node, place)
        largest = max(names, key=lambda name: known[name].array.size, default="")
        for name, value in zip(node.outputs, outcome(node, inputs, place), strict=False):
            known[name] = value
            origins[name] = origins.get(largest, largest)
    return live, origins


def _renamed(nodes: Sequence[Node], names: dict[str, str]) -> list[Node]:
    from dataclasses import replace

    return [
        replace(
            node,
            inputs=tuple(names.get(name, name) for name in node.inputs),
            outputs=tuple(names.get(name, name) for name in node.outputs),
        )
        for node in nodes
    ]


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
    for node in live:
        for position, name in enumerate(node.inputs):
            value = known.get(name)
            if value is None or name in places or value.array.dtype.name not in _FLOATS or value.array.size < 2:
                continue
            places[name] = path = names.name(origins.get(name, ""), node, position)
            *folders, leaf = path.split("/")
            inner = params
            for folder in folders:
                inner = inner.setdefault(folder, {})
            inner[leaf] = jnp.asarray(np.asarray(value.array, np.float32))
    return params, places


def _parameter(params: Any, path: str, known: Value) -> Value:
    for part in path.split("/"):
        params = params[part]
    return Value(params, known.order)


def _run(nodes: Sequence[Node], values: Values, paths: dict[int, str], place: str, batch: _Batch) -> None:
    for node in nodes:
        if node.operator == _IF:
            branch = chosen(node, values, place)
            values.update({name: Value.of(array) for name, array in branch.known.items()})
            _run(branch.nodes, values, paths, place, batch)
            values.update({out: values[name] for name, out in zip(branch.outputs, node.outputs, strict=False)})
            continue
        inputs = batch.adapted(node, read(values, node, place))
        with jax.named_scope(f"layer:{paths.get(id(node), node.name)}"):
            values.update(zip(node.outputs, outcome(node, inputs, place), strict=False))


@dataclass(frozen=True)
class _Batch:
    """exported: how many images the file's own shapes stand for, None if it leaves that open. actual: how many there are."""

    exported: int | None
    actual: int

    def adapted(self, node: Node, inputs: list[Value | None]) -> list[Value | None]:
        """Shapes that were written down for the exported number of images, for the actual one."""
        if self.exported in (None, self.actual) or node.operator not in ("Reshape", "Expand") or len(inputs) < 2:
            return inputs
        data, shape = inputs[0], inputs[1]
        if data is None or shape is None or data.known or not shape.known or shape.array.size == 0 or data.rank == 0:
            return inputs
        if shape.array[0] == self.exported and data.shape[0] == self.actual:
            return [data, Value.of(np.concatenate([[self.actual], shape.array[1:]]).astype(np.int64)), *inputs[2:]]
        return inputs


def _array(value: Value) -> jax.Array:
    """An output as CNNscope has them: maps with channels last, all else as the file speaks of it."""
    return value.ordered(channels_last(4)) if value.rank == 4 else value.logical
