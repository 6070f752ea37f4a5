"""Damage in the store or the site is noticed, named and mended; nothing damaged is ever shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from generator.build.compute import GRAPH
from generator.build.gallery import Gallery
from generator.build.run import statuses
from generator.build.store import MANIFEST, DamagedArtifact, Store
from generator.config.load import load
from tests.tiny_gallery import tree


def artifacts(tiny) -> dict[str, Path]:
    """Folder of every task's result."""
    found = Gallery(load(tiny.path), Store(tiny.store)).statuses()
    return {status.task.id: status.artifact.folder for status in found}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x20
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
@pytest.mark.parametrize(
    ("task", "file", "edit", "rerun"),
    [
        # A damaged file is read, and mended, by whatever needs it next.
        ("activations:net/noise", "outputs.npy", lambda tiny: tiny.model.update(labels=list("abc")), {"activations:net/noise"}),
        ("network:net", "edges.kernel.npy", lambda tiny: tiny.model["views"].update(filters={"num_strongest": 1}),
         {"network:net"}),
        ("network:net", GRAPH, lambda tiny: None, {"network:net"}),
        ("outline", "outline.json", lambda tiny: None, {"outline"}),
        ("feature_maps:net/edges/noise/activation", "record.json", lambda tiny: tiny.config.update(title="New"),
         {"feature_maps:net/edges/noise/activation"}),
    ],
)  # fmt: skip
def test_a_damaged_result_is_computed_again(tiny, harm, task, file, edit, rerun):
    harm(artifacts(tiny)[task] / file)
    edit(tiny)
    told = []
    _, reasons = tiny.build(lambda event, name: told.append(name) if event == "damaged" else None)
    assert told == [task]
    assert {name for name, reason in reasons.items() if reason.kind == "damaged"} == rerun
    assert str(reasons[task]) == f"its stored result was damaged ({file})"
    mended = tree(tiny.site)
    assert tiny.build()[1] == {}
    assert tree(tiny.site) == mended


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
def test_a_damaged_manifest(tiny, harm):
    task = "feature_maps:net/edges/noise/activation"
    harm(artifacts(tiny)[task] / MANIFEST)
    assert f"{task}: its stored result was damaged (manifest.json)" in tiny.run("why").out
    outcome = tiny.run("build")
    assert f"The stored result of {task} was damaged; it is computed again." in outcome.out
    assert '"tasks_run": 0,' in tiny.run("build", "--json").out


def test_a_manifest_with_other_checksums_is_not_believed(tiny):
    folder = artifacts(tiny)["filters:net/edges"]
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = dict.fromkeys(manifest["files"], "0" * 64)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert set(tiny.build()[1]) == {"filters:net/edges"}


def test_everything_that_reads_a_damaged_result_waits_for_one_repair(tiny):
    """Eight tasks read the activations of a probe; the damage is mended once."""
    folder = artifacts(tiny)["activations:net/noise"]
    for path in folder.glob("*.activation.npy"):
        flip(path)
    for folder in (folder for task, folder in artifacts(tiny).items() if task.startswith("feature_maps:")):
        (folder / MANIFEST).unlink()
    told = []
    tiny.build(lambda event, name: told.append(name) if event == "damaged" else None)
    assert told.count("activations:net/noise") == 1


@pytest.mark.parametrize("command", ["why", "list", "check"])
@pytest.mark.parametrize(("task", "file"), [("network:net", GRAPH), ("outline", "outline.json")])
def test_commands_that_only_look_survive_damage(tiny, command, task, file):
    flip(artifacts(tiny)[task] / file)
    outcome = tiny.run(command)
    assert (outcome.code, outcome.err) == (0, "")


def test_a_damaged_memory_costs_only_the_reason(tiny):
    for path in (tiny.store / "tasks").rglob("*.json"):
        path.write_text("[")
    tiny.model["labels"] = ["a", "b", "c"]
    assert str(tiny.build()[1]["predictions:net/noise"]) == "never run before"


def test_a_site_file_that_was_damaged_or_edited_is_restored(tiny):
    before = tree(tiny.site)
    (tiny.site / "index.html").write_text("mine")
    (tiny.site / "m/net/index.html").unlink()
    picture = next((tiny.site / "img").iterdir())
    flip(picture)
    summary, reasons = tiny.build()
    assert (summary.written, reasons) == (3, {})
    assert tree(tiny.site) == before


def test_a_damaged_picture_of_the_store_does_not_reach_the_site(tiny):
    folder = artifacts(tiny)["feature_maps:net/edges/noise/activation"]
    before = tree(tiny.site)
    for path in folder.iterdir():
        if path.suffix != ".json":
            flip(path)
    for path in (tiny.site / "img").iterdir():
        path.unlink()
    _, reasons = tiny.build()
    assert {str(reason) for reason in reasons.values()} <= {
        f"its stored result was damaged ({path.name})" for path in folder.iterdir()
    }
    assert list(reasons) == ["feature_maps:net/edges/noise/activation"]
    assert tree(tiny.site) == before


def test_an_artifact_refuses_to_give_damaged_bytes(tmp_path):
    store = Store(tmp_path)
    artifact = store.write("ab" * 32, {"a": b"content"})
    assert artifact.read("a") == b"content"
    (artifact.folder / "a").write_bytes(b"other")
    with pytest.raises(DamagedArtifact, match="a is damaged"):
        artifact.read("a")
    assert Store(tmp_path).find("ab" * 32) is not None
    store.discard("ab" * 32)
    assert Store(tmp_path).find("ab" * 32) is None
    assert statuses([], store, {}) == []
