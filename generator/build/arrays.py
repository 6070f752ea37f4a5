"""Arrays as bytes: how tasks hand them on through the store."""

from __future__ import annotations

import io

import numpy as np

#: Beyond these, 16 bits would lose the value: half floats end at 65,504 and are exact to eleven bits down to 6e-5.
LARGEST_HALF, SMALLEST_HALF = 6e4, 1e-3


def to_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def from_bytes(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def compact(array: np.ndarray) -> np.ndarray:
    """float32 `array` as float16 where that is enough to draw it: its largest magnitude lies well inside the range."""
    finite = np.isfinite(array)
    largest = float(np.abs(array).max(initial=0.0)) if finite.all() else float(np.abs(array[finite]).max(initial=0.0))
    return array.astype(np.float16) if largest == 0.0 or SMALLEST_HALF < largest < LARGEST_HALF else array
