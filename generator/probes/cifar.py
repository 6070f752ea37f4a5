"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in both published formats, from a folder or straight from the `.tar.gz`.

Python format: pickled dictionaries with `data` uint8 `(n, 3072)`, an image's red plane, then green, then blue, and `labels` (or
`fine_labels` and `coarse_labels`); nothing in a pickle is run. Binary format: records of one label byte (CIFAR-100: coarse,
then fine) and the same 3,072 bytes, and text files with one class name a line.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import CifarLabels, Split
from generator.errors import ProbeError, Problem
from generator.probes.unpacking import limited_gunzip
from generator.unpickling import DamagedError, ForeignGlobalError, Function, Stateful, unpickle

Name = Literal["cifar10", "cifar100"]

SIDE_PX = 32
NUM_BYTES = 3 * SIDE_PX**2
#: All four archives unpack to less than 190 MB.
MAX_UNPACKED = 200 << 20
_AGAIN = "fetch it again, or leave `path` out to have it fetched"


@dataclass(frozen=True)
class _Format:
    """The files of one dataset in one format. folder: what they lie in inside the archive."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: Mapping[CifarLabels, str]
    binary: bool

    def files(self, split: Split, labels: CifarLabels) -> tuple[str, ...]:
        return (*(self.train if split == "train" else self.test), self.names[labels])


#: Gives those of the named files that are there: what each was read from, and its content.
_Reader = Callable[[Sequence[str]], dict[str, tuple[Path, bytes]]]

FORMATS: Mapping[Name, tuple[_Format, ...]] = {
    "cifar10": (
        _Format(
            "cifar-10-batches-py",
            tuple(f"data_batch_{i}" for i in range(1, 6)),
            ("test_batch",),
            {"fine": "batches.meta"},
            binary=False,
        ),
        _Format(
            "cifar-10-batches-bin",
            tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            ("test_batch.bin",),
            {"fine": "batches.meta.txt"},
            binary=True,
        ),
    ),
    "cifar100": (
        _Format("cifar-100-python", ("train",), ("test",), {"fine": "meta", "coarse": "meta"}, binary=False),
        _Format(
            "cifar-100-binary",
            ("train.bin",),
            ("test.bin",),
            {"fine": "fine_label_names.txt", "coarse": "coarse_label_names.txt"},
            binary=True,
        ),
    ),
}


@dataclass(frozen=True)
class Cifar:
    """images: uint8 `(n, 32, 32, 3)`. labels: int32 `(n,)`, indices into label_names. files: what was read."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    label_names: tuple[str, ...]
    files: tuple[Path, ...]


def read_cifar(path: Path, name: Name, split: Split, labels: CifarLabels = "fine") -> Cifar:
    """A split, from a folder that has its files or from a `.tar.gz`, of which nothing is unpacked to disk.

    Raises `ProbeError` with everything that is missing or damaged.
    """
    files, form = _files(path, name, split, labels)
    problems: list[Problem] = []
    parts: list[tuple[NDArray[np.uint8], NDArray[np.int32]]] = []
    names: tuple[str, ...] = ()
    for file, (_, content) in files.items():
        try:
            if file == form.names[labels]:
                names = _class_names(content, form, labels)
            else:
                parts.append(_binary(content, name, labels) if form.binary else _pickled(content, labels))
        except ForeignGlobalError as error:
            rule = f"the pickle in it refers to {error.name[:200]}, which could run code; it was refused and nothing was run"
            problems.append(Problem(f"{path}: {file}", rule, _AGAIN))
        except DamagedError as error:
            problems.append(Problem(f"{path}: {file}", f"not CIFAR's: {error}", _AGAIN))
    if not problems:
        numbers = np.concatenate([part[1] for part in parts])
        if numbers.size == 0:
            problems.append(Problem(str(path), "there are no images in it", _AGAIN))
        elif numbers.min() < 0 or numbers.max() >= len(names):
            rule = f"labels go from {numbers.min()} to {numbers.max()}, and there are {len(names)} names of classes"
            problems.append(Problem(str(path), rule, _AGAIN))
    if problems:
        raise ProbeError(problems)
    planes = np.concatenate([part[0] for part in parts]).reshape(-1, 3, SIDE_PX, SIDE_PX)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Cifar(images, numbers, names, tuple(dict.fromkeys(source for source, _ in files.values())))


def _files(path: Path, name: Name, split: Split, labels: CifarLabels) -> tuple[dict[str, tuple[Path, bytes]], _Format]:
    """Of the files that are needed, in their order, by name: what each was read from, and its content; and their format."""
    try:
        read = _in_folder(path, name) if path.is_dir() else _in_archive(path)
        missing = []
        for form in FORMATS[name]:
            found = read(form.files(split, labels))
            if len(found) == len(form.files(split, labels)):
                return {file: found[file] for file in form.files(split, labels)}, form
            missing.append([file for file in form.files(split, labels) if file not in found])
    except OSError as error:
        raise ProbeError(Problem(str(path), f"cannot be read: {error.strerror or error}", "correct the path")) from error
    folders = " or ".join(form.folder for form in FORMATS[name])
    raise ProbeError(Problem(str(path), f"no {', '.join(min(missing, key=len))} in it", f"name what holds {folders}"))


