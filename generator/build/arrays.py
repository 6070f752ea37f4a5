"""Arrays as bytes: how tasks hand them on through the store."""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import isfinite

import numpy as np

from generator.render.halves import narrowed

#: Beyond these, 16 bits would lose the value: half floats end at 65,504 and are exact to eleven bits down to 6e-5.
LARGEST_HALF, SMALLEST_HALF = 6e4, 1e-3


def to_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()


def from_bytes(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Several arrays by name, as `.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def compact(array: np.ndarray) -> np.ndarray:
    """float32 `array` as float16 where that is enough to draw it: its largest magnitude lies well inside the range."""
    lowest, highest = float(array.min(initial=0.0)), float(array.max(initial=0.0))
    if not (isfinite(lowest) and isfinite(highest)):
        finite = array[np.isfinite(array)]
        lowest, highest = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    largest = max(-lowest, highest)
    return narrowed(array) if largest == 0.0 or SMALLEST_HALF < largest < LARGEST_HALF else array
