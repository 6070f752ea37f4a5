"""An ONNX file as plain records: nodes, known tensors, inputs and outputs. Nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generator.errors import Problem, WeightsError
from generator.sources.onnx_graph.registry import Node
from generator.sources.onnx_graph.tensors import TensorError, external_file, read_tensor, text

_MOST_BYTES = 2 << 30  # what a protobuf message may hold
_MOST_NODES = 1_000_000
_AGAIN = "export the model or copy the file again"
#: How files of other kinds begin, in small letters.
_FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer instead of the file itself",
    b"<!doctype": "a web page, probably of a failed download",
    b"<html": "a web page, probably of a failed download",
    b"pk\x03\x04": "a zip archive, such as a PyTorch or Keras file",
    b"\x89hdf": "an HDF5 file, such as Keras's .h5",
    b"\x1f\x8b": "a gzip archive",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of the graph. shape: a number, a name or nothing for each axis, or None if their number is open.
    kind: the type of its elements, as ONNX numbers them."""

    name: str
    shape: tuple[int | str | None, ...] | None
    kind: int


@dataclass(frozen=True)
class Graph:
    """nodes: in the order in which they are computed. known: tensors that the file holds. inputs: those without a value."""

    nodes: tuple[Node, ...]
    known: Mapping[str, np.ndarray]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class OnnxFile:
    """graph: the main one. outputs: those of it, as far as the file describes them. metadata: what the exporter noted. opset:
    of ONNX's own operators. external: files beside it.
    """

    graph: Graph
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]
    producer: str
    opset: int
    external: tuple[Path, ...]


def read_onnx(path: Path, *, weights: bool = True) -> OnnxFile:
    """The file at `path`. weights: False leaves all tensors out but those without an axis or with one, which is much faster.

    Local functions are inlined. Raises `WeightsError` for a file that is missing, damaged, of another kind, or whose numbers
    lie in files that are missing, too short, or outside its own folder.
    """
    return read_model(_parsed(path), path, weights=weights)


def read_model(model: Any, path: Path, *, weights: bool = True) -> OnnxFile:
    """The file of a parsed `onnx.ModelProto`, which external data lies beside `path`. Raises as `read_onnx` does."""
    try:
        if model.functions:
            model = inlined(model)
        opsets = {text(entry.domain) or "ai.onnx": entry.version for entry in model.opset_import}
        graph = _graph(model.graph, opsets, path.parent, weights)
        outside = [t for t in _tensors(model.graph) if t.data_location == t.EXTERNAL]
        external = {external_file(tensor, path.parent)[0] for tensor in outside}
    except TensorError as error:
        raise WeightsError(Problem(str(path), str(error), error.way_out or _AGAIN)) from error
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError, RecursionError, OverflowError) as error:
        raise WeightsError(Problem(str(path), f"its graph cannot be read: {_first_line(error)}", _AGAIN)) from error
    if not graph.nodes or not graph.outputs:
        raise WeightsError(
            Problem(str(path), "it holds no graph with nodes and outputs", "this is no ONNX model, or an empty one")
        )
    return OnnxFile(
        graph=graph,
        outputs=tuple(_described(value) for value in model.graph.output),
        metadata={text(entry.key): text(entry.value) for entry in model.metadata_props},
        producer=" ".join(filter(None, (text(model.producer_name), text(model.producer_version)))),
        opset=opsets.get("ai.onnx", 0),
        external=tuple(sorted(external)),
    )


