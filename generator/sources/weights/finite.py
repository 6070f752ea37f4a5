"""NaN and infinity in weights: a network that holds them draws nothing but noise, so they are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from generator.errors import Problem, WeightsError

_MAX_NAMED = 12


def check_finite(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Raises `WeightsError` naming the tensors (at most 12, then their number) that hold NaN or infinity."""
    found = []
    for name, array in tensors.items():
        if array.dtype.kind in "biu":
            continue
        finite = np.isfinite(array)
        if not finite.all():
            num_nan = int(np.isnan(array).sum())
            found.append((name, num_nan, int(array.size - finite.sum()) - num_nan, array.size))
    if not found:
        return
    problems = [
        Problem(str(path), f"tensor {name!r} holds {_count(num_nan, num_infinite)} among {size:,} values")
        for name, num_nan, num_infinite, size in found[:_MAX_NAMED]
    ]
    more = f"{len(found)} tensors in all; " if len(found) > _MAX_NAMED else ""
    last = problems[-1]
    way_out = f"{more}the training probably diverged: choose an earlier checkpoint"
    raise WeightsError([*problems[:-1], Problem(last.place, last.message, way_out)])


def _count(num_nan: int, num_infinite: int) -> str:
    parts = [f"{num_nan:,} NaN"] if num_nan else []
    return " and ".join([*parts, f"{num_infinite:,} infinite"] if num_infinite else parts)
