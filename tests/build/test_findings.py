"""Findings in whole builds: what they rest on, what runs again, and numbers that came with a model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from generator.build import ship, shipped_findings
from generator.build.findings_plan import findings_tasks
from generator.build.gallery import Gallery
from generator.build.run import Runner
from generator.build.store import Store
from generator.config.load import load
from generator.errors import ConfigError, ProbeError
from generator.probes import fashion_mnist
from generator.records import Classes, DatasetImages, Health
from tests.tiny_gallery import TinyGallery

NAMES = ("circle", "square", "<b>star</b>")
FASHION = """
models:
  - name: fashion
    source: {kind: zoo, name: fashion_cnn}
    probes: [fashion]
    measured_on: test-images
    views: {health: {shares: [0.125, 0.25, 0.5], tried_on: 10000}}
probes: [{name: fashion, kind: zoo, model: fashion_cnn, per_class: 1}]
datasets: [{name: test-images, title: Fashion-MNIST test set, kind: zoo, model: fashion_cnn, split: test}]
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny gallery whose dataset has the classes of its model: eight images, two of them of the last class."""
    gallery = TinyGallery(tmp_path_factory.mktemp("findings") / "gallery").create()
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (8, 16, 16, 3), np.uint8)
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    np.savez(gallery.folder / "labelled.npz", images=images, labels=labels, label_names=NAMES)
    gallery.config["datasets"] = [{"name": "labelled", "kind": "npz", "path": "labelled.npz"}]
    gallery.model["measured_on"] = "labelled"
    gallery.model["views"]["health"] = {"shares": [0.5]}
    gallery.build()
    return gallery


def record(gallery, task, kind):
    gallery.write()
    found = {one.task.id: one.artifact for one in Gallery(load(gallery.path), Store(gallery.store)).statuses()}
    return kind.model_validate_json(found[task].read("record.json"))


def test_a_gallery_tells_findings_of_a_labelled_dataset(measured):
    health, classes = record(measured, "health:net", Health), record(measured, "classes:net", Classes)
    assert (health.measured.num_images, health.measured.num_labelled, health.measured.shipped) == (8, 8, False)
    assert [layer.layer for layer in health.layers] == ["edges", "classes"]
    assert [(one.layer, one.kind, one.num_units) for one in health.removals if one.kind == "weakest"] == [
        ("edges", "weakest", 2)
    ]
    assert classes.labels == NAMES
    assert [sum(row) for row in classes.confusion] == [3, 3, 2]
    hits = sum(classes.confusion[number][number] for number in range(3))
    assert classes.accuracy == health.accuracy == pytest.approx(hits / 8)
    images = record(measured, "class_images:net", DatasetImages)
    shown = {number for one in classes.classes for number in (*one.hits, *one.misses)}
    assert shown <= {image.index for image in images.images}
    assert {image.index: image.label for image in images.images}.items() <= {
        number: NAMES[label] for number, label in enumerate([0, 0, 0, 1, 1, 1, 2, 2])
    }.items()


def test_a_dataset_with_other_classes_tells_of_units_alone(measured, tmp_path):
    gallery = measured.copied(tmp_path / "gallery")
    with np.load(gallery.folder / "labelled.npz") as known:
        np.savez(gallery.folder / "labelled.npz", images=known["images"], labels=known["labels"], label_names=["a", "b", "c"])
    _, reasons = gallery.build()
    assert "census:net" in reasons
    health = record(gallery, "health:net", Health)
    assert (health.accuracy, health.measured.num_labelled) == (None, 0)
    assert not any(task.startswith(("classes:", "class_images:")) for task in reasons)


def test_thresholds_do_not_run_the_network_again(measured, tmp_path):
    gallery = measured.copied(tmp_path / "gallery")
    gallery.model["views"]["health"] = {"shares": [0.5], "rare": 0.2}
    _, reasons = gallery.build()
    ran = {task.split(":")[0] for task in reasons}
    assert "faults" in ran
    assert not ran & {"census", "importance", "classes", "class_thumbnails"}


def test_a_dataset_nobody_defined(measured, tmp_path):
    gallery = measured.copied(tmp_path / "gallery")
    gallery.model["measured_on"] = "labeled"
    outcome = gallery.run("check")
    assert outcome.code == 2
    assert "models[0].measured_on: no dataset 'labeled'; did you mean 'labelled'?" in outcome.err


# -- numbers that came with a model -----------------------------------------------------------------------------------------


def fashion(folder, text=FASHION):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(text)
    return Gallery(load(folder / "config.yaml"), Store(folder / "store"))


def told(gallery):
    """Health, classes and images, made by nothing but the tasks they need."""
    runner = Runner(gallery.store, 2, lambda event, task: None)
    graphs = gallery.graphs(runner)
    runner.run(findings_tasks(gallery.models[0], graphs["fashion"]))
    kinds = {"health": Health, "classes": Classes, "class_images": DatasetImages}
    return {kind: record.model_validate_json(runner.read(f"{kind}:fashion", "record.json")) for kind, record in kinds.items()}


@pytest.fixture
def elsewhere(monkeypatch):
    """A machine without Fashion-MNIST."""
    monkeypatch.setattr(fashion_mnist, "find", lambda *_: None)


def test_what_came_with_the_fashion_cnn_is_told_without_its_images(elsewhere, tmp_path):
    gallery = fashion(tmp_path)
    found = told(gallery)
    assert found["health"].measured.shipped
    assert (found["health"].measured.num_images, found["health"].accuracy) == (10_000, 0.9308)
    assert found["classes"].labels[6] == "Shirt"
    assert sum(map(sum, found["classes"].confusion)) == 10_000
    assert {one.kind for one in found["health"].removals} == {"weakest"}
    assert len(found["class_images"].images) > 100
    with pytest.raises(ProbeError, match="its images are not on this machine; name another dataset"):
        gallery.models[0].measured_on.read(0)


def test_they_fit_no_other_layers(elsewhere, tmp_path):
    gallery = fashion(tmp_path, FASHION.replace("probes: [fashion]\n", "probes: [fashion]\n    layers: [conv1]\n"))
    with pytest.raises(
        ConfigError, match=r"config\.yaml:\d+: models\[0\]\.measured_on: its images are not on this machine, and"
    ):
        told(gallery)


def test_a_damaged_archive_is_named(elsewhere, tmp_path, monkeypatch):
    folder = tmp_path / "generator" / "zoo" / "data" / "fashion_cnn"
    shutil.copytree(ship.resources.files("generator") / "zoo" / "data" / "fashion_cnn", folder)
    archive = folder / shipped_findings.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:-9] + b"x" * 9)
    gallery = fashion(tmp_path / "gallery")
    monkeypatch.setattr(shipped_findings.resources, "files", lambda _: tmp_path / "generator")
    with pytest.raises(ConfigError, match=r"findings\.zip: is damaged: its sha256 is not what findings\.json says"):
        told(gallery)


@pytest.mark.skipif(fashion_mnist.find() is None, reason="Fashion-MNIST is not on this machine")
def test_they_are_what_the_images_give(tmp_path, monkeypatch):
    """Measured again, on all 10,000 images; trials are left out, which take longer."""
    gallery = fashion(tmp_path / "here")
    runner = Runner(gallery.store, 2, lambda event, task: None)
    graph = gallery.graphs(runner)["fashion"]
    tasks = [task for task in findings_tasks(gallery.models[0], graph) if task.id.split(":")[0] in ("census", "classes")]
    runner.run(tasks)
    here = Classes.model_validate_json(runner.read("classes:fashion", "record.json"))
    monkeypatch.setattr(fashion_mnist, "find", lambda *_: None)
    there = told(fashion(tmp_path / "there"))["classes"]
    assert here.confusion == there.confusion
    assert here.measured == there.measured.model_copy(update={"shipped": False})
    for ours, shipped in zip(here.classes, there.classes, strict=True):
        assert (ours.hits, ours.misses, ours.recall) == (shipped.hits, shipped.misses, shipped.recall)
        for a, b in zip(ours.units, shipped.units, strict=True):
            assert a.selectivity == pytest.approx(b.selectivity, abs=1e-4)


def test_shipping_writes_what_is_read_back(tmp_path, monkeypatch):
    """With a config that is no zoo model's, nothing is shipped."""
    plain = TinyGallery(tmp_path / "tiny").create()
    plain.write()
    gallery = Gallery(load(plain.path), Store(plain.store))
    assert ship.ship_findings(gallery, Runner(gallery.store, 1, lambda event, task: None)) == {}
    plan = fashion(tmp_path / "fashion").models[0]
    results = {kind: {f"{kind}.npz": kind.encode()} for kind in shipped_findings.KINDS}
    folder = tmp_path / "generator" / "zoo" / "data" / "fashion_cnn"
    folder.mkdir(parents=True)
    size = ship.write(plan, results, folder)
    assert size == (folder / shipped_findings.ARCHIVE).stat().st_size
    first = (folder / shipped_findings.ARCHIVE).read_bytes()
    ship.write(plan, results, folder)
    assert (folder / shipped_findings.ARCHIVE).read_bytes() == first
    assert set(json.loads((folder / shipped_findings.MANIFEST).read_text())) == {"sha256", "made"}
    monkeypatch.setattr(shipped_findings.resources, "files", lambda _: tmp_path / "generator")
    assert shipped_findings.shipped(plan, "census") == {"census.npz": b"census"}


def test_images_of_the_wrong_size_are_read_as_the_network_sees_them(measured, tmp_path):
    """A folder of pictures of any size can be measured on."""
    gallery = measured.copied(tmp_path / "gallery")
    for name in ("circle", "square"):
        (gallery.folder / "sorted" / name).mkdir(parents=True)
        pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(gallery.folder / "sorted" / name / "one.png")
    gallery.config["datasets"] = [{"name": "labelled", "kind": "folder", "path": "sorted", "class_folders": True}]
    gallery.build()
    assert [sum(row) for row in record(gallery, "classes:net", Classes).confusion] == [1, 1, 0]
