"""A checkpoint's tensors matched to a network's parameters by name and shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from generator.errors import Problem, WeightsError

_MAX_NAMED = 8


def match_parameters(
    expected: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    path: Path,
    other_names: Mapping[str, str] | None = None,
) -> dict[str, np.ndarray]:
    """The value of every expected parameter, in the parameter's own type.

    expected: name, joined with `/`, to anything with `shape` and `dtype`. tensors: names joined with `/` or `.`; a first
    part that all of them share (`params/`, `model.`) is left away if that is what it takes. other_names: further names that
    a checkpoint may use, to the expected one.

    Raises `WeightsError` that lists all names that are missing or unexpected and all shapes that differ.
    """
    other_names = other_names or {}
    found = {_plain(name): array for name, array in tensors.items()}
    known = {_plain(name): name for name in (*other_names, *expected)}
    found = {known.get(name, name): array for name, array in _without_shared_start(found, set(known)).items()}
    found = {name if name in expected else other_names.get(name, name): array for name, array in found.items()}
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    differing = [
        f"{name} is {tuple(found[name].shape)} but should be {tuple(leaf.shape)}"
        for name, leaf in expected.items()
        if name in found and tuple(found[name].shape) != tuple(leaf.shape)
    ]
    problems = []
    if missing:
        problems.append(Problem(str(path), f"{len(missing)} of {len(expected)} parameters are missing: {_some(missing)}"))
    if unexpected:
        rule = f"{len(unexpected)} of {len(found)} tensors do not belong to the network: {_some(unexpected)}"
        problems.append(Problem(str(path), rule))
    if differing:
        problems.append(Problem(str(path), f"{len(differing)} shapes differ: {_some(differing, separator='; ')}"))
    if problems:
        last = problems.pop()
        way_out = "the checkpoint belongs to another architecture, or to other arguments of it"
        raise WeightsError([*problems, Problem(last.place, last.message, way_out)])
    return {name: found[name].astype(leaf.dtype) for name, leaf in expected.items()}


def _plain(name: str) -> str:
    """Dots and slashes are one: frameworks join names with either, and some names hold dots themselves."""
    return name.replace(".", "/")


def _without_shared_start(found: dict[str, np.ndarray], known: set[str]) -> dict[str, np.ndarray]:
    while not known & found.keys():
        starts = {name.partition("/")[0] for name in found}
        if len(starts) != 1 or not all("/" in name for name in found):
            break
        stripped = {name.partition("/")[2]: array for name, array in found.items()}
        if known & stripped.keys() or all("/" in name for name in stripped):
            found = stripped
        else:
            break
    return found


def _some(names: Iterable[str], *, separator: str = ", ") -> str:
    listed = list(names)
    more = f"{separator}... {len(listed) - _MAX_NAMED} more" if len(listed) > _MAX_NAMED else ""
    return separator.join(listed[:_MAX_NAMED]) + more
