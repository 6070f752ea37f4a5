"""Keras's two kinds of file, opened without Keras and without trusting them.

A `.keras` file is a zip archive of `config.json`, `metadata.json` and an HDF5 file of weights; an `.h5` file is one HDF5 file
whose attributes hold the same. Sizes are checked before anything is unpacked, an HDF5 file that points into other files is
refused, and the HDF5 library first reads it in another process (`keras_hdf5_probe.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.errors import Problem, UserError, WeightsError

#: Uncompressed bytes: at most this many times the file's size, or 64 MiB if that is more.
_MAX_INFLATION = 100
_SMALL_BYTES = 64 * 2**20
_MAX_CONFIG_BYTES = 16 * 2**20
#: How long the HDF5 library may take: a minute, and as long as the slowest disk needs for the bytes.
_MAX_SECONDS = 60
_MIN_BYTES_PER_SECOND = 5 * 2**20
_DAMAGED = "the file is damaged or incomplete: copy or download it again"
_WHOLE = "save the whole model with `model.save('model.keras')`"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class SavedModel:
    """config: the model's own, as its JSON says it. kind: how pages name the format. keras_version: empty if unknown."""

    config: Any
    kind: str
    keras_version: str


def read_saved_model(path: Path) -> SavedModel:
    """The config of the model in the file at `path`. Raises `WeightsError` for whatever is no complete, self-contained file."""
    try:
        if path.is_dir():
            raise _refused(path, "this is a folder, such as TensorFlow's SavedModel", _WHOLE)
        head = _head(path)
        if not head:
            raise _refused(path, "the file is empty", "copy or download it again")
        if head.startswith(b"PK"):
            _expect_suffix(path, ".keras")
            return _read_archive(path)
        if head == _HDF5:
            _expect_suffix(path, ".h5", ".hdf5")
            return _read_hdf5(path)
    except UserError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    raise _refused(path, "this is neither a `.keras` archive nor an HDF5 file", f"{_WHOLE}, or copy it again")


def check_weights_file(path: Path) -> None:
    """Raises `WeightsError` unless `path` is an HDF5 file of weights that can be read safely."""
    try:
        if _head(path) != _HDF5:
            raise _refused(path, "this is no HDF5 file of weights", "give the `.weights.h5` file that Keras wrote")
        _expect_suffix(path, ".h5", ".hdf5")
        _root_attributes(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _refused(path: Path, rule: str, way_out: str = _DAMAGED) -> WeightsError:
    return WeightsError(Problem(str(path), rule, way_out))


def _unreadable(path: Path, error: Exception) -> WeightsError:
    if isinstance(error, FileNotFoundError):
        return _refused(path, "there is no such file", "give the path of a `.keras` or `.h5` file")
    if isinstance(error, PermissionError):
        return _refused(path, f"it cannot be read: {error.strerror}", "change its permissions")
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return _refused(path, f"it cannot be read: {first}")


def _expect_suffix(path: Path, *suffixes: str) -> None:
    """Keras itself goes by the name."""
    if path.suffix not in suffixes:
        raise _refused(
            path, f"its content is that of a `{suffixes[0]}` file, its name is not", f"rename it to end in {suffixes[0]}"
        )


def _bound(path: Path) -> int:
    return max(_SMALL_BYTES, _MAX_INFLATION * path.stat().st_size)


def _read_archive(path: Path) -> SavedModel:
    num_bytes = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        for name in ("config.json", _WEIGHTS):
            if name not in sizes:
                raise _refused(path, f"this archive holds no `{name}`, so it is no Keras model", _WHOLE)
        total = sum(sizes.values())
        if total > _bound(path):
            raise _refused(path, f"it claims to unpack to {total:,} bytes, more than {num_bytes:,} bytes plausibly hold")
        if sizes["config.json"] > _MAX_CONFIG_BYTES:
            raise _refused(path, f"its config has {sizes['config.json']:,} bytes, more than any CNN needs", "")
        config = json.loads(archive.read("config.json"))
        about = json.loads(archive.read("metadata.json")) if "metadata.json" in sizes else {}
        damaged = archive.testzip()
    if damaged is not None:
        raise _refused(path, f"the checksum of {damaged!r} inside it is wrong")
    _root_attributes(path, _WEIGHTS)
    return SavedModel(config, ".keras", str(about.get("keras_version", "")))


def _read_hdf5(path: Path) -> SavedModel:
    attributes = _root_attributes(path)
    if "model_config" not in attributes:
        raise _refused(path, "this file holds weights alone, without the model", _WHOLE)
    return SavedModel(json.loads(attributes["model_config"]), ".h5", attributes.get("keras_version", ""))


def _root_attributes(path: Path, member: str = "") -> dict[str, str]:
    """What says that an HDF5 file is a model, after another process has read the file as a whole and survived."""
    probe = Path(__file__).with_name("keras_hdf5_probe.py")
    command = [sys.executable, "-P", str(probe), str(path.absolute()), member, str(_bound(path))]
    seconds = _MAX_SECONDS + path.stat().st_size // _MIN_BYTES_PER_SECOND
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=True)  # noqa: S603
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise _refused(path, "the HDF5 library cannot read it") from error
    if "problem" in found:
        raise _refused(path, found["problem"], found["way_out"])
    return found["attributes"]
