"""Checkpoints of given names and shapes with values that are the same everywhere, and images likewise.

For the scripts that ask PyTorch what it makes of them, and the tests that compare.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
SIZE_PX = 65


def known_shapes() -> dict[str, dict[str, list[int]]]:
    """Names and shapes of real state dicts, by package and architecture (`timm/vgg16`)."""
    return json.loads(gzip.decompress((DATA / "state_dicts.json.gz").read_bytes()))


def made_up(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Kernels that keep the size of values, statistics that are not trivial."""
    return {name: _tensor(name, tuple(shape)) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(7, np.int64)
    uniform = np.random.default_rng(zlib.crc32(name.encode())).random(shape, np.float32)
    if len(shape) > 1:
        return (2 * uniform - 1) * np.float32(math.sqrt(6 / math.prod(shape[1:])))
    return uniform + np.float32(0.5) if name.endswith(("weight", "running_var")) else (uniform - np.float32(0.5)) / 5


def images() -> np.ndarray:
    """float32 `(2, SIZE_PX, SIZE_PX, 3)`, from -1 to 1."""
    return 2 * np.random.default_rng(0).random((2, SIZE_PX, SIZE_PX, 3), np.float32) - 1
