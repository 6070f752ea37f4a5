"""How far a build is, on a terminal and elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class BuildProgress:
    """A bar over all tasks with the time left, on a terminal; a line now and then elsewhere."""

    def __init__(self, console: Console):
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bar = self._progress.add_task("Planning", total=0)
        self._total = self._finished = 0
        self._said = time.monotonic()

    def __enter__(self) -> BuildProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: str, task: str) -> None:
        if event == "damaged":
            self._console.print(f"The stored result of {task} was damaged; it is computed again.", markup=False)
        self._total += event == "planned"
        self._finished += event in ("ran", "stored")
        kind = task.partition(":")[0].replace("_", " ")
        self._progress.update(
            self._bar, total=self._total, completed=min(self._finished, self._total), description=f"{kind:>12}"
        )
        if not self._console.is_terminal and time.monotonic() - self._said > 15:
            self._said = time.monotonic()
            self._console.print(f"{self._finished} of {self._total} tasks done ({task})", markup=False)


def downloading() -> Callable[[str, int, int], None]:
    """Says once for each file that it comes, and how large it is: the published datasets' files take minutes."""
    console, said = Console(stderr=True, highlight=False, soft_wrap=True), set()

    def report(name: str, _: int, total: int) -> None:
        if name not in said:
            said.add(name)
            console.print(f"Downloading {name}{f' ({total / 1e6:.1f} MB)' if total else ''}", markup=False)

    return report


def waiting(console: Console, out: Path) -> Callable[[], None]:
    return lambda: console.print(f"Another build is writing to {out}; waiting for it.", markup=False)