def _parsed(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MOST_BYTES and not path.is_fifo() else b""
    except OSError as error:
        reason = "there is no file here" if isinstance(error, FileNotFoundError) else f"it cannot be read ({error.strerror})"
        raise WeightsError(Problem(str(path), reason, "check the path; it is relative to the config")) from error
    if size > _MOST_BYTES:
        raise WeightsError(Problem(str(path), f"it has {size:,} bytes, more than ONNX allows", "save it with external data"))
    if not content:
        raise WeightsError(Problem(str(path), "the file is empty", _AGAIN))
    for start, what in _FOREIGN.items():
        if content[:64].lstrip().lower().startswith(start):
            raise WeightsError(Problem(str(path), f"this is {what}, not an ONNX model", "name the .onnx file"))
    try:
        model = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        rule = "this is no ONNX model, or it is damaged or cut off"
        raise WeightsError(Problem(str(path), f"{rule} ({_first_line(error)})", _AGAIN)) from error
    return model


def inlined(model: Any) -> Any:
    """The model without local functions. Raises `ValueError` where they call themselves, or would make far too many nodes."""
    from onnx.inliner import inline_local_functions

    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[Any], above: frozenset[tuple[str, str]]) -> int:
        total = 0
        for node in nodes:
            total += 1 + sum(size(a.g.node, above) for a in node.attribute if a.HasField("g"))
            key = (node.domain, node.op_type)
            if key in above:
                raise ValueError(f"its function {node.op_type!r} calls itself")
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, above | {key})
            total += sizes.get(key, 0)
        return total

    if (num_nodes := size(model.graph.node, frozenset())) > _MOST_NODES:
        raise ValueError(f"its functions call each other until there are {num_nodes:,} nodes")
    return inline_local_functions(model)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)


def _graph(graph: Any, opsets: Mapping[str, int], folder: Path, weights: bool) -> Graph:
    if graph.sparse_initializer:
        raise TensorError("it holds sparse tensors", "export it with dense ones")
    known = {text(tensor.name): read_tensor(tensor, folder) for tensor in graph.initializer if weights or len(tensor.dims) <= 1}
    names = {text(tensor.name) for tensor in graph.initializer}
    return Graph(
        nodes=tuple(_node(node, opsets, folder, weights) for node in graph.node),
        known=known,
        inputs=tuple(_described(value) for value in graph.input if text(value.name) not in names),
        outputs=tuple(text(value.name) for value in graph.output),
    )


def _described(value: Any) -> Tensor:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return Tensor(text(value.name), None, 0)
    if not kind.HasField("shape"):
        return Tensor(text(value.name), None, kind.elem_type)
    return Tensor(text(value.name), tuple(_size(axis) for axis in kind.shape.dim), kind.elem_type)


def _size(axis: Any) -> int | str | None:
    if axis.HasField("dim_value") and axis.dim_value > 0:
        return axis.dim_value
    return text(axis.dim_param) or None


def _node(node: Any, opsets: Mapping[str, int], folder: Path, weights: bool) -> Node:
    domain, kind, name = text(node.domain) or "ai.onnx", text(node.op_type), text(node.name)
    operator = kind if domain == "ai.onnx" else f"{domain}:{kind}"
    attributes = {text(a.name): _attribute(a, opsets, folder, weights) for a in node.attribute}
    outputs = tuple(map(text, node.output))
    return Node(
        name=name or next(filter(None, outputs), operator),
        operator=operator,
        inputs=tuple(map(text, node.input)),
        outputs=outputs,
        attributes=attributes,
        opset=opsets.get(domain, 0),
        scopes=_scopes(node.metadata_props),
        named=bool(name),
    )


def _scopes(metadata: Iterable[Any]) -> tuple[str, ...]:
    """The modules that a node is part of, outermost first, as PyTorch's exporter notes them, without the node itself."""
    noted = next((entry.value for entry in metadata if entry.key == "pkg.torch.onnx.name_scopes"), "")
    try:
        found = ast.literal_eval(text(noted))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    return tuple(map(str, found[:-1])) if isinstance(found, list) else ()


def _attribute(attribute: Any, opsets: Mapping[str, int], folder: Path, weights: bool) -> Any:
    from onnx import AttributeProto, helper

    match attribute.type:
        case AttributeProto.STRING:
            return text(attribute.s)
        case AttributeProto.STRINGS:
            return [text(part) for part in attribute.strings]
        case AttributeProto.TENSOR:
            return read_tensor(attribute.t, folder) if weights or len(attribute.t.dims) <= 1 else None
        case AttributeProto.GRAPH:
            return _graph(attribute.g, opsets, folder, weights)
        case AttributeProto.SPARSE_TENSOR | AttributeProto.SPARSE_TENSORS | AttributeProto.TYPE_PROTO:
            return None
    value = helper.get_attribute_value(attribute)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, bytes | str) else value


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
