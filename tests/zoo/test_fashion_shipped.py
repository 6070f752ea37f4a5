"""The checkpoints, card and images that ship: every claim of the card is counted again from the files."""

import hashlib

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from generator.probes import fashion_mnist
from generator.zoo.fashion_card import FOLDER, LABELS, PREPROCESSING, shipped_card
from generator.zoo.fashion_cnn import unflatten
from generator.zoo.fashion_training import choose_probes, predict
from generator.zoo.registry import entry

MAX_BYTES = 4_000_000


@pytest.fixture(scope="module")
def final():
    return load_file(FOLDER / "final.safetensors")


@pytest.fixture(scope="module")
def probes():
    with np.load(FOLDER / "probes.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_accuracy_on_the_shipped_images_is_the_cards(final, probes):
    card = shipped_card()
    correct = int(np.sum(predict(final, probes["images"]) == probes["labels"]))
    assert correct == card.probes.num_correct
    assert correct >= 0.9 * card.probes.num_images


def test_the_images_are_balanced_and_named(probes):
    assert probes["images"].shape == (200, 28, 28)
    assert probes["images"].dtype == np.uint8
    assert np.bincount(probes["labels"]).tolist() == [20] * 10
    assert tuple(probes["label_names"]) == LABELS
    assert len(set(probes["indices"].tolist())) == shipped_card().probes.num_images == 200


@pytest.mark.skipif(fashion_mnist.find() is None, reason="Fashion-MNIST is not on this machine")
def test_the_images_are_those_of_the_test_set(probes):
    data = fashion_mnist.load(fashion_mnist.find())
    np.testing.assert_array_equal(probes["indices"], choose_probes(data.test_labels))
    np.testing.assert_array_equal(probes["images"], data.test_images[probes["indices"]])
    np.testing.assert_array_equal(probes["labels"], data.test_labels[probes["indices"]])


def test_the_card_names_every_file_with_its_size_and_digest():
    card = shipped_card()
    for checkpoint in card.checkpoints:
        content = (FOLDER / checkpoint.file).read_bytes()
        assert len(content) == checkpoint.num_bytes
        assert hashlib.sha256(content).hexdigest() == checkpoint.digest
    named = {checkpoint.file for checkpoint in card.checkpoints} | {"card.json", "probes.npz", "findings.json", "findings.zip"}
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.relative_to(FOLDER).as_posix() for path in files} == named
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_the_accuracy_is_as_good_as_promised_and_adds_up():
    card = shipped_card()
    confusion = np.array(card.confusion)
    assert card.num_test == confusion.sum() == 10_000
    assert card.num_test_correct == np.trace(confusion)
    assert card.test_accuracy == card.num_test_correct / card.num_test >= 0.93
    assert card.class_accuracy == tuple(np.diag(confusion) / confusion.sum(axis=1))
    assert card.data_digests == {file.name: file.sha256 for file in fashion_mnist.FILES}


def test_checkpoints_along_the_way_start_untrained_and_improve(probes):
    checkpoints = shipped_card().checkpoints
    assert len(checkpoints) >= 8
    assert checkpoints[0].step == 0
    assert checkpoints[-1].step == shipped_card().num_steps
    assert [checkpoint.step for checkpoint in checkpoints] == sorted({checkpoint.step for checkpoint in checkpoints})
    assert checkpoints[0].test_accuracy < 0.3
    assert checkpoints[-1].test_accuracy == max(checkpoint.test_accuracy for checkpoint in checkpoints)
    for checkpoint in checkpoints:
        tensors = load_file(FOLDER / checkpoint.file)
        assert {str(tensor.dtype) for tensor in tensors.values()} == {checkpoint.dtype}
        assert all(np.isfinite(tensor).all() for tensor in tensors.values())
        share = np.mean(predict(tensors, probes["images"]) == probes["labels"])
        assert share == pytest.approx(checkpoint.test_accuracy, abs=0.12)  # 200 of 10,000 images: three standard errors


def test_the_number_of_parameters_is_the_cards(final):
    params = jax.tree.leaves(nnx.state(unflatten(final), nnx.Param))
    assert sum(param.size for param in params) == shipped_card().num_params <= 100_000


def test_the_registry_knows_it(final, probes):
    model = entry("fashion_cnn")
    assert model.weights() == FOLDER / "final.safetensors"
    assert model.labels() == LABELS
    assert dict(model.facts())["Test accuracy"].startswith(f"{shipped_card().test_accuracy:.2%}")
    assert model.preprocessing == PREPROCESSING
    assert (*model.preprocessing.size_px, 1) == model.input_shape
    # Its preprocessing, followed by hand, gives the accuracy of the card.
    inputs = (probes["images"] / 255.0 - model.preprocessing.mean[0]) / model.preprocessing.std[0]
    predicted = unflatten(final)(inputs[..., None].astype(np.float32)).argmax(axis=-1)
    assert np.sum(predicted == probes["labels"]) == shipped_card().probes.num_correct
