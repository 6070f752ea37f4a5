"""CONFORMANCE.md: what the stored results of the conformance suites say, without dates, so that it changes only with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conformance.run import Place

_HIDDEN = frozenset({"case", "digest", "ok", "failure", "seconds"})
_INTRODUCTION = """# Conformance

What CNNscope computes, compared with the framework that each network comes from. `make conformance` writes this file from
results that each ran in a process of their own; errors are the largest difference relative to the largest value.
"""


def write(place: Place, suites: Sequence[str]) -> None:
    """Writes the table of every suite that has been listed."""
    from tests.conformance.run import versions

    listed = [f"{name} {version}" for name, version in versions().items()]
    parts = [_INTRODUCTION, f"Versions: {', '.join(listed)}.\n", *(_suite(place, suite) for suite in suites)]
    place.table.write_text("\n".join(parts))


def _suite(place: Place, suite: str) -> str:
    from tests.conformance.run import stored

    title = f"## {suite.replace('_', ' ').capitalize()}\n"
    try:
        listing = json.loads(place.listing(suite).read_text())
    except (OSError, ValueError):
        return f"{title}\nNot run.\n"
    if listing["failure"]:
        return f"{title}\nNot run: {listing['failure']}.\n"
    results = {case: stored(place, suite, case, listing["digest"]) for case in listing["cases"]}
    done = {case: result for case, result in results.items() if result is not None}
    good, missing = sum(result["ok"] for result in done.values()), [case for case in results if case not in done]
    lines = [title, f"{good} of {len(results)} pass, {len(done) - good} fail, {len(missing)} not run.\n"]
    ratios = sorted(result["ratio"] for result in done.values() if "ratio" in result)
    lines += [f"Ratios: median {median(ratios):.2f}, lowest {ratios[0]:.2f}.\n"] if ratios else []
    lines += _table(done)
    failures = [f"- `{case}`: {_plain(result['failure'])}" for case, result in done.items() if not result["ok"]]
    lines += ["\nFailures:\n", *failures] if failures else []
    lines += [f"\nNot run: {', '.join(f'`{case}`' for case in missing)}."] if missing else []
    return "\n".join(lines) + "\n"


def _table(done: dict[str, dict[str, Any]]) -> list[str]:
    if not done:
        return []
    columns = [name for name in dict.fromkeys(key for result in done.values() for key in result) if name not in _HIDDEN]
    head = ["case", *(name.replace("_", " ") for name in columns), "result"]
    rows = [
        [f"`{case}`", *(_cell(result.get(name, "")) for name in columns), "ok" if result["ok"] else "fails"]
        for case, result in done.items()
    ]
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_plain(key).replace('_', ' ')} {_cell(inner)}" for key, inner in value.items())
    return f"{value:.2g}" if isinstance(value, float) else _plain(value)


def _plain(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
