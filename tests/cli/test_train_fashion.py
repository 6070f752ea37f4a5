"""`cnnscope train-fashion` from the command line to a checkpoint that a gallery can be built from."""

import json

import numpy as np
import pytest

from generator.cli import main
from generator.config.sources import ZooSource
from generator.probes import fashion_mnist
from generator.sources import load


@pytest.fixture
def random_clothes(monkeypatch):
    """A data set of the right form and far too small, in place of the real one."""
    rng = np.random.default_rng(0)

    def images(count: int) -> np.ndarray:
        return rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)

    def labels(count: int) -> np.ndarray:
        return np.arange(count, dtype=np.uint8) % 10

    data = fashion_mnist.FashionMnist(images(5300), labels(5300), images(300), labels(300), digests={"train": "0" * 64})
    monkeypatch.setattr(fashion_mnist, "obtain", lambda folder, report: data)


def test_a_trained_checkpoint_is_one_the_zoo_reads(random_clothes, tmp_path, capsys):
    assert main(["train-fashion", "--out", str(tmp_path), "--epochs", "1", "--seed", "3"]) == 0
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["setup"]["epochs"], card["seed"], card["num_train"]) == (1, 3, 300)
    said = capsys.readouterr().out
    assert f"{card['test_accuracy']:.2%} of the test images right" in said
    model = load(ZooSource(kind="zoo", name="fashion_cnn", weights=str(tmp_path / "final.safetensors")), tmp_path)
    logits = model.apply(model.params, np.zeros((2, 28, 28, 1), np.float32))
    assert logits.shape == (2, 10)


def test_a_folder_without_the_data_set_is_named(tmp_path, capsys):
    assert main(["train-fashion", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
