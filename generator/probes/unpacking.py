"""Unpacking with an end: a file of a few kilobytes may claim to hold terabytes."""

from __future__ import annotations

import gzip
from io import BufferedReader, RawIOBase
from typing import BinaryIO

#: Of images, packed without loss; only what is drawn by a program comes near it.
_MAX_INFLATION = 100
_SMALL_BYTES = 64 << 20
#: What is read as a whole.
MAX_BYTES = 1 << 30


def plausible_bytes(num_bytes: int) -> int:
    """How much a packed file of `num_bytes` may unpack to."""
    return min(MAX_BYTES, max(_SMALL_BYTES, _MAX_INFLATION * num_bytes))


class TooMuchError(ValueError):
    """What is packed is larger than anything that belongs there."""


class _Limited(RawIOBase):
    def __init__(self, stream: BinaryIO, max_bytes: int):
        self._stream, self._left, self._max = stream, max_bytes, max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise TooMuchError(f"unpacked it has more than {self._max >> 20} MiB")
        buffer[: len(content)] = content
        return len(content)


def limited_gunzip(file: BinaryIO, max_bytes: int) -> BinaryIO:
    """What the gzip file `file` holds, as a stream. Reading more than `max_bytes` of it raises `TooMuchError`."""
    return BufferedReader(_Limited(gzip.GzipFile(fileobj=file), max_bytes), 1 << 20)
