"""One thing that looks wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """check: which one, in a word or two. measured: what was found, with numbers. means: what it probably means.
    fix: what to write into the configuration, or to do."""

    check: str
    measured: str
    means: str
    fix: str
