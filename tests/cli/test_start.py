"""Galleries without a configuration: a network and its images on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from generator.cli import building
from generator.config.load import load
from tests.starting.networks import write_images, write_onnx
from tests.tiny_gallery import NETWORK, TinyGallery, run, tree

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    write_onnx(tmp_path / "model.onnx")
    write_images(tmp_path / "photos", [f"{name}/{number}.png" for name in CLASSES for number in range(12)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(*arguments: str) -> dict:
    """The configuration that `init` writes for arguments."""
    outcome = run("init", *arguments, "--force", "--store", "store")
    assert outcome.code == 0, outcome.err
    load(Path("gallery.yaml"))
    return yaml.safe_load(Path("gallery.yaml").read_text())


def test_build_and_init_make_the_same_gallery(folder, monkeypatch):
    """One text serves both: to the byte, the page that shows it included; and what was guessed is said."""
    whole = building.started_text

    def few_units(*arguments):  # the way there matters, not how well units look
        return whole(*arguments).replace("preset: standard", "preset: draft\n        steps: 2").replace("top: 24", "top: 1")

    monkeypatch.setattr(building, "started_text", few_units)
    monkeypatch.setattr("generator.cli.galleries.started_text", few_units)
    built = run("build", "model.onnx", "--images", "photos", "--out", "one", "--store", "store")
    assert (built.code, built.err) == (0, "")
    assert "Guessed: pixels in 0-1 without further normalisation; the file does not say.\n" in built.out
    assert "Guessed: the 3 folders are the classes, in the order of the alphabet" in built.out
    assert run("init", "model.onnx", "--images", "photos").code == 0
    assert run("build", "gallery.yaml", "--out", "two", "--store", "store").code == 0
    assert tree(folder / "one") == tree(folder / "two")
    assert "GUESSED: pixels in 0-1" in (folder / "one" / "about.html").read_text()
    assert "`cnnscope doctor model.onnx --images photos` measures whether that is right,\n" in built.out
    assert '<p class="note">All 5 layers are shown.</p>' in (folder / "one" / "m" / "model" / "index.html").read_text()


def test_class_folders_are_labels_probes_and_dataset(folder):
    config = started("model.onnx", "--images", "photos")
    (model,) = config["models"]
    assert model["labels"] == ["cat", "dog", "owl"]
    assert [sum(name.startswith(f"images/{label}") for name in model["probes"]) for label in CLASSES] == [4, 4, 4]
    assert config["datasets"] == [
        {"name": "dataset", "title": "photos", "kind": "folder", "path": "photos", "class_folders": True}
    ]


def test_few_images_are_cut_to_pieces(folder):
    write_images(folder / "few", ["a.png", "b.png"])
    config = started("model.onnx", "--images", "few")
    assert config["probes"] == [{"name": "images", "kind": "folder", "path": "few"}]
    assert config["models"][0]["probes"] == ["images"]
    assert config["datasets"][0]["kind"] == "crops"
    assert config["datasets"][0]["probes"] == ["images"]
    assert "labels" not in config["models"][0]


def test_a_dataset_of_its_own(folder):
    write_images(folder / "few", ["a.png"])
    config = started("model.onnx", "--images", "few", "--dataset", "photos")
    assert (config["probes"][0]["path"], config["datasets"][0]["path"]) == ("few", "photos")
    assert started("model.onnx", "--dataset", "photos")["probes"][0]["path"] == "photos"


def test_one_file_a_pattern_and_a_folder_with_other_files(folder):
    (folder / "photos" / "cat" / "notes.txt").write_text("mine")
    assert started("model.onnx", "--images", "photos")["probes"][0]["path"] == "photos/*/*.png"
    assert started("model.onnx", "--images", "photos/cat")["probes"][0]["path"] == "photos/cat/*.png"
    assert started("model.onnx", "--images", "photos/cat/1.png")["probes"][0]["path"] == "photos/cat/1.png"
    assert started("model.onnx", "--images", "photos/*/1*.png")["probes"][0]["path"] == "photos/*/1*.png"
    np.savez("own.npz", images=np.zeros((3, 16, 16, 3), np.uint8), labels=[0, 1, 2])
    assert started("model.onnx", "--images", "own.npz")["probes"] == [{"name": "images", "kind": "npz", "path": "own.npz"}]


def test_images_that_are_left_out_are_told_of(folder):
    write_images(folder / "photos", ["a.png", "b.png"])
    outcome = run("init", "model.onnx", "--images", "photos")
    assert "Of photos, the 2 images in it are taken, and not the 36 in its folders.\n" in outcome.out
    assert "# Of photos, the 2 images" in Path("gallery.yaml").read_text()


def test_without_images_what_ships_serves(folder):
    config = started("model.onnx")
    assert [section["kind"] for section in config["probes"]] == ["photographs", "synthetic"]
    write_onnx(folder / "grey.onnx", channels=1)
    config = started("grey.onnx")
    assert [section["kind"] for section in config["probes"]] == ["synthetic"]
    assert config["models"][0]["preprocessing"]["channels"] == "grey"


def test_zoo_models_bring_their_images(folder):
    config = started("zoo:fashion_cnn")
    assert config["models"][0]["source"] == {"kind": "zoo", "name": "fashion_cnn"}
    assert (config["probes"][0]["kind"], config["datasets"][0]["kind"]) == ("zoo", "zoo")


def test_modules_of_ones_own(folder):
    tiny = TinyGallery(folder / "tiny").create()
    (folder / "net.py").write_text(NETWORK)
    arguments = ("net:Net", "--weights", str(tiny.folder / "net.safetensors"), "--input-shape", "16,16,3")
    assert started(*arguments)["models"][0]["source"] == {
        "kind": "flax",
        "module": "net:Net",
        "checkpoint": "tiny/net.safetensors",
        "input_shape": [16, 16, 3],
    }


def test_paths_are_relative_to_the_file_that_is_written(folder):
    (folder / "galleries").mkdir()
    outcome = run("init", "model.onnx", "--images", str(folder / "photos"), "-o", "galleries/mine.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    config = yaml.safe_load(Path("galleries/mine.yaml").read_text())
    assert config["models"][0]["source"]["path"] == "../model.onnx"
    assert config["probes"][0]["path"] == str(folder / "photos")  # it was absolute, and does not lie below
    load(Path("galleries/mine.yaml"))
    assert run("check", "galleries/mine.yaml").code == 0


def test_init_replaces_nothing_unasked(folder):
    Path("gallery.yaml").write_text("mine")
    outcome = run("init", "model.onnx")
    assert outcome.code == 2
    assert "gallery.yaml: the file is there already; add --force" in outcome.err
    assert Path("gallery.yaml").read_text() == "mine"


def test_inspect_prints_the_graph_and_which_layers_are_shown(folder):
    outcome = run("inspect", "model.onnx")
    assert "model: 5 layers, input 16×16×3" in outcome.out
    assert outcome.out.endswith("All 5 layers are shown.\n")
    assert "Guessed: pixels in 0-1" in outcome.err
    found = json.loads(run("inspect", "model.onnx", "--json").out)
    assert found["models"][0]["layers"][0]["name"] == "edges"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("weights.pth", "cnnscope build my_net:MyNet --weights weights.pth --input-shape 224,224,3"),
        ("nothing", "names neither a configuration nor a network; give a configuration (gallery.yaml), a network"),
        ("net:Net", "it does not say the shape of its images; write `cnnscope build net:Net --weights"),
        ("net:Net --input-shape 8,8", "expected height,width,channels such as 224,224,3"),
        ("odd:Net --input-shape 8,8,3", "its file imports neither flax, torch nor jax, so its kind cannot be told; add --kind"),
        ("model.onnx --weights a.pth", "model.onnx: an ONNX file has its own weights; leave --weights out"),
        ("model.onnx --kind torch", "--kind torch, but it is of the kind onnx"),
        ("model.onnx --images nowhere", "--images nowhere: nothing is there; name a folder"),
        ("missing.onnx", "missing.onnx: there is no such file; check the path"),
        ("empty.onnx", "empty.onnx: this is a folder, not a file; name the file"),
        ("text.pt2", "write `cnnscope build text.pt2 --input-shape 224,224,3`"),
        ("text.keras", "text.keras: this is neither a `.keras` archive nor an HDF5 file"),
        ("model.onnx --images=", "--images : nothing is there"),
        ("model.onnx --images empty", "--images empty: the folder holds no images, nor do the folders in it"),
        ("model.onnx --labels two.txt", "--labels two.txt: 2 names for a network with 3 outputs"),
        ("model.onnx --labels no.txt", "--labels no.txt: cannot be read: No such file or directory"),
        ("zoo:fashion", "no model 'fashion'; did you mean 'fashion_cnn'?"),
        ("gallery.yaml --images photos", "gallery.yaml: --images is for networks, but this is a configuration"),
        ("--images photos", "--images without a network; name a network, such as model.onnx"),
    ],
)
def test_what_cannot_be_told_is_asked_for(folder, arguments, message):
    (folder / "net.py").write_text(NETWORK)
    (folder / "odd.py").write_text("class Net: pass\n")
    (folder / "two.txt").write_text("a\nb\n")
    (folder / "empty").mkdir()
    (folder / "empty.onnx").mkdir()
    (folder / "text.pt2").write_text("text")
    (folder / "text.keras").write_text("text")
    outcome = run("build", *arguments.split())
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_fault_of_the_network_names_the_argument_not_a_line_that_nobody_saw(folder):
    write_onnx(folder / "five.onnx", channels=5)
    outcome = run("build", "five.onnx")
    assert outcome.code == 2
    assert outcome.err.startswith("error: five.onnx: ")
