"""Runs the benchmarks and prints what each measured against its bound: `make bench`, or `python -m tests.benchmarks.run`.

Each one runs in a process of its own, so that none finds memory or threads another left behind. Exit code 1 if a bound is
missed or a benchmark fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.measuring import ROOT, Measurement

BENCHMARKS = ("forward", "tiles", "feature_maps", "feature_vis", "exemplars", "findings", "gallery", "pages")
Results = Mapping[str, Sequence[Measurement]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="run this one; may be given more than once")
    parser.add_argument("--site", help="a built gallery for `pages` (default: the default one, built now)")
    parser.add_argument("--json", action="store_true", help="print the numbers for machines")
    parser.add_argument("--here", choices=BENCHMARKS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here is not None:
        print(json.dumps([asdict(measurement) for measurement in _measure(options.here, options.site)]))
        return 0

    progress = Console(stderr=True, highlight=False)
    results: dict[str, list[Measurement]] = {}
    for name in options.only or BENCHMARKS:
        with progress.status(f"{name} ..."):
            results[name] = _in_own_process(name, options.site)
    if options.json:
        rows = [{"benchmark": name, **asdict(m), "met": m.met} for name, found in results.items() for m in found]
        print(json.dumps({"machine": machine(), "measurements": rows}))
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 150).print(table(results))
        print(verdict(results))
    return 0 if all(m.met for found in results.values() for m in found) else 1


def _measure(name: str, site: str | None) -> list[Measurement]:
    module = importlib.import_module(f"tests.benchmarks.bench_{name}")
    return module.run(site) if name == "pages" else module.run()


def _in_own_process(name: str, site: str | None) -> list[Measurement]:
    command = [sys.executable, "-m", "tests.benchmarks.run", "--here", name, *(["--site", site] if site else [])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- our own interpreter and module
    if done.returncode != 0:
        return [Measurement(f"{name} failed", float("nan"), at_most=0.0, note=f"exit code {done.returncode}, see above")]
    return [Measurement(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def table(results: Results) -> Table:
    """A row a measurement: what, measured, bound, ratio to the bound, and met, or MISSED and by how much."""
    shown = Table(title=f"Benchmarks on {machine()}", title_justify="left")
    shown.add_column("what", overflow="fold")
    for column in ("measured", "bound", "of bound"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("note", overflow="fold", style="dim")
    for found in results.values():
        shown.add_section()
        for m in found:
            sign = "≤ " if m.at_most is not None else "≥ " if m.at_least is not None else ""
            bound = "" if m.bound is None else sign + _number(m.bound, m.unit)
            share = "" if m.ratio is None else f"{m.ratio:.0%}" if m.ratio >= 0.1 else f"{m.ratio:.1%}"
            shown.add_row(m.what, _number(m.value, m.unit), bound, share, _standing(m), m.note)
    return shown


def verdict(results: Results) -> str:
    bounded = [m for found in results.values() for m in found if m.bound is not None]
    missed = [m for m in bounded if not m.met]
    if not missed:
        return f"All {len(bounded)} bounds are met."
    return f"{len(missed)} of {len(bounded)} bounds MISSED: {'; '.join(m.what.strip() for m in missed)}"


def _standing(m: Measurement) -> Text:
    if m.bound is None:
        return Text("")
    if m.met:
        return Text("met", style="green")
    by = "" if isnan(m.value) else f" by {_number(m.missed_by, m.unit)}"
    return Text(f"MISSED{by}", style="bold red")


def _number(value: float, unit: str) -> str:
    digits = f"{value:.0e}" if 0 < abs(value) < 1e-3 else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def machine() -> str:
    """Cores and what they are busy with: others' work makes every number but the ratios worse."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
