"""User errors: what was wrong, where, and the way out.

Everything that bad input can cause is raised as a `UserError`; the command line prints each `Problem` on its own line and
exits with code 2. A traceback therefore always means a defect in CNNscope itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    place: where, as the user would look it up: `configs/a.yaml:14: models[0].layers[2]` or a file's path.
    message: which rule was broken by which value.
    way_out: what to do about it; empty where the message already says it.
    """

    place: str
    message: str
    way_out: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}; {self.way_out}" if self.way_out else text


class UserError(Exception):
    """One or more problems, all reported at once."""

    def __init__(self, problems: Problem | Iterable[Problem]):
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigError(UserError):
    """The YAML file breaks a rule."""


class WeightsError(UserError):
    """A weights file is damaged, unsafe, or belongs to another architecture."""


class ProbeError(UserError):
    """A probe image cannot be used."""


class NetworkError(UserError):
    """The network's function cannot be traced or run."""


class OutputError(UserError):
    """The output folder or the store cannot be written."""


def did_you_mean(name: str, known: Iterable[str], *, show: int = 12) -> str:
    """The way out for an unknown name: the nearest known one, then the list (at most `show` of it)."""
    names = [str(k) for k in known]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    listed = ", ".join(names[:show]) + (f", ... {len(names)} in all" if len(names) > show else "")
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}(known: {listed})" if names else hint.strip()
