"""Names of files, folders and classes may hold anything: the configuration still says what is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from generator.config.load import load, parse
from generator.probes import list_probes
from generator.starting.networks import Named
from generator.starting.sizing import UNSIZED
from generator.starting.start import start
from generator.starting.writing import yaml_of
from tests.starting.networks import write_images, write_onnx

NAMES = ["yes", "a: b", 'it\'s "q" #1', "[x](y){z}*?", "- dash", "new\nline", "\u2028", "<script>", "😀 ä", "null", "1e3"]


@pytest.mark.parametrize("name", NAMES)
def test_files_and_folders(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = write_onnx(tmp_path / f"{name}.onnx")
    write_images(tmp_path / name, [f"{name}/{number}.png" for number in range(2)] + ["other/a.png"])
    begun = start(Named(model.name), name, None, None, tmp_path)
    labelled = replace(begun, labels=(name, "other"), guesses=(f"of {name}",), notes=(name,))
    text = yaml_of(labelled, UNSIZED)
    (tmp_path / "gallery.yaml").write_text(text, encoding="utf-8", newline="\n")
    loaded = load(tmp_path / "gallery.yaml")
    assert loaded.config == parse(text, model, tmp_path).config
    (config,) = loaded.config.models
    assert loaded.config.title == name
    assert config.source.path == model.name
    assert config.labels == (name, "other")
    assert loaded.config.probes[0].path == name or "*" in name
    assert len(list_probes(loaded.config.probes[0], tmp_path)) == 3
    assert begun.classes == tuple(sorted([name, "other"]))


def test_preprocessing_is_what_the_source_says(tmp_path):
    begun = start(Named("zoo:efficientnet_lite0"), None, None, None, tmp_path)
    (config,) = parse(yaml_of(begun, UNSIZED), tmp_path, tmp_path).config.models
    assert config.preprocessing.over(begun.facts.preprocessing) == begun.facts.preprocessing
    assert None not in config.preprocessing.model_dump().values()
