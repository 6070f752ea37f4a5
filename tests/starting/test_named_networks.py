"""What an argument of the command line names: a source of the right kind, or a refusal that shows the whole command."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator.errors import ConfigError
from generator.starting.networks import Named, is_config, source_of


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("a.onnx", "a.keras", "A.H5", "a.pt2", "deep/a.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "with_torch.py").write_text("import os\nfrom torch import nn\n")
    (tmp_path / "with_flax.py").write_text("import flax.linen as nn\nimport jax\n")
    (tmp_path / "with_jax.py").write_text("from jax import numpy\n")
    (tmp_path / "with_both.py").write_text("import flax, torch\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("named", "source"),
    [
        (Named("a.onnx"), {"kind": "onnx", "path": "a.onnx"}),
        (Named("./deep/a.onnx"), {"kind": "onnx", "path": "deep/a.onnx"}),
        (Named("a.onnx", input_shape=(8, 9, 3)), {"kind": "onnx", "path": "a.onnx", "input_shape": [8, 9, 3]}),
        (Named("a.keras"), {"kind": "keras", "model": "a.keras"}),
        (Named("A.H5"), {"kind": "keras", "model": "A.H5"}),
        (Named("a.pt2", input_shape=(8, 9, 3)), {"kind": "torch", "program": "a.pt2", "input_shape": [8, 9, 3]}),
        (Named("keras.applications.VGG16"), {"kind": "keras", "model": "keras.applications.VGG16"}),
        (
            Named("keras.applications.VGG16", "random"),
            {"kind": "keras", "model": "keras.applications.VGG16", "weights": "random"},
        ),
        (Named("zoo:resnet50", "w.pth"), {"kind": "zoo", "name": "resnet50", "weights": "w.pth"}),
        (
            Named("with_flax:Net", "w.npz", None, (8, 8, 1)),
            {"kind": "flax", "module": "with_flax:Net", "input_shape": [8, 8, 1], "checkpoint": "w.npz"},
        ),
        (
            Named("with_torch:Net", "w.pth", None, (8, 8, 3)),
            {"kind": "torch", "module": "with_torch:Net", "input_shape": [8, 8, 3], "weights": "w.pth"},
        ),
        (
            Named("with_jax:net", None, None, (8, 8, 3)),
            {"kind": "function", "function": "with_jax:net", "input_shape": [8, 8, 3]},
        ),
    ],
)  # fmt: skip
def test_sources(folder, named, source):
    assert source_of(named, folder)[0] == source


def test_what_is_guessed_is_said(folder):
    assert source_of(Named("a.onnx"), folder)[1] == []
    _, (kind,) = source_of(Named("with_jax:net", None, None, (8, 8, 3)), folder)
    assert kind == "of the kind function, as with_jax's file imports it"
    source, guesses = source_of(Named("torchvision.models:resnet18"), folder)
    assert source["input_shape"] == [224, 224, 3]
    assert guesses == ["images of 224 x 224 px, as most of its networks are trained for"]


def test_paths_start_from_the_configuration(folder):
    assert source_of(Named("deep/a.onnx"), folder / "deep")[0]["path"] == "a.onnx"
    assert source_of(Named("a.onnx"), folder / "deep")[0]["path"] == "../a.onnx"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (Named("with_both:Net"), "its file imports flax and torch, so its kind cannot be told; add --kind flax, torch"),
        (Named("with_jax:net", None, None), "write `cnnscope build with_jax:net --input-shape 224,224,3`"),
        (Named("with_flax:Net", None, "flax", (8, 8, 3)),
         "write `cnnscope build with_flax:Net --kind flax --weights weights.safetensors --input-shape 8,8,3`"),
        (Named("zoo:resnet50", input_shape=(8, 8, 3)), "a zoo model knows the shape of its images; leave --input-shape out"),
        (Named("not a module:Net", "w.npz", "flax", (8, 8, 3)), "expected `package.file:Name`"),
    ],
)  # fmt: skip
def test_refusals_show_what_to_write(folder, named, message):
    with pytest.raises(ConfigError) as error:
        source_of(named, folder)
    assert message in " ".join(map(str, error.value.problems))


def test_configurations():
    assert is_config("gallery.yaml")
    assert is_config("a/B.YML")
    assert not is_config("a.onnx")
