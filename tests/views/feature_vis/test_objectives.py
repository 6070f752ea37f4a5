"""Objectives against loops over numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.views.feature_vis.objectives import channel, deep_dream, direction, diversity, neuron

RANDOM = np.random.default_rng(0)
VALUES = {
    "map": RANDOM.normal(size=(3, 4, 5, 6)).astype(np.float32),
    "wide": RANDOM.normal(size=(3, 2, 2, 9)).astype(np.float32),  # more units than positions
    "vector": RANDOM.normal(size=(3, 7)).astype(np.float32),
}


def positions(value):
    """All vectors of one image's value."""
    return [value] if value.ndim == 1 else [value[place] for place in np.ndindex(value.shape[:2])]


def loop(layer, of):
    return [of([vector.astype(float) for vector in positions(value)]) for value in VALUES[layer]]


@pytest.mark.parametrize("layer", VALUES)
def test_channel(layer):
    expected = loop(layer, lambda vectors: sum(vector[4] for vector in vectors) / len(vectors))
    np.testing.assert_allclose(channel(layer, 4).of(VALUES), expected, rtol=1e-5)


def test_neuron():
    middle, corner = neuron("map", 2), neuron("map", 2, (3, 0))
    np.testing.assert_array_equal(middle.of(VALUES), VALUES["map"][:, 2, 2, 2])
    np.testing.assert_array_equal(corner.of(VALUES), VALUES["map"][:, 3, 0, 2])


@pytest.mark.parametrize("power", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("layer", VALUES)
def test_direction(layer, power):
    vector = RANDOM.normal(size=VALUES[layer].shape[-1])

    def of(vectors):
        total = 0.0
        for one in vectors:
            along = sum(a * b for a, b in zip(one, vector, strict=True))
            cosine = along / np.sqrt((one**2).sum() * (vector**2).sum())
            total += along * max(cosine, 0.1) ** power
        return total / len(vectors)

    found = direction(layer, vector.astype(np.float32), power)
    np.testing.assert_allclose(found.of(VALUES), loop(layer, of), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", VALUES)
def test_deep_dream(layer):
    expected = loop(layer, lambda vectors: sum(x * x for one in vectors for x in one) / sum(map(len, vectors)))
    np.testing.assert_allclose(deep_dream(layer).of(VALUES), expected, rtol=1e-5)


@pytest.mark.parametrize("layer", VALUES)
def test_diversity(layer):
    grams = []
    for value in VALUES[layer]:
        gram = np.zeros((value.shape[-1],) * 2)
        for vector in positions(value.astype(float)):
            gram += np.outer(vector, vector)
        grams.append(gram)
    expected = []
    for place, one in enumerate(grams):
        others = [other for number, other in enumerate(grams) if number != place]
        cosines = [(one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()) for other in others]
        expected.append(-sum(cosines) / len(cosines))
    np.testing.assert_allclose(diversity(layer).of(VALUES), expected, rtol=1e-4)
    assert -1 < min(expected) < max(expected) < 0


@pytest.mark.parametrize("layer", VALUES)
def test_one_image_alone_is_not_diverse(layer):
    alone = {layer: VALUES[layer][:1]}
    np.testing.assert_array_equal(diversity(layer).of(alone), [0.0])
    assert not np.any(jax.grad(lambda value: diversity(layer).of({layer: value}).sum())(alone[layer]))


def test_alike_images_are_least_diverse_and_dead_ones_have_a_gradient():
    same = {"map": np.repeat(VALUES["map"][:1], 2, axis=0)}
    np.testing.assert_allclose(diversity("map").of(same), [-1, -1], atol=1e-5)
    dead = jnp.zeros((2, 4, 4, 3))
    assert np.isfinite(jax.grad(lambda value: diversity("map").of({"map": value}).sum())(dead)).all()


def test_objectives_add_and_scale():
    one, other = channel("map", 1), neuron("wide", 3)
    a, b = np.asarray(one.of(VALUES)), np.asarray(other.of(VALUES))
    for made, expected in (
        (one + other, a + b),
        (one - other, a - b),
        (3 * one, 3 * a),
        (one * 0.5, a / 2),
        (-one, -a),
        (one - 2 * other + channel("map", 1), 2 * a - 2 * b),
    ):
        np.testing.assert_allclose(made.of(VALUES), expected, rtol=1e-5, atol=1e-6)
    assert (one - 2 * other + one).layers == ("map", "wide")
    assert (-one).layers == ("map",)
