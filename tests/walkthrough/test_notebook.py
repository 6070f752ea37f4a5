"""The notebook holds the script's cells, no more and no less, and nothing that running it leaves behind."""

from __future__ import annotations

import json
import re

import pytest

from tests.walkthrough.notebook import NOTEBOOK, SCRIPT, cells, notebook


def as_script(content: dict) -> str:
    """A notebook back as percent cells: the inverse, written down apart."""
    parts = []
    for cell in content["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text = "\n".join(f"# {line}".rstrip() for line in text.split("\n"))
        parts.append({"code": "# %%\n", "markdown": "# %% [markdown]\n"}[cell["cell_type"]] + text)
    return "\n\n".join(parts) + "\n"


def test_the_notebook_is_the_script_cell_by_cell():
    script = re.sub(r"\n{3,}(?=# %%)", "\n\n", SCRIPT.read_text())  # where a cell begins with a function, style wants two
    found = as_script(json.loads(NOTEBOOK.read_text())).split("\n# %%")
    assert found == script.split("\n# %%"), "run `python -m tests.walkthrough.notebook`"


def test_the_notebook_is_what_the_command_writes():
    assert NOTEBOOK.read_text() == notebook(SCRIPT.read_text())


def test_it_is_a_notebook_without_outputs():
    content = json.loads(NOTEBOOK.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_cells_know_their_lines():
    lines = SCRIPT.read_text().split("\n")
    for cell in cells("\n".join(lines)):
        if cell.kind == "code":
            number = cell.line - 1
            assert lines[number] == cell.source.split("\n")[0]
            assert lines[number - 1] == "# %%"


def test_text_before_the_first_cell_is_refused():
    with pytest.raises(ValueError, match="begin with a cell"):
        list(cells("import os\n# %%\nos.getcwd()\n"))
