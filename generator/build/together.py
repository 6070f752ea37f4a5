"""Several checks at once, so that a user sees everything that is wrong and not only the first of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from generator.errors import Problem, UserError


def together(steps: Iterable[Callable[[], Any]]) -> list[Any]:
    """The results of all `steps`. Where some raise a `UserError`, the others still run; then all problems are raised as one."""
    results, problems, kinds = [], [], set()
    for step in steps:
        try:
            results.append(step())
        except UserError as error:
            problems += error.problems
            kinds.add(type(error))
    if problems:
        kind: Callable[[Iterable[Problem]], UserError] = kinds.pop() if len(kinds) == 1 else UserError
        raise kind(dict.fromkeys(problems))
    return results
