"""Tensors of an ONNX file as NumPy arrays, also those whose numbers lie in a file beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np


class TensorError(ValueError):
    """A tensor cannot be read; says which rule it breaks. way_out: what to do, if another copy of the file would not help."""

    def __init__(self, message: str, way_out: str = ""):
        super().__init__(message)
        self.way_out = way_out


def text(value: str | bytes) -> str:
    """A text of a file; damaged ones come as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def read_tensor(tensor: Any, folder: Path | None) -> np.ndarray:
    """The array of a `TensorProto`. folder: of the ONNX file, where external data lies; None where there must not be any.

    No size that the file claims is believed before it is checked against the bytes that are there. bfloat16, float8 and 4-bit
    types come as those of `ml_dtypes`. Raises `TensorError`.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    name = text(tensor.name) or "without a name"
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise TensorError(f"tensor {name!r} has the shape {shape}")
    if tensor.data_type == TensorProto.STRING:
        return np.array([text(part) for part in tensor.string_data], object).reshape(shape)
    if tensor.data_location == TensorProto.EXTERNAL:
        content = _external(tensor, folder)
        inside = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims)
        inside.raw_data = content
        tensor = inside
    try:
        if tensor.HasField("raw_data"):
            _check_size(len(tensor.raw_data), tensor.data_type, shape, name)
        return numpy_helper.to_array(tensor)
    except TensorError:
        raise
    except Exception as error:  # whatever the library says of types and sizes that do not fit
        raise TensorError(f"tensor {name!r} of shape {shape} cannot be read: {error}") from error


def _itemsize(data_type: int) -> float:
    """Bytes of one number; half of one for 4-bit types."""
    from onnx import TensorProto, helper

    if data_type in (TensorProto.INT4, TensorProto.UINT4, getattr(TensorProto, "FLOAT4E2M1", -1)):
        return 0.5
    if data_type in (getattr(TensorProto, "INT2", -1), getattr(TensorProto, "UINT2", -1)):
        return 0.25
    return helper.tensor_dtype_to_np_dtype(data_type).itemsize


def _check_size(num_bytes: int, data_type: int, shape: tuple[int, ...], name: str) -> None:
    needed = math.ceil(math.prod(shape) * _itemsize(data_type))
    if num_bytes != needed:
        raise TensorError(f"tensor {name!r} of shape {shape} takes {needed:,} bytes, {num_bytes:,} are there")


def external_file(tensor: Any, folder: Path | None) -> tuple[Path, int, int]:
    """Where the numbers of a tensor with external data lie: the file, the first byte and how many. Nothing of it is read.

    Raises `TensorError` for a file outside `folder`, one that is missing, and one that is too short.
    """
    name = text(tensor.name) or "without a name"
    entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
    location = entries.get("location", "")
    place = f"tensor {name!r} lies in the file {location!r}"
    if folder is None or not location:
        raise TensorError(f"tensor {name!r} says that its numbers lie in another file, and not in which")
    path = _safe_path(location, folder)
    if path is None:
        rule = f"{place}, outside the model's own folder; it was not read"
        raise TensorError(rule, "put the file beside the model and save it with a plain file name as its location")
    if not path.is_file():
        raise TensorError(f"{place}, and there is no such file", f"put it into {folder}")
    size = path.stat().st_size
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries["length"]) if entries.get("length") else size - offset
    except ValueError as error:
        raise TensorError(f"{place} at a place that is no number") from error
    if offset < 0 or length < 0 or offset + length > size:
        rule = f"{place} at bytes {offset:,} to {offset + length:,}, but it has {size:,}"
        raise TensorError(rule, "copy that file again")
    _check_size(length, tensor.data_type, tuple(tensor.dims), name)
    return path, offset, length


def _external(tensor: Any, folder: Path | None) -> bytes:
    path, offset, length = external_file(tensor, folder)
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise TensorError(f"{path} cannot be read ({error.strerror or error})") from error


def _safe_path(location: str, folder: Path) -> Path | None:
    """The file that a model names, if it lies in the model's own folder, links followed; else None."""
    if "\0" in location or "\\" in location or Path(location).is_absolute() or ".." in Path(location).parts:
        return None
    try:
        path, home = (folder / location).resolve(), folder.resolve()
        path.exists()
    except OSError:  # too long, or links in a circle
        return None
    return path if path.is_relative_to(home) else None
