"""The Fashion CNN against the same network written out in NumPy, and the form of its checkpoints."""

import jax
import numpy as np
import pytest
from flax import nnx

from generator.zoo.fashion_cnn import BATCH_NORM_EPSILON, FashionCnn, flatten, unflatten
from generator.zoo.fashion_training import _TrainedFashionCnn

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(scope="module")
def tensors():
    """A checkpoint in which every tensor, statistics too, is far from where it starts."""
    rng = np.random.default_rng(3)
    untrained = flatten(nnx.state(FashionCnn(rngs=nnx.Rngs(0))))
    return {
        name: (tensor + (rng.uniform(0.2, 0.9, tensor.shape) if tensor.ndim == 1 else 0)).astype(np.float32)
        for name, tensor in untrained.items()
    }


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).normal(size=(3, 28, 28, 1)).astype(np.float32)


def conv_same(x, kernel):
    size = kernel.shape[0]
    margin = size // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    out = np.zeros((*x.shape[:3], kernel.shape[3]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            out[:, row, column] = np.tensordot(padded[:, row : row + size, column : column + size], kernel, 3)
    return out


def max_pool(x):
    return np.stack([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]).max(axis=0)


def oracle(tensors, images):
    x = images.astype(np.float64)
    for number, name in enumerate(CONVOLUTIONS, start=1):
        norm = {part: tensors[f"norm{number}/{part}"] for part in ("scale", "bias", "mean", "var")}
        x = conv_same(x, tensors[f"{name}/kernel"].astype(np.float64))
        x = (x - norm["mean"]) / np.sqrt(norm["var"] + BATCH_NORM_EPSILON) * norm["scale"] + norm["bias"]
        x = np.maximum(x, 0)
        if name in ("conv1", "conv3"):
            x = max_pool(x)
    return x.mean(axis=(1, 2)) @ tensors["classifier/kernel"] + tensors["classifier/bias"]


def test_forward_equals_numpy(tensors, images):
    expected = oracle(tensors, images)
    assert np.ptp(expected, axis=0).min() > 1e-3  # the images do make a difference
    np.testing.assert_allclose(unflatten(tensors)(images), expected, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_comes_back_as_it_was(tensors):
    again = flatten(nnx.state(unflatten(tensors)))
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(again[name], tensor)


def test_half_precision_checkpoints_run_in_float32(tensors, images):
    half = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    widened = {name: tensor.astype(np.float32) for name, tensor in half.items()}
    logits = unflatten(half)(images)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, unflatten(widened)(images))


def test_it_is_small_and_its_first_kernels_are_large_enough_to_see():
    model = FashionCnn(rngs=nnx.Rngs(0))
    assert sum(param.size for param in jax.tree.leaves(nnx.state(model, nnx.Param))) == 98_674
    assert flatten(nnx.state(model))["conv1/kernel"].shape == (5, 5, 1, 24)


def test_pooling_in_training_is_the_same_function_with_the_same_gradient(images):
    x = jax.random.normal(jax.random.key(0), (2, 14, 14, 3))
    weights = jax.random.normal(jax.random.key(1), (2, 7, 7, 3))
    outside, training = FashionCnn(rngs=nnx.Rngs(0)).halve, _TrainedFashionCnn(rngs=nnx.Rngs(0)).halve
    np.testing.assert_array_equal(training(x), outside(x))
    np.testing.assert_array_equal(training(x), max_pool(np.asarray(x)))
    gradients = [jax.grad(lambda x, f=function: (f(x) * weights).sum())(x) for function in (outside, training)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)
