"""What a benchmark hands back, and how things are timed side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measurement:
    """One number and what it must be. at_most, at_least: the bound; neither for numbers that only inform.

    unit: `s`, `MB`, `KB`, `x` (a ratio) or empty for plain counts. note: sizes and conditions.
    """

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """False for NaN: what could not be measured is not met."""
        low = self.at_least is None or self.value >= self.at_least
        high = self.at_most is None or self.value <= self.at_most
        return low and high

    @property
    def bound(self) -> float | None:
        return self.at_most if self.at_most is not None else self.at_least

    @property
    def ratio(self) -> float | None:
        """Value over bound; None without a bound, or for a bound of 0."""
        return self.value / self.bound if self.bound else None

    @property
    def missed_by(self) -> float:
        """How far on the wrong side of the bound, in the value's unit; 0 where it is met."""
        return 0.0 if self.met else abs(self.value - self.bound)


def peer_interpreter() -> Path:
    """The Python that the programs we compare with are installed for; there is none before `make bench-peers`."""
    return Path(os.environ.get("CNNSCOPE_PEERS") or ROOT / ".venv-peers" / "bin" / "python")


Name = TypeVar("Name", bound=Hashable)


def fastest(works: Mapping[Name, Callable[[], object]], rounds: int = 7) -> dict[Name, float]:
    """Best seconds of one call of each, after one to warm up.

    Rounds are interleaved, so that whatever else the machine does meanwhile slows all alike.
    """
    best = dict.fromkeys(works, float("inf"))
    for number in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number > 0:
                best[name] = min(best[name], time.perf_counter() - start)
    return best