def _in_folder(path: Path, name: Name) -> _Reader:
    places = [path, *(path / form.folder for form in FORMATS[name])]

    def read(files: Sequence[str]) -> dict[str, tuple[Path, bytes]]:
        here = {file: at / file for at in reversed(places) for file in files if (at / file).is_file()}
        if len(here) < len(files):
            return {file: (at, b"") for file, at in here.items()}
        for file, at in here.items():
            if at.stat().st_size > MAX_UNPACKED:
                raise ProbeError(Problem(str(at), f"{file} has more than {MAX_UNPACKED >> 20} MiB", _AGAIN))
        return {file: (at, at.read_bytes()) for file, at in here.items()}

    return read


def _in_archive(path: Path) -> _Reader:
    def read(files: Sequence[str]) -> dict[str, tuple[Path, bytes]]:
        found = {}
        with path.open("rb") as file:
            try:
                with tarfile.open(fileobj=limited_gunzip(file, MAX_UNPACKED), mode="r|") as archive:
                    for member in archive:
                        name = member.name.rpartition("/")[2]
                        if member.isreg() and name in files:
                            found[name] = path, archive.extractfile(member).read()
                        if len(found) == len(files):
                            break
            except Exception as error:  # a damaged archive makes tarfile and zlib raise almost anything
                message = f"not a .tar.gz archive, or a damaged one ({str(error)[:200]})"
                raise ProbeError(Problem(str(path), message, _AGAIN)) from error
        return found

    return read


def _binary(content: bytes, name: Name, labels: CifarLabels) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    num_labels = 2 if name == "cifar100" else 1
    size = num_labels + NUM_BYTES
    if len(content) % size:
        raise DamagedError(f"{len(content):,} bytes are no whole number of records of {size:,}")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return records[:, num_labels:], records[:, 0 if labels == "coarse" else num_labels - 1].astype(np.int32)


def _pickled(content: bytes, labels: CifarLabels) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    batch = _dictionary(content)
    data = batch.get("data")
    pixels = data.values() if isinstance(data, _Array) else None
    numbers = batch.get("coarse_labels" if labels == "coarse" else "fine_labels", batch.get("labels"))
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != NUM_BYTES:
        raise DamagedError(f"`data` is no uint8 array (n, {NUM_BYTES})")
    if not isinstance(numbers, list) or len(numbers) != len(pixels):
        raise DamagedError(f"there is no list of one label for each of {len(pixels)} images")
    if not all(isinstance(number, int) and 0 <= number < 1 << 16 for number in numbers):
        raise DamagedError("a label is no whole number from 0")
    return pixels, np.array(numbers, np.int32)


def _class_names(content: bytes, form: _Format, labels: CifarLabels) -> tuple[str, ...]:
    if form.binary:
        return tuple(line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip())
    meta = _dictionary(content)
    names = meta.get("coarse_label_names" if labels == "coarse" else "fine_label_names", meta.get("label_names"))
    if not isinstance(names, list) or not all(isinstance(text, str | bytes) for text in names):
        raise DamagedError("there is no list of the classes' names")
    return tuple(_text(text) for text in names)


def _dictionary(content: bytes) -> dict[Any, Any]:
    found = unpickle(BytesIO(content), _ALLOWED, _no_reference)
    if not isinstance(found, dict):
        raise DamagedError("it holds no dictionary")
    return {_text(key): value for key, value in found.items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _no_reference(_: Any) -> Any:
    raise DamagedError("it refers to something outside itself")


class _Array(Stateful):
    """A NumPy array of bytes, as pickles of it are written: an empty one, then its shape and contents."""

    state: Any = None

    def set_state(self, state: Any) -> None:
        self.state = state  # decoded when it is asked for: a pickle can make a hundred arrays of one long text

    def values(self) -> NDArray[np.uint8]:
        match self.state:
            case (1, tuple(shape), _Uint8(), bool(fortran), bytes() | str() as content):
                # What is no Latin text becomes longer here, so that it does not fit the shape.
                packed = content.encode("latin-1", "xmlcharrefreplace") if isinstance(content, str) else content
                values = np.frombuffer(packed, np.uint8)
                if all(isinstance(side, int) and side >= 0 for side in shape) and math.prod(shape) == values.size:
                    return values.reshape(shape, order="F" if fortran else "C")
        raise DamagedError("an array in it does not hold bytes, or not as many as its shape says")


class _Uint8(Stateful):
    def set_state(self, state: Any) -> None:
        """Byte order and the like, which bytes have none of."""


def _dtype(kind: Any, *_: Any) -> _Uint8:
    if kind not in ("u1", "|u1"):
        raise DamagedError("an array in it does not hold bytes")
    return _Uint8()


def _encoded(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise DamagedError("it holds text in an encoding that does not belong there")
    return text.encode("latin-1")


_ALLOWED: dict[str, Any] = {
    "numpy.core.multiarray._reconstruct": Function(lambda *_: _Array()),
    "numpy._core.multiarray._reconstruct": Function(lambda *_: _Array()),
    "numpy.ndarray": None,
    "numpy.dtype": Function(_dtype),
    "_codecs.encode": Function(_encoded),
}
