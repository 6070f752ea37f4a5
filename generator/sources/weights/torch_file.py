"""PyTorch's checkpoint files without PyTorch: the zip format (since 1.6) and the legacy one before it.

Both hold a pickle whose tensors point into raw storages. zip: `<name>/data.pkl` and `<name>/data/<key>`, stored without
compression. Legacy: five things in a row: a magic number, a version, system information, the pickle, the list of storage
keys; then for each key its number of elements (int64) and its bytes.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import ml_dtypes
import numpy as np

from generator.unpickling import DamagedError, Function, unpickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
_MAX_DIMENSIONS = 32
_RESAVE = "save it again with torch.save(model.state_dict(), path)"
#: Where training scripts put the state dict when they save more than that.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "params", "weights")


@dataclass(frozen=True)
class StorageRef:
    """A run of `count` values in the file. key: its name there."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A strided window into a storage; offset and strides count elements."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, values: np.ndarray) -> np.ndarray:
        """The tensor as a view of its storage's values, without copying."""
        size = math.prod(self.shape)
        # A file of a few bytes could claim any shape with strides of zero; nothing needs more elements than it stores.
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))
        if size > values.size or (size and last >= values.size):
            raise DamagedError(
                f"a tensor of shape {self.shape} reaches beyond its storage {self.storage.key!r} of {values.size:,} values"
            )
        if size == 0:
            return np.zeros(self.shape, values.dtype)
        window = values[self.offset :]
        strides = [stride * values.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(window, self.shape, strides, writeable=False)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TensorRef:
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise DamagedError("a tensor's shape and strides do not fit each other")
    if not isinstance(storage, StorageRef) or not all(map(_is_count, [offset, *shape, *strides])):
        raise DamagedError("a tensor's storage, offset, shape or strides are not what they should be")
    if math.prod(n for n in shape if n) >= 2**62:
        raise DamagedError("a tensor's shape and strides do not fit each other")
    return TensorRef(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str | int) for pair in pairs):
        raise DamagedError("an OrderedDict is not made of keys and values")
    return {key: value for key, value in pairs}  # noqa: C416 - dict(pairs) would call methods of what it is given


def _size(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


_STORAGE_TYPES: dict[str, type] = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
_ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": Function(_ordered_dict),
    "torch._utils._rebuild_tensor": Function(_rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": Function(_rebuild_tensor),
    "torch._utils._rebuild_parameter": Function(_rebuild_parameter),
    "torch.Size": Function(_size),
    "torch.UntypedStorage": np.dtype(np.uint8),
    "torch.storage.UntypedStorage": np.dtype(np.uint8),
    **{f"torch.{name}Storage": np.dtype(dtype) for name, dtype in _STORAGE_TYPES.items()},
}


def _storage_ref(identity: Any) -> StorageRef:
    match identity:
        case ("storage", np.dtype() as dtype, str(key), str(), int(count), *view) if _is_count(count) and view in ([], [None]):
            return StorageRef(key, dtype, count)
    raise DamagedError("a storage is described in a way that PyTorch 0.4 or later does not write")


def read_zip(archive: zipfile.ZipFile, num_bytes: int) -> dict[str, np.ndarray]:
    """Named tensors of an opened file in the zip format. num_bytes: the file's size, which bounds what is read."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickle_name = next(name for name in entries if is_pickle_entry(name))
    root = pickle_name.removesuffix("data.pkl")
    if sum(entry.file_size for entry in entries.values()) > num_bytes:
        raise DamagedError("its entries claim more bytes than the file has; PyTorch never compresses them")
    order = entries.get(f"{root}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise DamagedError("it was written on a big-endian machine, which is not supported", _RESAVE)

    def read_storage(ref: StorageRef) -> np.ndarray:
        entry = entries.get(f"{root}data/{ref.key}")
        expected = ref.count * ref.dtype.itemsize
        if entry is None or entry.file_size != expected:
            found = "missing" if entry is None else f"{entry.file_size:,} bytes"
            raise DamagedError(f"storage {ref.key!r} should have {expected:,} bytes but is {found}")
        return np.frombuffer(archive.read(entry), ref.dtype)

    content = unpickle(BytesIO(archive.read(pickle_name)), _ALLOWED, _storage_ref)
    return _resolve(content, read_storage)


def is_pickle_entry(name: str) -> bool:
    """Whether a zip entry of this name makes the archive a PyTorch checkpoint."""
    return name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)


def read_legacy(content: bytes) -> dict[str, np.ndarray]:
    """Named tensors of a file in the legacy format."""
    stream = BytesIO(content)
    refs: dict[str, StorageRef] = {}

    def remember(identity: Any) -> StorageRef:
        ref = _storage_ref(identity)
        if refs.setdefault(ref.key, ref) != ref:
            raise DamagedError(f"storage {ref.key!r} is described twice, differently")
        return ref

    if _plain(stream) != LEGACY_MAGIC:
        raise DamagedError("it is a pickle, but not a PyTorch checkpoint")
    if (version := _plain(stream)) != LEGACY_PROTOCOL:
        raise DamagedError(f"its legacy format has version {version!r}; only {LEGACY_PROTOCOL} is known")
    system = _plain(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise DamagedError("it was written on a big-endian machine, which is not supported", _RESAVE)
    state = unpickle(stream, _ALLOWED, remember)
    keys = _plain(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in refs for key in keys):
        raise DamagedError("its list of storages does not fit its tensors")
    storages: dict[str, np.ndarray] = {}
    position = stream.tell()
    for key in keys:
        ref = refs[key]
        count = int.from_bytes(content[position : position + 8], "little")
        start, end = position + 8, position + 8 + ref.count * ref.dtype.itemsize
        if len(content) < start or count != ref.count:
            raise DamagedError(f"storage {key!r} should have {ref.count:,} values but says {count:,}")
        if len(content) < end:
            raise DamagedError(f"it ends inside storage {key!r}: {end - len(content):,} bytes are missing")
        storages[key] = np.frombuffer(content, ref.dtype, ref.count, start)
        position = end
    missing = [key for key in refs if key not in storages]
    if missing:
        raise DamagedError(f"storage {missing[0]!r} is missing")
    return _resolve(state, lambda ref: storages[ref.key])


def _plain(stream: BytesIO) -> Any:
    """The next pickle, which may refer to nothing at all."""

    def refuse(_: Any) -> Any:
        raise DamagedError("a storage occurs where none belongs")

    return unpickle(stream, {}, refuse)


def _resolve(state: Any, read_storage: Callable[[StorageRef], np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a state dict, found at the top or under one of the usual names, as views of their storages."""
    storages: dict[StorageRef, np.ndarray] = {}
    tensors = {}
    for name, ref in _state_dict(state).items():
        if ref.storage not in storages:
            storages[ref.storage] = read_storage(ref.storage)
        tensors[name] = ref.view(storages[ref.storage])
    return tensors


def _state_dict(state: Any) -> Mapping[str, TensorRef]:
    candidates = [state]
    if isinstance(state, dict):
        candidates += [state[name] for name in _WRAPPERS if name in state]
    for candidate in candidates:
        if isinstance(candidate, dict):
            found = {str(name): value for name, value in candidate.items() if isinstance(value, TensorRef)}
            if found:
                return found
    if isinstance(state, dict):
        held = f"a dictionary with the keys {list(state)[:8]}"
    else:
        held = "a single tensor" if isinstance(state, TensorRef) else f"a {type(state).__name__}"
    raise DamagedError(f"it holds no named tensors but {held}", _RESAVE)
