"""safetensors, msgpack (Flax) and npz files to named arrays. Nested names are joined with `/`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from generator.unpickling import DamagedError

#: Uncompressed bytes of an npz: at most this many times the file's size, or 64 MiB if that is more.
_MAX_INFLATION = 100
_SMALL_BYTES = 64 * 2**20
_MAX_HEADER_BYTES = 10_000
_MAX_DEPTH = 64

_SAFETENSORS_TYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, deserialize

    try:
        found = deserialize(content)
    except (SafetensorError, ValueError, OverflowError) as error:
        raise DamagedError(str(error)) from error
    tensors = {}
    for name, tensor in sorted(found, key=lambda pair: pair[0]):  # the library's own order changes from run to run
        if tensor["dtype"] not in _SAFETENSORS_TYPES:
            raise DamagedError(f"tensor {name!r} has the type {tensor['dtype']}, which is not supported")
        dtype = np.dtype(_SAFETENSORS_TYPES[tensor["dtype"]])
        tensors[name] = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    return tensors


def read_msgpack(content: bytes) -> dict[str, np.ndarray]:
    """What `flax.serialization.to_bytes` or `msgpack_serialize` wrote."""
    from flax.serialization import msgpack_restore
    from msgpack.exceptions import UnpackException

    try:
        tree = msgpack_restore(content)
        return dict(_flatten(tree, ()))
    except DamagedError:
        raise
    except (UnpackException, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise DamagedError(str(error) or type(error).__name__) from error


def _flatten(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    if len(path) > _MAX_DEPTH:
        raise DamagedError(f"its names are nested more than {_MAX_DEPTH} levels deep")
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flatten(value, (*path, str(key)))
    elif hasattr(tree, "__array__") or isinstance(tree, bool | int | float):
        yield "/".join(path), np.asarray(tree)
    elif tree is not None:
        raise DamagedError(f"it holds a {type(tree).__name__} at {'/'.join(path) or 'its top'!r} where an array belongs")


def read_npz(archive: zipfile.ZipFile, num_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of an opened npz. num_bytes: the file's size, which bounds what is unpacked."""
    entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    total = sum(entry.file_size for entry in entries)
    if total > max(_SMALL_BYTES, _MAX_INFLATION * num_bytes):
        raise DamagedError(f"its arrays claim {total:,} bytes, more than a file of {num_bytes:,} bytes plausibly holds")
    return {entry.filename.removesuffix(".npy"): _read_npy(archive, entry) for entry in entries}


def _read_npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise DamagedError(f"array {entry.filename!r} has the npy version {version}, which is not supported")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, fortran_order, dtype = read(file, max_header_size=_MAX_HEADER_BYTES)
        except Exception as error:  # NumPy takes the header for Python and raises whatever its tokeniser and parser meet
            raise DamagedError(f"the header of array {entry.filename!r} is damaged") from error
        if dtype.hasobject:
            rule = f"array {entry.filename!r} holds Python objects, which could run code; nothing of it was read"
            raise DamagedError(rule, "save only arrays of numbers")
        values = np.frombuffer(file.read(), dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")
