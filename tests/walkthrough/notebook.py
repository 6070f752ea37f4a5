"""The walkthrough as a notebook: `python -m tests.walkthrough.notebook` makes How_to_Visualize_CNN.ipynb of the script's cells.

Without outputs: pictures depend on versions of libraries and fonts, and would turn a changed word into changed megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).parents[2]
SCRIPT, NOTEBOOK = ROOT / "How_to_Visualize_CNN.py", ROOT / "How_to_Visualize_CNN.ipynb"


class Cell(NamedTuple):
    """source: without the marks of the script. line: the first one of it in the script, counted from 1."""

    kind: Literal["code", "markdown"]
    source: str
    line: int


def cells(script: str) -> Iterator[Cell]:
    """The percent cells of `script`, which begin with `# %%` or `# %% [markdown]`.

    Raises ValueError for text before the first.
    """
    before, *parts = f"\n{script}".split("\n# %%")
    if before.strip():
        raise ValueError("the script must begin with a cell")
    line = 1
    for part in parts:
        mark, _, body = part.partition("\n")
        if mark.strip() == "[markdown]":
            uncommented = "\n".join(text.removeprefix("#").removeprefix(" ") for text in body.split("\n"))
            yield Cell("markdown", uncommented.strip("\n"), line + 1)
        else:
            yield Cell("code", body.strip("\n"), line + 1)
        line += part.count("\n") + 1


def notebook(script: str) -> str:
    """The JSON of a notebook, format 4.5."""
    content = {
        "cells": [_record(number, cell) for number, cell in enumerate(cells(script), 1)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _record(number: int, cell: Cell) -> dict[str, object]:
    source = cell.source.splitlines(keepends=True)
    if cell.kind == "markdown":
        return {"cell_type": "markdown", "id": f"cell-{number:02}", "metadata": {}, "source": source}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"cell-{number:02}",
        "metadata": {},
        "outputs": [],
        "source": source,
    }


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(SCRIPT.read_text()))
