"""Folders that Orbax wrote: a step of training, or a manager's root of numbered steps.

A folder's `_METADATA` is JSON that names the arrays; TensorStore, which Orbax itself keeps them with, reads them into the
host's memory, whatever devices they were spread over. Neither runs code, and no size is believed that the folder's own does
not bear out.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from generator.errors import Problem, WeightsError
from generator.records import WeightsInfo

_METADATA = "_METADATA"
_WAY_OUT = "give the folder that Orbax's `save` was given, or one of its steps"
_INCOMPLETE = "the folder is damaged or incomplete: copy it again, or choose another step"

#: Names of what is saved, the likeliest to be a network's first.
_ITEMS = ("default", "params", "state", "model", "items")
#: What a training state holds besides the network, where one of `_NETWORK` is beside it.
_TRAINING = frozenset({"opt_state", "optimizer", "step", "rng", "rngs", "key", "tx", "apply_fn", "metrics", "epoch"})
_NETWORK = frozenset({"params", "model", "state"})
#: How much larger arrays may be than their files: trained weights hardly compress.
_MAX_RATIO = 100
_FREE_BYTES = 1 << 24


def newest_step(path: Path) -> Path:
    """The folder of arrays that `path` stands for: itself, its item, or that of its newest complete step.

    Raises `WeightsError` if there is none, or no telling which.
    """
    found = _item(path)
    if found is None:
        steps = [(int(name[1]), folder) for folder in _folders(path) if (name := re.fullmatch(r"(?:.*\D)?(\d+)", folder.name))]
        complete = (item for _, folder in sorted(steps, reverse=True) if (item := _item(folder)) is not None)
        found = next(complete, None)
    if found is None:
        listed = ", ".join(sorted(each.name for each in path.iterdir())[:6]) or "nothing"
        raise WeightsError(Problem(str(path), f"this is no folder that Orbax wrote (it holds {listed})", _WAY_OUT))
    return found


def _item(folder: Path) -> Path | None:
    if (folder / _METADATA).is_file():
        return folder
    items = {each.name: each for each in _folders(folder) if (each / _METADATA).is_file()}
    likely = [items[name] for name in _ITEMS if name in items] or list(items.values())
    if len(likely) > 1 and likely[0].name not in _ITEMS:
        raise WeightsError(Problem(str(folder), f"it holds several items: {', '.join(sorted(items))}", "give the path of one"))
    return likely[0] if likely else None


def _folders(path: Path) -> Iterator[Path]:
    """Those that are complete: Orbax renames a folder once all of it is written."""
    return (each for each in sorted(path.iterdir()) if each.is_dir() and "orbax-checkpoint-tmp" not in each.name)


def orbax_info(folder: Path, licence: str, provenance: str) -> WeightsInfo:
    """What is known of a folder of arrays without reading them. Raises `WeightsError` if its files cannot be read."""
    digest, num_bytes = hashlib.sha256(), 0
    try:
        for path in _files(folder):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
            num_bytes += path.stat().st_size
    except OSError as error:
        raise WeightsError(Problem(str(folder), f"{path.name} cannot be read ({error.strerror})", _INCOMPLETE)) from error
    return WeightsInfo(
        file=folder.name, format="orbax", digest=digest.hexdigest(), num_bytes=num_bytes, licence=licence, provenance=provenance
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_orbax(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a folder by its path, joined with `/`; optimisers' and random states are left out.

    Raises `WeightsError` if the folder is damaged, holds no arrays, or claims more than it can hold.
    """
    metadata = _metadata(folder)
    names = {path: _name(path) for path in _paths(metadata, folder)}
    if any(path[0] in _NETWORK for path in names):
        names = {path: name for path, name in names.items() if path[0] not in _TRAINING}
    names = {path: name for path, name in names.items() if "rngs" not in path}
    if not names:
        raise WeightsError(Problem(str(folder), "the checkpoint holds no arrays", "save the network's parameters into it"))
    stores = {name: _opened(folder, path, metadata) for path, name in names.items()}
    claimed = sum(map(_claimed, stores.values()))
    held = sum(path.stat().st_size for path in _files(folder))
    if claimed > _FREE_BYTES and claimed > _MAX_RATIO * held:
        rule = f"its arrays claim {claimed:,} bytes, but its files hold {held:,}"
        raise WeightsError(Problem(str(folder), rule, _INCOMPLETE))
    return {name: _array(store, name, folder) for name, store in stores.items()}


def _claimed(store: Any) -> int:
    """Bytes that reading takes: of the array, or of a chunk of it that is said to be larger."""
    return max(math.prod(store.shape), math.prod(store.chunk_layout.read_chunk.shape)) * store.dtype.numpy_dtype.itemsize


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        metadata = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
        if not isinstance(metadata["tree_metadata"], dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            Problem(str(folder / _METADATA), "this is not the metadata that Orbax writes", _INCOMPLETE)
        ) from error
    return metadata


def _paths(metadata: dict[str, Any], folder: Path) -> list[tuple[str, ...]]:
    """Paths of the values that are arrays or numbers."""
    try:
        found = [
            tuple(str(part["key"]) for part in entry["key_metadata"])
            for entry in metadata["tree_metadata"].values()
            if entry["value_metadata"]["value_type"] in ("jax.Array", "np.ndarray", "scalar")
            and not entry["value_metadata"].get("skip_deserialize")
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(Problem(str(folder / _METADATA), "its `tree_metadata` is incomplete", _INCOMPLETE)) from error
    return [path for path in found if path]


def _name(path: tuple[str, ...]) -> str:
    """NNX keeps the value of each variable one level deeper."""
    return "/".join(path[:-1] if len(path) > 1 and path[-1] == "value" else path)


def _opened(folder: Path, path: tuple[str, ...], metadata: dict[str, Any]) -> Any:
    import tensorstore

    place = {"driver": "file", "path": f"{folder.resolve()}/"}
    name = ".".join(path)
    if metadata.get("use_ocdbt") or (folder / "manifest.ocdbt").is_file():
        store = {"driver": "ocdbt", "base": place, "path": f"{name}/"}
    else:
        store = {**place, "path": f"{folder.resolve()}/{name}/"}
    if ".." in name.split("/"):
        raise WeightsError(Problem(str(folder), f"array {'/'.join(path)!r} leads out of the folder", _INCOMPLETE))
    driver = "zarr3" if metadata.get("use_zarr3") else "zarr"
    # Chunks of zeros may be left out, unless Orbax says that it wrote them all; then a missing one is damage.
    filled = not metadata.get("store_array_data_equal_to_fill_value")
    spec = {"driver": driver, "kvstore": store, "fill_missing_data_reads": filled}
    try:
        return tensorstore.open(spec, open=True, read=True).result()
    except (ValueError, OSError, OverflowError) as error:
        raise WeightsError(Problem(str(folder), f"array {'/'.join(path)!r} {_reason(error)}", _INCOMPLETE)) from error


def _array(store: Any, name: str, folder: Path) -> np.ndarray:
    if store.dtype.numpy_dtype.kind not in "biuf" and store.dtype.name != "bfloat16":
        raise WeightsError(Problem(str(folder), f"array {name!r} holds {store.dtype.name} instead of real numbers"))
    try:
        return np.asarray(store.read().result())
    except (ValueError, OSError) as error:
        raise WeightsError(Problem(str(folder), f"array {name!r} {_reason(error)}", _INCOMPLETE)) from error


def _reason(error: Exception) -> str:
    """What TensorStore says, without the specification that it says it of."""
    said = str(error).partition(" [tensorstore_spec")[0].partition(" [source locations")[0]
    return f"cannot be read: {said[:200]}"
