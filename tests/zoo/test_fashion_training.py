"""Training on a few made-up images: it learns, it repeats itself exactly, and it writes what its card says."""

import hashlib
from itertools import pairwise
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from generator.errors import OutputError
from generator.zoo import fashion_training
from generator.zoo.fashion_card import Setup, facts, read_card
from generator.zoo.fashion_training import _augment, choose_probes, predict, run, train

TINY = Setup(epochs=4, batch_size=16, peak_learning_rate=0.05, num_validation=16)


def bars(num_images, seed):
    """Ten classes that are easy to tell apart: a bright bar, two rows for each class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(num_images) % 10).astype(np.uint8)
    images = rng.integers(0, 40, (num_images, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label] = 250
    return images, labels


@pytest.fixture(scope="module")
def trained():
    reports = []
    return train(*bars(64, seed=1), TINY, 7, reports.append), reports


@pytest.fixture
def tiny_run(monkeypatch):
    """`run` on 80 + 40 made-up images."""
    monkeypatch.setattr(fashion_training, "Setup", lambda epochs: TINY.model_copy(update={"epochs": epochs}))
    train_images, train_labels = bars(80, seed=1)
    test_images, test_labels = bars(40, seed=2)
    data = SimpleNamespace(
        name="Bars",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        digests={"bars": "ab"},
    )
    return lambda out, seed=7: run(data, out, TINY.epochs, seed, lambda _: None)


def test_the_loss_falls(trained):
    _, reports = trained
    assert [(report.epoch, report.step, report.num_steps) for report in reports] == [(3, 10, 16), (4, 16, 16)]
    assert reports[-1].loss < 0.95 * reports[0].loss
    assert reports[-1].accuracy > reports[0].accuracy


def test_snapshots_are_kept_at_the_stated_steps_and_move(trained):
    snapshots, _ = trained
    assert [snapshot.step for snapshot in snapshots] == [0, 4, 8, 10, 12, 16]
    kernels = [snapshot.tensors["conv3/kernel"] for snapshot in snapshots]
    assert all(np.abs(a - b).max() > 1e-4 for a, b in pairwise(kernels))
    assert np.all(snapshots[0].tensors["norm1/mean"] == 0)
    assert np.all(snapshots[-1].tensors["norm1/mean"] != 0)


def test_two_trainings_write_the_same_bytes(tiny_run, tmp_path):
    for name in ("a", "b"):
        tiny_run(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert "final.safetensors" in map(str, files)
    assert files == sorted(path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*") if path.is_file())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_the_card_tells_what_was_written(tiny_run, tmp_path, trained):
    (tmp_path / "along").mkdir()
    (tmp_path / "along" / "step-000099.safetensors").write_bytes(b"of an earlier, longer training")
    card = tiny_run(tmp_path, seed=8)
    assert read_card(tmp_path / "card.json") == card
    assert [checkpoint.step for checkpoint in card.checkpoints] == [0, 4, 8, 10, 12, 16]
    assert [checkpoint.epoch for checkpoint in card.checkpoints] == [0, 1, 2, 2.5, 3, 4]
    assert {f"along/{path.name}" for path in (tmp_path / "along").iterdir()} == {c.file for c in card.checkpoints[:-1]}
    test_images, test_labels = bars(40, seed=2)
    for checkpoint in card.checkpoints:
        content = (tmp_path / checkpoint.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checkpoint.digest
        tensors = load_file(tmp_path / checkpoint.file)
        assert {str(tensor.dtype) for tensor in tensors.values()} == {checkpoint.dtype}
        assert np.mean(predict(tensors, test_images) == test_labels) == checkpoint.test_accuracy
    confusion = np.array(card.confusion)
    predicted = predict(tensors, test_images)
    for truth, guess in np.ndindex(10, 10):
        assert confusion[truth, guess] == np.sum((test_labels == truth) & (predicted == guess))
    assert card.test_accuracy == card.num_test_correct / 40 == card.checkpoints[-1].test_accuracy
    assert card.num_train == 64
    validated = predict(tensors, bars(80, seed=1)[0][64:]) == bars(80, seed=1)[1][64:]
    assert card.validation_accuracy == validated.mean()
    assert dict(facts(card))["Training"] == "4 epochs, 16 steps of 16 images, seed 8"
    untrained = load_file(tmp_path / card.checkpoints[0].file)["conv1/kernel"]
    assert np.abs(untrained - trained[0][0].tensors["conv1/kernel"]).max() > 0.01  # another seed, another start


def test_validation_and_test_images_do_not_train(tiny_run, tmp_path, monkeypatch, trained):
    seen = {}

    def recorded(images, labels, *rest):
        seen["images"], seen["labels"] = images, labels
        return trained[0]

    monkeypatch.setattr(fashion_training, "train", recorded)
    tiny_run(tmp_path)
    np.testing.assert_array_equal(seen["images"], bars(80, seed=1)[0][:64])
    np.testing.assert_array_equal(seen["labels"], bars(80, seed=1)[1][:64])


def test_an_output_folder_that_is_a_file(tiny_run, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="--out"):
        tiny_run(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_augmentation_shifts_and_mirrors_each_image_by_itself():
    images = np.zeros((200, 9, 9), np.uint8)
    images[:, 4, 2] = 1
    augmented = np.asarray(_augment(images, jax.random.key(0), 1))
    assert augmented.sum(axis=(1, 2)).tolist() == [1] * 200
    places = {tuple(map(int, np.argwhere(image)[0])) for image in augmented}
    assert places == {(row, column) for row in (3, 4, 5) for column in (1, 2, 3, 5, 6, 7)}


def test_probes_are_the_first_of_each_class():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 30))
    indices = choose_probes(labels)
    assert labels[indices].tolist() == np.repeat(np.arange(10), 20).tolist()
    for label in range(10):
        chosen = indices[label * 20 : label * 20 + 20]
        assert np.all(np.diff(chosen) > 0)
        assert np.sum(labels[: chosen[-1] + 1] == label) == 20
