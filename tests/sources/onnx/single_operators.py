"""One operator by itself: as the importer computes it, and as ONNX's reference evaluator does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from generator.sources.onnx_graph import building  # noqa: F401 -- registers the operators
from generator.sources.onnx_graph.execution import outcome
from generator.sources.onnx_graph.reading import read_model
from generator.sources.onnx_graph.registry import Node
from generator.sources.onnx_graph.values import Value

OPSET = 19


def model_of(operator: str, inputs: Sequence[Any], *, opset: int = OPSET, num_outputs: int = 1, **attributes: Any) -> Any:
    """A model of one node. inputs: its arrays, None for one that is left out."""
    domain, _, name = operator.rpartition(":")
    names = ["" if array is None else f"x{place}" for place, array in enumerate(inputs)]
    outputs = [f"y{place}" for place in range(num_outputs)]
    node = helper.make_node(name, names, outputs, name="node", domain=domain, **attributes)
    typed = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype), np.shape(array))
        for name, array in zip(names, inputs, strict=True)
        if name
    ]
    untyped = [onnx.ValueInfoProto(name=name) for name in outputs]
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(helper.make_graph([node], "graph", typed, untyped), opset_imports=opsets, ir_version=10)


def node_of(model: Any) -> Node:
    (node,) = read_model(model, Path("model.onnx")).graph.nodes
    return node


def run(operator: str, inputs: Sequence[Value | None], **options: Any) -> list[Value]:
    """What the importer computes; some of the arrays may be traced."""
    arrays = [None if value is None else np.empty(value.shape, np.dtype(value.array.dtype)) for value in inputs]
    return list(outcome(node_of(model_of(operator, arrays, **options)), inputs, "model.onnx"))


def reference(operator: str, arrays: Sequence[np.ndarray | None], **options: Any) -> list[np.ndarray]:
    """What ONNX's own evaluator computes, in NumPy."""
    from onnx.reference import ReferenceEvaluator

    feeds = {f"x{place}": array for place, array in enumerate(arrays) if array is not None}
    return ReferenceEvaluator(model_of(operator, arrays, **options)).run(None, feeds)


def laid(array: np.ndarray, order: Sequence[int]) -> Value:
    """An array as a value that lies in memory in `order`."""
    return Value(np.transpose(array, order), tuple(order))


def equations(jaxpr: Any) -> Iterator[str]:
    """The primitives of a jaxpr, those of functions inside it too."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from equations(inner)
