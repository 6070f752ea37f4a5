"""Every cell of the walkthrough runs, and what its words say of the figures holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from generator.cli import main
from tests.walkthrough.notebook import SCRIPT, cells

#: Files in which each step must leave a figure.
FIGURES = ("3a", "3b", "4.", "4a", "4b", "4c", "4d", "4e", "5a", "5b", "5c", "6.", "7.", "8a", "8b", "8c", "9a", "9b")


def test_every_cell_runs_and_its_words_hold(tmp_path, monkeypatch):
    """In one test, so that workers do not run it twice."""
    monkeypatch.chdir(tmp_path)
    script = SCRIPT.read_text()
    found = run(script)
    every = sorted(Path("build/walkthrough").glob("*.png"))
    assert tuple(path.name[:2] for path in every) == FIGURES
    assert all(np.asarray(Image.open(path).convert("L")).std() > 10 for path in every)
    steps_1_to_4(found)
    steps_5_and_6(found)
    step_7(found)
    steps_8_and_9(found)
    its_gallery_is_valid(script)


def run(script: str) -> dict:
    """The names that all cells leave behind; an error names its line in the script."""
    names = {"__name__": "__main__"}
    for cell in cells(script):
        if cell.kind == "code":
            source = "\n" * (cell.line - 1) + cell.source
            exec(compile(source, SCRIPT.name, "exec"), names)  # noqa: S102 - our own script
    return names


def steps_1_to_4(found: dict) -> None:
    graph = found["network"].graph
    assert (graph.layers[0].spatial, graph.by_name["head"].spatial) == ((112, 112), (7, 7))
    assert (graph.layers[0].num_units, graph.by_name["head"].num_units) == (32, 1280)
    best = found["predictions"](found["outputs"][0], found["facts"].labels).top[0]
    assert best.label in ("tiger cat", "Egyptian cat", "tabby")
    kernel = found["kernels"]["stem"].kernel
    halves = [np.abs(kernel[:, :, :, unit].mean(axis=2)) for unit in (0, 7, 20, 21, 30)]
    assert min(half.max() for half in halves) > 0.05
    shares = [(found["maps"][block] > 0).mean() for block in found["blocks"]]
    assert shares[:4] == sorted(shares[:4], reverse=True)
    assert shares[4] > shares[3]
    assert {found["maps"][block].shape[0] for block in found["blocks"]} == {112, 56, 28, 14, 7}


def steps_5_and_6(found: dict) -> None:
    assert [image.shape for image in found["ideal"]["conv3"]] == [(28, 28, 1)] * 4
    assert len(found["ideal"]["classifier"]) == 10
    # By another way: each unit's largest answer to each image, from the maps themselves.
    images = np.stack([found["read"](number) for number in range(len(found["clothes"]))])
    (values,) = found["small"].tapped([found["Tap"]("conv3")], batch=len(images))(images)
    answers = np.asarray(values).max(axis=(1, 2))
    for unit in found["UNITS"]:
        assert set(found["best"].images[:, unit]) == set(np.argsort(-answers[:, unit], kind="stable")[:7])


def step_7(found: dict) -> None:
    norms = np.linalg.norm(found["kernels"]["stem"].kernel.reshape(-1, 32), axis=0)
    assert found["dead"] == [unit for unit in range(32) if norms[unit] < 1e-3 * np.median(norms)]
    assert found["verdicts"][29] == ""
    assert found["maps"]["stem"][:, :, 29].max() < 0.1
    assert "like 1" in found["verdicts"].values()
    unchanged, without_twins, _ = found["effects"].changed
    assert unchanged == 0
    assert without_twins > 10


def steps_8_and_9(found: dict) -> None:
    confusion, pair = found["named"].confusion, [found["first"], found["second"]]
    assert confusion.sum() == 200
    between = confusion + confusion.T
    assert between[tuple(pair)] == max(between[a, b] for a in range(10) for b in range(a))
    assert len(found["swapped"]) == between[tuple(pair)]
    images = np.stack([found["read"](number) for number in range(200)])
    (values,) = found["small"].tapped([found["Tap"]("conv5")], batch=200)(images)
    classes = np.array(found["classes"])
    one, other = (np.asarray(values).max(axis=(1, 2))[classes == k].astype(float) for k in pair)
    pooled = np.sqrt((one.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / 2)  # classes of the same size
    np.testing.assert_allclose(found["effect"], (one.mean(axis=0) - other.mean(axis=0)) / pooled, rtol=1e-3)
    assert found["losses"][-1] < 0.7 * found["losses"][0]
    assert [layer.name for layer in found["mine"].graph.layers] == ["first", "second", "mean_1", "classes"]


def its_gallery_is_valid(script: str) -> None:
    """The YAML, the class and the weights, put where the text says."""
    (yaml,) = re.findall(r"# ```yaml\n(.*?)# ```", script, re.DOTALL)
    (module,) = (cell.source for cell in cells(script) if cell.source.startswith("class MyNet"))
    folder = Path("build/walkthrough")
    (folder / "mine.yaml").write_text(re.sub(r"^# ?", "", yaml, flags=re.MULTILINE))
    (folder / "my_net.py").write_text(f"from flax import nnx\n\n{module}\n")
    assert main(["check", str(folder / "mine.yaml")]) == 0
    assert main(["inspect", str(folder / "mine.yaml")]) == 0
