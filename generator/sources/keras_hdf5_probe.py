"""Reads all of an HDF5 file once, in a process of its own: on damaged bytes the HDF5 library can crash, hang or eat memory.

Run as a script, it imports nothing of ours: `keras_hdf5_probe.py FILE MEMBER MAX_BYTES`, MEMBER being the name inside a zip
archive or empty. It prints JSON: `attributes` of the root that name a Keras model, or a `problem` and its `way_out`. What ends
it any other way would have ended whoever opened the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import resource
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

MAX_CONFIG_BYTES = 16 * 2**20
MAX_OBJECTS = 200_000
WHOLE = "save the whole model with `model.save('model.keras')`"
DAMAGED = "the file is damaged or incomplete: copy or download it again"


class RefusedError(ValueError):
    """What is found wrong here; everything else is what zipfile, json and h5py raise for damaged bytes."""

    def __init__(self, message: str, way_out: str = DAMAGED):
        super().__init__(message)
        self.way_out = way_out


def datasets(root: Any) -> Iterator[tuple[str, Any]]:
    """Every dataset by its path. Links into other files are refused unfollowed; what is linked twice is seen once."""
    stack, seen, num_objects = [("", root)], set(), 0
    while stack:
        path, group = stack.pop()
        dict(group.attrs)
        for name in group:
            num_objects += 1
            where = f"{path}/{name}"
            if num_objects > MAX_OBJECTS:
                raise RefusedError(f"it holds more than {MAX_OBJECTS:,} objects")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RefusedError(f"{where!r} is a link to somewhere else; it was not followed", WHOLE)
            found = group[name]
            if isinstance(found, h5py.Dataset):
                yield where, found
            elif isinstance(found, h5py.Group):
                address = h5py.h5o.get_info(found.id).addr
                if address not in seen:
                    seen.add(address)
                    stack.append((where, found))


def read_all(file: Any, max_bytes: int) -> dict[str, str]:
    """The attributes of the root that name a model. max_bytes: what all arrays together may claim."""
    total = 0
    with h5py.File(file, "r") as opened:
        for name, dataset in datasets(opened):
            if dataset.external or dataset.is_virtual:
                raise RefusedError(f"its dataset {name!r} lies in another file; nothing of it was read", WHOLE)
            total += math.prod(dataset.shape or ()) * dataset.dtype.itemsize
            if total > max_bytes:
                raise RefusedError(f"its arrays claim more than {max_bytes:,} bytes, which the file cannot hold")
            dict(dataset.attrs)
            dataset[()]
        names = [name for name in ("model_config", "keras_version") if name in opened.attrs]
        if sum(opened.attrs.get_id(name).get_storage_size() for name in names) > MAX_CONFIG_BYTES:
            raise RefusedError("its config has more bytes than any CNN needs")
        values = {name: opened.attrs[name] for name in names}
        return {name: value.decode("utf-8") if isinstance(value, bytes) else str(value) for name, value in values.items()}


def main(path: str, member: str, max_bytes: int) -> dict[str, Any]:
    """What is printed."""
    with contextlib.suppress(ValueError, OSError):  # not every system limits the size of a process
        resource.setrlimit(resource.RLIMIT_AS, (2**30 + 2 * max_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        if not member:
            return {"attributes": read_all(path, max_bytes)}
        with zipfile.ZipFile(path) as archive:
            content = archive.read(member)
        return {"attributes": read_all(io.BytesIO(content), max_bytes)}
    except RefusedError as error:
        return {"problem": str(error), "way_out": error.way_out}
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        return {"problem": f"it cannot be read: {first}", "way_out": DAMAGED}


if __name__ == "__main__":
    json.dump(main(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
