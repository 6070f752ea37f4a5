"""Why a task has to run, as data and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """task: its id. changed: names of what differs from the last run; empty when there was none, or its result was lost."""

    task: str
    kind: str  # new, lost, changed, damaged
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case "new":
                return "never run before"
            case "lost":
                return "its result is no longer in the store"
            case "damaged":
                return f"its stored result was damaged ({', '.join(self.changed)})"
            case _:
                shown = ", ".join(self.changed[:3])
                more = f" and {len(self.changed) - 3} more" if len(self.changed) > 3 else ""
                return f"changed: {shown}{more}"


def explain(task: str, before: Mapping[str, str] | None, now: Mapping[str, str]) -> Reason:
    """Compare what a task depended on when it last ran with what it depends on now."""
    if before is None:
        return Reason(task, "new")
    changed = tuple(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
    return Reason(task, "changed", changed) if changed else Reason(task, "lost")
