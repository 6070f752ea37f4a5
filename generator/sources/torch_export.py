"""PyTorch modules written down as ONNX: what the module is made of stays apart, and keeps the names of its submodules.

PyTorch has two exporters. The one that is built on `torch.export` tells which submodule every operation belongs to; the older
one, which records a run, takes over where the first cannot follow a module's Python. Neither may fold a normalisation into
the convolution before it here: owners want to see both.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 20
#: Two, as PyTorch takes a batch of one for a constant.
_BATCH = 2
_MAX_BYTES = 2**31 - 1
_SCOPES = "pkg.torch.onnx.name_scopes"


class ExportError(Exception):
    """Neither exporter can write the network down; `str()` says what each of them met."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Whatever PyTorch has to say about its own workings is kept from the terminal, and its warnings stay warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            _descriptors_silenced(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _descriptors_silenced() -> Iterator[None]:
    """The older exporter prints from C++, past Python's own streams."""
    with contextlib.ExitStack() as undo, open(os.devnull, "wb") as nowhere:
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # a program without a terminal may have neither
                stream.flush()
                kept = os.dup(number)
                undo.callback(os.close, kept)
                undo.callback(os.dup2, kept, number)
                os.dup2(nowhere.fileno(), number)
        yield


def example(input_shape: tuple[int, int, int]) -> torch.Tensor:
    """Images to export with, float32 `(n, c, h, w)` in 0-1."""
    import torch

    height, width, channels = input_shape
    generator = torch.Generator().manual_seed(0)
    return torch.rand(_BATCH, channels, height, width, generator=generator)


def export_module(module: torch.nn.Module, images: torch.Tensor) -> bytes:
    """The module, which is in eval mode, as an ONNX file. Raises `ExportError`."""
    try:
        return followed(module, images)
    except Exception as error:  # exporters raise whatever the module's own code makes them raise
        first = _reason(error)
    try:
        return recorded(module, images)
    except Exception as error:
        raise ExportError(f"torch.export: {first}; the older exporter: {_reason(error)}") from error


def followed(module: torch.nn.Module, images: torch.Tensor) -> bytes:
    """What the exporter makes that follows the module's Python; the batch is dynamic if the module lets it be."""
    import torch

    batch = ({0: torch.export.Dim.AUTO},)
    found = torch.onnx.export(
        module,
        (images,),
        dynamo=True,
        dynamic_shapes=batch,
        opset_version=OPSET,
        optimize=False,
        verbose=False,
        custom_translation_table=_translations(),
    )
    return _serialised(_finished(found))


def recorded(module: torch.nn.Module, images: torch.Tensor) -> bytes:
    """What the older exporter makes, which records one run: decisions that depend on values become constants."""
    import torch

    file = io.BytesIO()
    torch.onnx.export(
        module,
        (images,),
        file,
        dynamo=False,
        opset_version=OPSET,
        input_names=["images"],
        dynamic_axes={"images": {0: "n"}},
        do_constant_folding=False,
        # Anything else folds normalisations; the module is in eval mode already.
        training=torch.onnx.TrainingMode.PRESERVE,
    )
    return file.getvalue()


def export_program(program: torch.export.ExportedProgram) -> bytes:
    """An exported program as an ONNX file; its batch is dynamic only if it was exported so. Raises `ExportError`."""
    import torch

    try:
        found = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            optimize=False,
            verbose=False,
            custom_translation_table=_translations(),
        )
        return _serialised(_finished(found))
    except Exception as error:
        raise ExportError(_reason(error)) from error


def _translations() -> dict[Any, Any]:
    """Operations that we write down ourselves: PyTorch's exporter gathers the windows of an adaptive pool on new axes."""
    import torch

    return {torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_average_pool}


def _adaptive_average_pool(maps: Any, output_size: Sequence[int]) -> Any:
    import onnx
    from onnxscript import opset20 as op
    from onnxscript import values

    if list(output_size) == [1, 1]:
        return op.GlobalAveragePool(maps)
    # ONNX has no such operator; ours is read by `onnx_graph/pooling.py`.
    domain, name, version = "cnnscope", "AdaptiveAveragePool", 1
    schema = onnx.defs.OpSchema(
        name,
        domain,
        version,
        inputs=[onnx.defs.OpSchema.FormalParameter("maps", "T")],
        outputs=[onnx.defs.OpSchema.FormalParameter("means", "T")],
        type_constraints=[("T", ["tensor(float)"], "")],
        attributes=[onnx.defs.OpSchema.Attribute("output_size", onnx.defs.OpSchema.AttrType.INTS)],
    )
    return values.Op(values.Opset(domain, version), name, schema)(maps, output_size=list(output_size))


def _reason(error: BaseException) -> str:
    """The innermost cause in one line; the exporters' own errors are pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _finished(program: Any) -> onnx.ModelProto:
    """Shape arithmetic done, parameters left as they are, nodes named after submodules, comments dropped."""
    from onnxscript import optimizer

    model = program.model
    own = set(model.graph.initializers)

    def fold(node: Any) -> bool | None:
        # What a parameter only passes through on its way would lose its name.
        reads = any(value is not None and value.name in own for value in node.inputs)
        return False if reads and node.op_type not in ("Shape", "CastLike") else None

    optimizer.inline(model)
    for _ in range(2):
        optimizer.fold_constants(model, should_fold=fold)
        optimizer.remove_unused_nodes(model)
    proto = program.model_proto
    _without_zero_biases(proto.graph, own)
    for node in proto.graph.node:
        node.name = _name(node)
    for holder in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del holder.metadata_props[:]
        holder.doc_string = ""
    del proto.graph.value_info[:]
    return proto


def _name(node: onnx.NodeProto) -> str:
    """As the older exporter writes them: the modules that a node is part of, then its operator (`/layer1/layer1.0/Add`).

    Of the scopes that the newer one notes, the first is the whole network and the last the operation itself.
    """
    text = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    return "/".join(["", *ast.literal_eval(text)[1:-1], node.op_type])


def _without_zero_biases(graph: onnx.GraphProto, own: set[str]) -> None:
    """Drops the biases of zeros that `torch.export` gives to convolutions that have none."""
    import numpy as np
    import onnx

    made = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in own}
    made |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute}
    for node in graph.node:
        bias = made.get(node.input[2]) if node.op_type == "Conv" and len(node.input) == 3 else None
        if bias is not None and not np.any(onnx.numpy_helper.to_array(bias)):
            del node.input[2]
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for kept in [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in read]:
        graph.node.remove(kept)
    for kept in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(kept)


def _serialised(proto: onnx.ModelProto) -> bytes:
    if proto.ByteSize() > _MAX_BYTES:
        raise ExportError(f"it has {proto.ByteSize():,} bytes of weights, and an ONNX file holds at most 2 GiB")
    return proto.SerializeToString()
