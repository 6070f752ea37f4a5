"""Networks that both of PyTorch's exporters wrote, against what PyTorch computes in every module of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generator.config.sources import OnnxSource
from generator.network.execute import OUTPUT, Network, Tap
from generator.sources import load
from tests.conformance.matching import relative_error, scope_values

DATA = Path(__file__).with_name("data")
NETWORKS = ("plain", "residual", "depthwise", "shuffle")
EXPORTERS = ("followed", "recorded")
SHAPE = (20, 20, 3)
CONVOLUTIONS = {
    "plain": {"0/0"},
    "residual": {"0/0", "2/conv1", "2/conv2", "3/conv1", "3/conv2"},
    "depthwise": {"0/0"}
    | {f"{block}/{name}" for block in "23" for name in ("depthwise/0", "pointwise/0", "squeeze", "excite")},
    "shuffle": {"0/0"} | {f"{block}/branch/{number}/0" for block in "23" for number in "01"},
}
#: Without values of their own, or, in the older exporter's files, under another name when they are called again.
UNNAMED = {"2/2", "4/2", "2/relu", "3/relu"}


def network(name: str, exporter: str) -> Network:
    source = OnnxSource(kind="onnx", path=f"{name}.{exporter}.onnx", input_shape=SHAPE)
    loaded = load(source, DATA)
    return Network(loaded.apply, loaded.params, loaded.input_shape)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_module_computes_what_pytorch_does(name, exporter):
    with np.load(DATA / f"{name}.npz") as expected:
        images = expected["images"]
        modules = {path: expected[path] for path in expected.files if path not in ("images", "output")}
        output = expected["output"]
    found = scope_values(network(name, exporter), images)
    missing = {path for path in modules if found.of(path) is None}
    errors = {path: relative_error(found.of(path), value) for path, value in modules.items() if path not in missing}
    if exporter == "recorded":
        errors = {path: error for path, error in errors.items() if path not in UNNAMED}
    assert missing <= UNNAMED
    assert {path: error for path, error in errors.items() if error > 1e-5} == {}
    assert relative_error(found.outputs[0], output) < 1e-5


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_layers_have_the_names_of_submodules(name, exporter):
    layers = network(name, exporter).graph.layers
    assert {layer.name for layer in layers if layer.kind in ("conv", "depthwise_conv")} == CONVOLUTIONS[name]
    assert [layer.name for layer in layers if layer.kind == "dense"] == [f"{'2' if name == 'plain' else '4'}/3"]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_any_number_of_images(exporter):
    with np.load(DATA / "residual.npz") as expected:
        images, output = expected["images"], expected["output"]
    many = np.concatenate([images, images[:1]])
    found = network("residual", exporter).tapped([Tap(OUTPUT)], batch=3)(many)[0]
    assert relative_error(np.asarray(found), np.concatenate([output, output[:1]])) < 1e-5


def test_normalisations_are_parameters_of_their_own():
    weights = network("residual", "followed").weights(["2/conv1"])["2/conv1"]
    assert not np.allclose(weights.scale, 1)
    assert network("residual", "followed").graph.by_name["2/conv1"].activation == "ReLU"
