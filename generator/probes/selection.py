"""Choosing named images of a set, and the first of each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from generator.errors import ProbeError, Problem, did_you_mean


def chosen(images: Sequence[str] | Literal["all"], known: Iterable[str], *, place: str, what: str) -> tuple[str, ...]:
    """The names in `images`, each once and in that order, or all known ones. Raises `ProbeError` with every unknown one."""
    names = tuple(known)
    if images == "all":
        return names
    unknown = [name for name in images if name not in names]
    if unknown:
        raise ProbeError(
            Problem(place, f"there is no {what} {name!r}", did_you_mean(name, names, show=len(names))) for name in unknown
        )
    return tuple(dict.fromkeys(images))


def by_class(labels: Sequence[str], per_class: int | None) -> list[tuple[int, int]]:
    """`(index, number within its class)` of the images kept: the first `per_class` of each class, or all.

    Classes come in the order of their first image.
    """
    classes: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        classes.setdefault(label, []).append(index)
    return [(index, number) for members in classes.values() for number, index in enumerate(members[:per_class])]
