"""PyTorch checkpoints written byte by byte, so that their readers are tested without PyTorch and without `pickle`."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

STORAGE_TYPES = {
    np.dtype(np.float64): "DoubleStorage",
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.int64): "LongStorage",
    np.dtype(np.int32): "IntStorage",
    np.dtype(np.int16): "ShortStorage",
    np.dtype(np.int8): "CharStorage",
    np.dtype(np.uint8): "ByteStorage",
    np.dtype(np.bool_): "BoolStorage",
}


class TorchFiles:
    """Assembles pickles from opcodes, and files of both formats around them."""

    @staticmethod
    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    @staticmethod
    def integer(value: int) -> bytes:
        return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)

    @staticmethod
    def find(name: str) -> bytes:
        module, _, attribute = name.rpartition(".")
        return f"c{module}\n{attribute}\n".encode()

    @staticmethod
    def group(*items: bytes) -> bytes:
        return b"(" + b"".join(items) + b"t"

    def mapping(self, items: Iterable[tuple[str, bytes]]) -> bytes:
        filled = b"".join(self.text(key) + value for key, value in items)
        return self.find("collections.OrderedDict") + b")R(" + filled + b"u"

    def tensor(
        self,
        key: str,
        dtype: np.dtype,
        count: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        *,
        offset: int = 0,
        legacy: bool = False,
    ) -> bytes:
        if strides is None:
            strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        kind = self.find(f"torch.{STORAGE_TYPES[np.dtype(dtype)]}")
        view = [b"N"] if legacy else []
        storage = self.group(self.text("storage"), kind, self.text(key), self.text("cpu"), self.integer(count), *view) + b"Q"
        sizes = [self.group(*map(self.integer, values)) for values in (shape, strides)]
        hooks = self.find("collections.OrderedDict") + b")R"
        arguments = self.group(storage, self.integer(offset), *sizes, b"\x89", hooks)
        return self.find("torch._utils._rebuild_tensor_v2") + arguments + b"R"

    @staticmethod
    def pickled(body: bytes) -> bytes:
        return b"\x80\x02" + body + b"."

    def write(self, path: Path, legacy: bool, body: bytes, storages: dict[str, np.ndarray]) -> Path:
        if legacy:
            system = b"}(" + self.text("little_endian") + b"\x88u"
            keys = b"](" + b"".join(map(self.text, storages)) + b"e"
            magic = b"\x8a\x0a" + bytes.fromhex("6cfc9c46f9206aa85019")
            parts = [self.pickled(part) for part in (magic, b"M\xe9\x03", system, body, keys)]
            data = [struct.pack("<q", values.size) + values.tobytes() for values in storages.values()]
            path.write_bytes(b"".join(parts + data))
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr("archive/data.pkl", self.pickled(body))
                archive.writestr("archive/byteorder", b"little")
                for key, values in storages.items():
                    archive.writestr(f"archive/data/{key}", values.tobytes())
        return path

    def write_arrays(self, path: Path, legacy: bool, arrays: dict[str, np.ndarray]) -> Path:
        storages = {str(index): array.ravel() for index, array in enumerate(arrays.values())}
        tensors = [
            (name, self.tensor(str(index), array.dtype, array.size, array.shape, legacy=legacy))
            for index, (name, array) in enumerate(arrays.items())
        ]
        return self.write(path, legacy, self.mapping(tensors), storages)


@pytest.fixture(scope="session")
def torch_files() -> TorchFiles:
    return TorchFiles()
