"""Bad input: exit code 2, lines with place, rule and way out, never a traceback, and the site as it was."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.tiny_gallery import Outcome, TinyGallery, run, tree


def refused(gallery: TinyGallery, before: dict[str, bytes]) -> Outcome:
    """The outcome of a build that must fail and leave the site alone."""
    outcome = gallery.run("build")
    assert outcome.code == 2, outcome
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert all(line.startswith("error: ") for line in outcome.err.splitlines())
    assert tree(gallery.site) == before
    return outcome


def text(gallery: TinyGallery, content: str) -> None:
    """The configuration as it is written here, whatever `config` says."""
    gallery.write = lambda: None
    gallery.path.write_text(content, encoding="utf-8")


def replaced(old: str, new: str) -> Callable[[TinyGallery], None]:
    return lambda gallery: text(gallery, gallery.path.read_text(encoding="utf-8").replace(old, new))


def set_model(**values) -> Callable[[TinyGallery], None]:
    return lambda gallery: gallery.model.update(values)


def picture(name: str, content: bytes) -> Callable[[TinyGallery], None]:
    def write(gallery: TinyGallery) -> None:
        (gallery.folder / "pictures" / name).write_bytes(content)

    return write


def weights(content: Callable[[bytes], bytes]) -> Callable[[TinyGallery], None]:
    def write(gallery: TinyGallery) -> None:
        path = gallery.folder / "net.safetensors"
        path.write_bytes(content(path.read_bytes()))

    return write


def one_nan(gallery: TinyGallery) -> None:
    tensors = load_file(gallery.folder / "net.safetensors")
    tensors["edges/kernel"][0, 0, 0, 0] = np.nan
    save_file(tensors, gallery.folder / "net.safetensors")


CASES = {
    "unknown keys": (replaced("title:", "titel:"), [r":1: titel: .*did you mean 'title'\?"]),
    "wrong types": (set_model(views=3, layers=7), ["layers", "views"]),
    "duplicate key": (lambda g: text(g, g.path.read_text() + "title: again\n"), ["given twice, in lines 1 and"]),
    "empty file": (lambda g: text(g, ""), ["the file is empty; it needs at least `models:` and `probes:`"]),
    "no YAML": (lambda g: text(g, "models: [}"), [r"config\.yaml:1: not valid YAML"]),
    "code in YAML": (lambda g: text(g, "models: !!python/object/apply:os.system [ls]"), ["is not allowed"]),
    "unknown layer": (
        set_model(layers=["edges", "corner"]),
        [r"config\.yaml:\d+: models\[0\]\.layers\[1\]: no layer 'corner'; did you mean 'corners'\? \(known: edges, max_"],
    ),
    "unknown probe set": (set_model(probes=["mad"]), [r"models\[0\]\.probes\[0\]: no probe set 'mad'; did you mean 'made'"]),
    "unknown probe": (set_model(probes=["own/z"]), [r"no probe 'z' in 'own'; .*\(known: x-0, o-0\)"]),
    "unknown stimulus": (replaced("zone-plate", "zone-plat"), ["there is no .*'zone-plat'; did you mean 'zone-plate'"]),
    "missing file": (replaced("own.npz", "own.npy"), [r"no file 'own\.npy'; did you mean 'own\.npz'"]),
    "model name": (set_model(name="a/../b"), [r"a name becomes part of a URL.*; got 'a/\.\./b'; write 'a-\.\.-b'"]),
    "model name in Greek": (set_model(name="δίκτυο"), ["a name becomes part of a URL"]),
    "model name with markup": (set_model(name="<script>"), ["got '<script>'; write 'script'"]),
    "truncated image": (picture("cut.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40), [r"cut\.png: .*(damaged|no image)"]),
    "empty image": (picture("empty.jpg", b""), [r"empty\.jpg: the file is empty"]),
    "text as image": (picture("note.txt", b"hello"), [r"note\.txt: this is no image that can be read; give one of PNG"]),
    "truncated weights": (weights(lambda data: data[:-7]), [r"net\.safetensors: cannot be read as safetensors"]),
    "empty weights": (weights(lambda data: b""), [r"net\.safetensors: the weights file is empty"]),
    "NaN in weights": (one_nan, [r"net\.safetensors: .*edges/kernel"]),
    "other architecture": (
        lambda g: g.write_weights(0, {"edges": (3, 3, 3, 5), "other": (3, 3)}),
        ["4 of 6 parameters are missing", "do not belong to the network", r"edges/kernel is \(3, 3, 3, 5\) but should be"],
    ),
    "channels that do not fit": (set_model(preprocessing={"channels": "grey"}), ["grey images have 1 channels, but"]),
    "means that do not fit": (set_model(preprocessing={"mean": [1, 2]}), [r"preprocessing\.mean: .*got 2 numbers"]),
    "labels that do not fit": (set_model(labels=["a", "b"]), [r"models\[0\]\.labels: 2 names for a network with 3 outputs"]),
    "unknown class": (
        lambda g: g.model["source"].update(module="net:Nett"),
        ["net has no 'Nett'; did you mean 'Net'"],
    ),
    "unknown module": (lambda g: g.model["source"].update(module="nett:Net"), ["no module 'nett' .*did you mean 'net'"]),
    "unknown argument": (lambda g: g.model["source"].update(arguments={"depth": 3}), ["`arguments` do not fit"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(tiny, name):
    spoil, patterns = CASES[name]
    before = tree(tiny.site)
    spoil(tiny)
    outcome = refused(tiny, before)
    for pattern in patterns:
        assert re.search(pattern, outcome.err), outcome.err
    assert ";" in outcome.err  # the way out


def test_everything_that_is_wrong_is_told_at_once(tiny):
    tiny.config["titel"] = "x"
    tiny.model["layrs"] = "all"
    tiny.config["probes"][0]["sise_px"] = 4
    lines = refused(tiny, tree(tiny.site)).err.splitlines()
    assert len(lines) == 3
    for name, near in (("titel", "title"), ("layrs", "layers"), ("sise_px", "size_px")):
        assert any(name in line and f"did you mean {near!r}" in line for line in lines)


def test_weights_probes_and_labels_are_told_together(tiny):
    (tiny.folder / "net.safetensors").write_bytes(b"")
    (tiny.folder / "own.npz").write_bytes(b"PK")
    (tiny.folder / "labels.txt").write_text("\n")
    tiny.model.update(labels="labels.txt", probes=["made/zone", "own/x-0"])
    lines = refused(tiny, tree(tiny.site)).err.splitlines()
    assert [re.search(r"net\.safetensors|own\.npz|labels\.txt is empty|no probe 'zone'", line)[0] for line in lines] == [
        "own.npz", "net.safetensors", "no probe 'zone'", "labels.txt is empty",
    ]  # fmt: skip


def test_every_image_that_is_damaged_inside_is_told_before_anything_runs(tiny):
    for name in ("a.jpg", "b.jpg"):
        path = tiny.folder / "pictures" / name
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    lines = refused(tiny, tree(tiny.site)).err.splitlines()
    assert [re.search(r"\w\.jpg: the image is damaged or cut off", line)[0][0] for line in lines] == ["a", "b"]
    assert tiny.run("check").code == 2


def test_a_pickle_with_code_is_refused_and_never_run(tiny):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tiny.folder / "ran",)

    (tiny.folder / "net.safetensors").write_bytes(pickle.dumps(Evil(), protocol=2))
    outcome = refused(tiny, tree(tiny.site))
    assert "it was refused and nothing was run" in outcome.err or "cannot be read" in outcome.err
    assert not (tiny.folder / "ran").exists()


def test_pickled_images_are_refused_and_never_run(tiny):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tiny.folder / "ran",)

    np.savez(tiny.folder / "own.npz", images=np.array([Evil()], dtype=object))
    assert "without running code" in refused(tiny, tree(tiny.site)).err
    assert not (tiny.folder / "ran").exists()


def test_odd_images_that_must_work(tiny):
    folder, random = tiny.folder / "pictures", np.random.default_rng(0)
    Image.fromarray(random.integers(0, 65536, (9, 9), np.uint16)).save(folder / "sixteen.png")
    Image.new("CMYK", (20, 20), (10, 20, 30, 40)).save(folder / "cmyk.jpg")
    frames = [Image.new("P", (12, 12), shade) for shade in (1, 2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1), "red").save(folder / "dot.png")
    Image.new("L", (20_000, 3), 99).save(folder / "wide.png")
    Image.new("RGBA", (8, 8), (0, 255, 0, 0)).save(folder / "clear.png")
    assert tiny.run("build").code == 0
    names = {path.stem for path in (tiny.site / "m/net/probes").iterdir()}
    assert names == {"zone-plate", "o-0", "x-0", "noise", "sixteen", "cmyk", "moving", "dot", "wide", "clear"}
    assert run("links", str(tiny.site)).code == 0


@pytest.mark.parametrize("arguments", [["build", "--jobs", "0"], ["biuld"], ["build", "--colour"], [], ["links", "a", "b"]])
def test_wrong_commands_end_with_2_too(arguments):
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith("usage: cnnscope")


def test_a_config_that_is_not_there(tmp_path):
    outcome = run("build", str(tmp_path / "none.yaml"))
    assert (outcome.code, outcome.out) == (2, "")
    assert "none.yaml: no such file" in outcome.err
    assert run("check", str(tmp_path)).code == 2


def test_messages_are_printed_as_they_are(tmp_path):
    """Neither markup of ours nor a terminal's control characters in names have any effect."""
    path = tmp_path / "[red]x\x1b[31m\n.yaml"
    path.write_text(yaml.safe_dump({"models": "[bold]"}))
    outcome = run("check", str(path))
    assert outcome.code == 2
    assert "[red]x\\x1b[31m\\n.yaml" in outcome.err
    assert "\x1b" not in outcome.err
