"""Whole builds with optimised images: what is kept, what runs again, and what `select` may not say."""

from __future__ import annotations

import json

import pytest

from generator.build.store import Store
from generator.config.load import load
from generator.errors import ConfigError
from generator.records import Exemplars, FeatureVis
from tests.tiny_gallery import TinyGallery, run, tree

VISUALISED = {"visualise:net/edges/u0", "visualise:net/edges/u2", "visualise:net/classes/u1"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    gallery = TinyGallery(tmp_path_factory.mktemp("featured") / "gallery").create().featuring()
    gallery.build()
    return gallery


@pytest.fixture
def featured(built, tmp_path):
    return built.copied(tmp_path / "gallery")


def visualised(reasons):
    return {task for task in reasons if task.startswith("visualise:")}


def results(gallery):
    """Every file of every visualised unit, by task."""
    stored = {status.task.id: status.artifact for status in statuses(gallery)}
    return {task: {name: stored[task].read(name) for name in stored[task].files} for task in visualised(stored)}


def statuses(gallery):
    from generator.build.gallery import Gallery

    gallery.write()
    return Gallery(load(gallery.path), Store(gallery.store)).statuses()


def record(gallery, task, kind):
    (artifact,) = (status.artifact for status in statuses(gallery) if status.task.id == task)
    return kind.model_validate_json(artifact.read("record.json"))


def test_a_gallery_has_images_exemplars_and_pages_of_units(built):
    for layer, units in (("edges", [0, 2]), ("classes", [1])):
        found = record(built, f"feature_vis:net/{layer}", FeatureVis)
        assert [one.unit for one in found.units] == units
        assert (found.setup.steps, found.setup.preset, found.setup.size_px) == (4, "draft", 16)
        assert [len(one.highest) for one in record(built, f"exemplars:net/{layer}", Exemplars).units] == [2] * len(units)
    pages = {path.relative_to(built.site / "m/net").as_posix() for path in (built.site / "m/net").glob("*/u*.html")}
    assert pages == {"edges/u0000.html", "edges/u0002.html", "classes-2/u0001.html"}
    assert run("links", str(built.site)).code == 0
    summary, reasons = built.build()
    assert (summary.tasks_run, summary.written, reasons) == (0, 0, {})


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_interrupting_after_any_unit_loses_none_that_is_finished(built, featured, tmp_path, monkeypatch, finished):
    """Ctrl+C as the last thing that happens to a unit; one unit at a time, so that every number of them is met."""
    monkeypatch.setattr("generator.build.devices.expected", lambda: 1)
    gallery = TinyGallery(tmp_path / "new").create().featuring()
    done = []

    def report(event, task):
        if event == "ran" and task.startswith("visualise:"):
            done.append(task)
            if len(done) == finished:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.build(report)
    _, reasons = gallery.build()
    assert visualised(reasons) == VISUALISED - set(done)
    assert results(gallery) == results(built)
    ours, theirs = (tree(one.site) for one in (gallery, built))
    assert {name: ours[name] for name in ours if name != ".cnnscope/lock"} == {
        name: theirs[name] for name in theirs if name != ".cnnscope/lock"
    }


def test_more_units_run_only_themselves(featured):
    before = results(featured)
    select = featured.model["views"]["feature_vis"]["select"]
    select[0]["units"] = [3, 2, 0]
    _, reasons = featured.build()
    assert visualised(reasons) == {"visualise:net/edges/u3"}
    assert str(reasons["visualise:net/edges/u3"]) == "never run before"
    assert {task: files for task, files in results(featured).items() if task in before} == before
    select[0]["units"] = [2]
    assert visualised(featured.build()[1]) == set()


def test_another_preset_runs_all_of_them(featured):
    featured.model["views"]["feature_vis"] |= {"preset": "standard"}
    featured.write()
    assert "visualise:net/edges/u0: changed: its settings" in featured.run("why").out
    _, reasons = featured.build()
    assert visualised(reasons) == VISUALISED
    assert {str(reasons[task]) for task in VISUALISED} == {"changed: its settings"}


def test_what_is_beside_the_images_runs_none_of_them(featured):
    featured.model["labels"] = ["circle", "square", "star"]
    featured.model["views"]["exemplars"] = False
    featured.config["title"] = "Another"
    assert visualised(featured.build()[1]) == set()


def test_units_are_chosen_by_what_was_measured(featured):
    featured.model["views"]["feature_vis"]["select"] = [{"layers": ["edges"], "units": {"top": 1, "by": "exemplars"}}]
    featured.model["unit_pages"] = "none"
    featured.build()
    responses = json.loads(
        next(s.artifact for s in statuses(featured) if s.task.id == "responses:net/edges").read("record.json")
    )
    parts = zip(responses["maximum"], responses["mean"], responses["std"], strict=True)
    worth = [(high - mean) / std if std else 0.0 for high, mean, std in parts]
    (one,) = record(featured, "feature_vis:net/edges", FeatureVis).units
    assert one.unit == worth.index(max(worth))


WRONG = [
    {"layers": ["edgy"], "units": "all"},
    {"layers": ["edges"], "units": [4, -1, "square"]},
    {"layers": ["classes"], "units": ["sqare", 3]},
]


def test_everything_that_is_wrong_with_a_selection_is_said_at_once(featured):
    featured.model["views"]["feature_vis"]["select"] = WRONG
    with pytest.raises(ConfigError) as caught:
        featured.build()
    lines = featured.path.read_text().splitlines()

    def place(text, keys):
        return f"{featured.path}:{1 + lines.index(text)}: models[0].views.feature_vis.select{keys}"

    indent = next(line for line in lines if "edgy" in line).split("-")[0]
    assert {str(problem) for problem in caught.value.problems} == {
        f"{place(f'{indent}- edgy', '[0].layers[0]')}: no layer 'edgy'; did you mean 'edges'? (known: edges, classes)",
        f"{place(f'{indent}- 4', '[1].units[0]')}: no unit 4 in edges; its units are 0 to 3",
        f"{place(f'{indent}- -1', '[1].units[1]')}: no unit -1 in edges; its units are 0 to 3",
        f"{place(f'{indent}- square', '[1].units[2]')}: no unit 'square' in edges; "
        "give numbers; only an output's units have names",
        f"{place(f'{indent}- sqare', '[2].units[0]')}: no unit 'sqare' in classes; did you mean 'square'? "
        "(known: circle, square, <b>star</b>)",
        f"{place(f'{indent}- 3', '[2].units[1]')}: no unit 3 in classes; its units are 0 to 2",
    }


def test_a_wrong_selection_is_told_before_anything_is_measured(tmp_path):
    """By the build once the network is traced; from then on by `check`, too."""
    gallery = TinyGallery(tmp_path / "new").create().featuring()
    gallery.model["views"]["feature_vis"]["select"] = WRONG
    ran = []
    with pytest.raises(ConfigError):
        gallery.build(lambda event, task: ran.append(task) if event == "ran" else None)
    assert ran == ["network:net"]
    outcome = gallery.run("check")
    assert outcome.code == 2
    assert "no unit 4 in edges" in outcome.err


@pytest.mark.parametrize(
    ("units", "dataset", "rule"),
    [
        ({"top": 1, "by": "class", "of": "ö"}, False, "`by: class` is measured on a dataset; give the model a `dataset:`"),
        ({"top": 1, "by": "class", "of": "y"}, True, r"no class 'y' in the model's dataset; .*\(known: "),
    ],
)
def test_classes_come_from_a_dataset(featured, units, dataset, rule):
    featured.model["views"]["feature_vis"]["select"] = [{"layers": ["edges"], "units": units}]
    if not dataset:
        del featured.model["dataset"], featured.model["views"]["exemplars"]
    with pytest.raises(ConfigError, match=rf"config\.yaml:\d+: models\[0\]\.views\.feature_vis\.select.*{rule}"):
        featured.build()
