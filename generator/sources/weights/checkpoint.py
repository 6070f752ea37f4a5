"""Which format a checkpoint has, judged by its content, and its named arrays."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np

from generator.errors import Problem, WeightsError
from generator.sources.weights.array_files import read_msgpack, read_npz, read_safetensors
from generator.sources.weights.torch_file import is_pickle_entry, read_legacy, read_zip
from generator.unpickling import DamagedError, ForeignGlobalError

Format = Literal["pth (zip)", "pth (legacy)", "safetensors", "msgpack", "npz"]

_KNOWN = "use .pth, .safetensors, .msgpack (Flax) or .npz"
_INCOMPLETE = "the file is damaged or incomplete: copy or download it again"
_FOREIGN = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras .h5)",
    b"\x1f\x8b": "a gzip archive",
    b"\x08\x03": "an ONNX model",
    b"<!DOCTYPE": "a web page, probably of a failed download",
    b"<html": "a web page, probably of a failed download",
    b"version https://git-lfs": "a Git LFS pointer instead of the file itself",
}
#: What zipfile raises for archives that are damaged or use features nobody needs here.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError),
    *(RuntimeError, EOFError, OSError, KeyError, OverflowError),
)
#: Types besides NumPy's own integers, floats and booleans.
_EXTENSION_TYPES = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


def checkpoint_format(path: Path) -> Format:
    """The format of the file at `path`, from its first bytes and, for zip archives, its entries' names.

    Raises `WeightsError` if the file is missing, empty, or of no known format.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            num_bytes = file.seek(0, 2)
    except OSError as error:
        raise _unreadable(path, error) from error
    if num_bytes == 0:
        raise WeightsError(Problem(str(path), "the weights file is empty", "copy or download it again"))
    # First, because its first bytes are a length and may look like anything else's.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= num_bytes:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_format(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pth (legacy)"
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            raise WeightsError(Problem(str(path), f"this is {what}, not a checkpoint that can be read", _KNOWN))
    if 0x80 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF):
        return "msgpack"
    raise WeightsError(Problem(str(path), f"this is not a checkpoint of a known format (it starts with {head[:8]!r})", _KNOWN))


def _zip_format(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (*_ZIP_ERRORS, ValueError) as error:
        raise WeightsError(Problem(str(path), f"the archive cannot be read ({_reason(error)})", _INCOMPLETE)) from error
    if any(map(is_pickle_entry, names)):
        return "pth (zip)"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    what = (
        "a Keras model" if "model.weights.h5" in names else f"a zip archive ({', '.join(names[:4])[:200] or 'without entries'})"
    )
    raise WeightsError(Problem(str(path), f"this is {what}, not a checkpoint that can be read", _KNOWN))


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Every named tensor of a checkpoint, as read-only arrays in the file's own types (bfloat16 through `ml_dtypes`).

    The format is judged by the content, not the suffix: PyTorch's zip and legacy formats, safetensors, Flax's msgpack, npz.
    Nested names are joined with `/`. Nothing in the file is run, and no size it claims is believed before it is checked
    against the file's own.

    Raises `WeightsError` if the file is missing, empty, damaged, of another format, or refers to code.
    """
    kind = checkpoint_format(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        tensors = _read(kind, content)
        for name, array in tensors.items():
            if array.dtype.kind not in "biuf" and array.dtype.name not in _EXTENSION_TYPES:
                raise DamagedError(f"tensor {name!r} holds {array.dtype} instead of real numbers", "save only the parameters")
    except ForeignGlobalError as error:
        raise WeightsError(
            Problem(
                str(path),
                f"the pickle in it refers to {error.name[:200]}, which could run code; it was refused and nothing was run",
                "save only the tensors: torch.save(model.state_dict(), path), or use safetensors",
            )
        ) from error
    except DamagedError as error:
        raise WeightsError(Problem(str(path), f"cannot be read as {kind}: {_reason(error)}", error.way_out)) from error
    except (*_ZIP_ERRORS, ValueError) as error:
        raise WeightsError(Problem(str(path), f"cannot be read as {kind}: {_reason(error)}", _INCOMPLETE)) from error
    if not tensors:
        raise WeightsError(Problem(str(path), "the checkpoint holds no tensors", "save the model's parameters into it"))
    return tensors


def _read(kind: Format, content: bytes) -> dict[str, np.ndarray]:
    match kind:
        case "pth (zip)":
            with zipfile.ZipFile(BytesIO(content)) as archive:
                return read_zip(archive, len(content))
        case "pth (legacy)":
            return read_legacy(content)
        case "safetensors":
            return read_safetensors(content)
        case "msgpack":
            return read_msgpack(content)
        case "npz":
            with zipfile.ZipFile(BytesIO(content)) as archive:
                return read_npz(archive, len(content))


def _reason(error: Exception) -> str:
    """What an error says; of a damaged file it may quote kilobytes."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _unreadable(path: Path, error: OSError) -> WeightsError:
    if isinstance(error, FileNotFoundError):
        return WeightsError(Problem(str(path), "there is no weights file here", "check the path; it is relative to the config"))
    return WeightsError(Problem(str(path), f"the weights file cannot be read ({error.strerror})", "check its permissions"))
