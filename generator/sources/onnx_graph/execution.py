"""Runs the nodes of a graph one after the other, on values that are known and on values that are traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from generator.errors import NetworkError, Problem
from generator.sources.onnx_graph.reading import Graph
from generator.sources.onnx_graph.registry import OPERATORS, Node, UnsupportedError, affordable
from generator.sources.onnx_graph.values import Value

Values = dict[str, Value]

#: Operators whose results may be far larger than their inputs by what their attributes say, or as outer products.
_GROWING = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "com.microsoft:FusedConv", "MaxUnpool", "GridSample"),
        *("AveragePool", "LpPool", "MaxPool", "com.microsoft:QLinearAveragePool"),
        *("Einsum", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "com.microsoft:QGemm"),
        *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"),
    }
)


def outcome(node: Node, inputs: Sequence[Value | None], place: str) -> Sequence[Value]:
    """The outputs of one node. Raises `NetworkError` that names the node."""
    try:
        function = OPERATORS[node.operator]
        if all(value is None or value.known for value in inputs):
            if node.operator in _GROWING:
                sizes = jax.eval_shape(lambda: [value.array for value in function(node, inputs)])
                for size in sizes:
                    affordable(size.shape, inputs)
            # Operators in JAX compute on known values, too, and at once, whatever is being traced around them.
            with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
                return [Value(np.asarray(value.array), value.order) for value in function(node, inputs)]
        found = function(node, inputs)
        for value in found:
            affordable(value.array.shape, inputs)
        return found
    except UnsupportedError as error:
        rule = f"node {node.name!r} ({node.operator}) {error}"
        raise NetworkError(
            Problem(place, rule, "export the model without it, or simplify the file (onnxsim, onnxslim)")
        ) from error
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:
        shapes = ", ".join(" x ".join(map(str, value.shape)) or "a number" for value in inputs if value is not None)
        first = next(iter(str(error).splitlines()), "")
        rule = (
            f"node {node.name!r} ({node.operator}) cannot run on {shapes or 'nothing'}: {type(error).__name__}: {first[:300]}"
        )
        raise NetworkError(
            Problem(place, rule, "check the file, and that the images have the size it was exported for")
        ) from error


def read(values: Mapping[str, Value], node: Node, place: str) -> list[Value | None]:
    """The inputs of a node; those that are left out at the end or in between are None."""
    missing = [name for name in node.inputs if name and name not in values]
    if missing:
        rule = f"node {node.name!r} ({node.operator}) reads {missing[0]!r}, which nothing before it computes"
        raise NetworkError(Problem(place, rule, "export the model again"))
    return [values[name] if name else None for name in node.inputs]


def reads(node: Node) -> list[str]:
    """Every value that a node reads, those inside its branches too."""
    inner = [graph for graph in node.attributes.values() if isinstance(graph, Graph)]
    return [name for name in node.inputs if name] + [name for graph in inner for name in outer(graph)]


def outer(graph: Graph) -> list[str]:
    """What a branch reads of the graph around it."""
    inside = {*graph.known, *(tensor.name for tensor in graph.inputs), *(name for node in graph.nodes for name in node.outputs)}
    wanted = [name for node in graph.nodes for name in reads(node)]
    return [name for name in (*wanted, *graph.outputs) if name not in inside]


def chosen(node: Node, values: Mapping[str, Value], place: str) -> Graph:
    """The branch that an `If` takes. Raises `NetworkError` where that depends on the image."""
    branches = [node.get("else_branch"), node.get("then_branch")]
    if len(node.inputs) != 1 or not all(isinstance(branch, Graph) for branch in branches):
        rule = f"node {node.name!r} (If) has no condition, or not two branches"
        raise NetworkError(Problem(place, rule, "export the model again"))
    (condition,) = read(values, node, place)
    if condition is None or not condition.known or condition.array.size != 1:
        rule = f"node {node.name!r} (If) decides by the image which way to go"
        raise NetworkError(Problem(place, rule, "export the model without control flow"))
    return branches[bool(condition.array.reshape(()))]
