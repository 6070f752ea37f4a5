"""IDX, the file format of MNIST and Fashion-MNIST: a header, then one C-ordered array.

The header is two zero bytes, a type code, the number of dimensions (one byte) and then each dimension as a big-endian
uint32; the array follows, big-endian too (LeCun, Cortes, Burges: The MNIST database).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from generator.errors import ProbeError, Problem
from generator.probes.unpacking import plausible_bytes

DTYPES = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_DIMS = 32
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def read_idx(path: Path) -> np.ndarray:
    """The array in the IDX file `path`, plain or gzipped (told by its content, not its name).

    Returns an array of the file's shape in native byte order. Raises `ProbeError` for a file that is missing, damaged,
    truncated, longer than its header says or not IDX. Memory grows with the bytes that are really there, not with what
    the header claims, and unpacking stops where the header says the file should end.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP_MAGIC
            num_bytes = file.seek(0, 2)
        with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
            return _parse(stream, str(path), plausible_bytes(num_bytes) if zipped else math.inf)
    except FileNotFoundError:
        raise ProbeError(Problem(str(path), "no such file")) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _unusable(str(path), f"damaged gzip file: {error}") from error
    except OSError as error:
        raise ProbeError(Problem(str(path), f"cannot be read: {error.strerror}")) from error


def encode_idx(values: np.ndarray) -> bytes:
    """The IDX file of `values`, uncompressed. An array has one encoding, so its digest is that of the file it came from.

    Raises `ValueError` for a dtype or a number of dimensions that the format does not have.
    """
    codes = {dtype.newbyteorder("="): code for code, dtype in DTYPES.items()}
    if values.dtype not in codes or not 1 <= values.ndim <= _MAX_DIMS:
        raise ValueError(f"IDX has no {values.ndim}-dimensional arrays of {values.dtype}")
    code = codes[values.dtype]
    header = bytes([0, 0, code, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(DTYPES[code]).tobytes()


def _parse(stream: BinaryIO, place: str, max_bytes: float) -> np.ndarray:
    start = stream.read(4)
    if len(start) < 4:
        raise _unusable(place, f"truncated: an IDX file starts with 4 bytes, this one has {len(start)}")
    if start[:2] != b"\0\0":
        raise _unusable(place, f"not an IDX file: it starts with {start[:2].hex(' ')} where two zero bytes belong")
    code, num_dims = start[2], start[3]
    if code not in DTYPES:
        known = ", ".join(f"0x{known:02x} {dtype.name}" for known, dtype in DTYPES.items())
        raise _unusable(place, f"not an IDX file: unknown type code 0x{code:02x} (known: {known})")
    if not 1 <= num_dims <= _MAX_DIMS:
        raise _unusable(place, f"not an IDX file: {num_dims} dimensions, where 1 to {_MAX_DIMS} are allowed")
    sizes = stream.read(4 * num_dims)
    if len(sizes) < 4 * num_dims:
        raise _unusable(place, f"truncated: {num_dims} dimensions take {4 * num_dims} bytes, {len(sizes)} are there")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    dtype = DTYPES[code]
    expected = math.prod(shape) * dtype.itemsize
    content = _read(stream, min(expected, max_bytes) + 1)
    if len(content) > max_bytes:
        rule = f"it unpacks to {expected:,} bytes, more than a file of its size plausibly holds"
        raise ProbeError(Problem(place, rule, "unpack it with gunzip"))
    if len(content) != expected:
        what = f"{dtype.name} of shape {shape} takes {expected:,} bytes after the header"
        fault = f"truncated: {len(content):,} are there" if len(content) < expected else "more are there"
        raise _unusable(place, f"{what}, {fault}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read(stream: BinaryIO, limit: float) -> bytearray:
    """Up to `limit` bytes, piece by piece, because one `read(limit)` sets the whole limit aside before it looks."""
    content = bytearray()
    while len(content) < limit and (chunk := stream.read(int(min(_CHUNK, limit - len(content))))):
        content += chunk
    return content


def _unusable(place: str, message: str) -> ProbeError:
    return ProbeError(Problem(place, message, "fetch the file again or name another one"))
