"""Faults that were put into a trained network are all found, and no others."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from generator import sources
from generator.config.sources import ZooSource
from generator.network import census as censuses
from generator.network.execute import Network, Tapped, Weights
from generator.views.health import Thresholds, measure
from generator.zoo.fashion_card import FOLDER, PREPROCESSING

PLANTS = ("zeroed", "biased", "copied", "negated", "shrunk")


class Fashion:
    """The trained Fashion CNN and some of its shipped images. Weights may be exchanged without compiling anew."""

    def __init__(self):
        model = sources.load(ZooSource(kind="zoo", name="fashion_cnn"), Path("."))
        self.network = Network(model.apply, model.params, model.input_shape)
        self.layers = [layer for layer in self.network.graph.layers if layer.has_kernel]
        self.names = [layer.name for layer in self.layers]
        self.weights = self.network.weights(self.names)
        with np.load(FOLDER / "probes.npz") as archive:
            pixels = archive["images"][::6, ..., None][:32] / 255
        self.images = ((pixels - PREPROCESSING.mean[0]) / PREPROCESSING.std[0]).astype(np.float32)
        self.run = censuses.compiled(self.network, self.names, len(self.images))

    def constants(self, weights):
        """What the compiled census reads: of each layer the folded kernel and the offset."""
        return [
            jnp.asarray(a) for name in self.names for a in (weights[name].kernel * weights[name].scale, weights[name].offset)
        ]

    def findings(self, weights):
        run = Tapped(self.run.function, self.constants(weights))
        number = len(self.images)
        taken, _ = censuses.census(self.network, self.names, lambda i: self.images[i], number, run=run)
        found = set()
        for layer in self.layers:
            own = weights[layer.name]
            told = measure(
                layer,
                taken[layer.name].arrays(),
                number,
                (own.kernel, own.scale, own.offset),
                sees_image=layer.inputs == ("input",),
                importance=None,
                thresholds=Thresholds(),
                is_output=layer.name in self.network.graph.outputs,
            )
            found |= {(layer.name, fault.kind, fault.unit) for fault in told.faults}
            found |= {(layer.name, "alike", *sorted((c.kept, twin.unit))) for c in told.clusters for twin in c.others}
            found |= {(layer.name, "opposite", pair.first, pair.second) for pair in told.opposites}
        return found

    def planted(self, kind, name, random):
        """All weights with one fault in the layer `name`, and what should be found of it."""
        own = self.weights[name]
        kernel, scale, offset = own.kernel.copy(), own.scale.copy(), own.offset.copy()
        unit, model = random.choice(len(scale), 2, replace=False).tolist()
        if kind == "zeroed":
            kernel[..., unit] = 0
            expected = {(name, "weightless", unit), (name, "constant" if offset[unit] > 0 else "silent", unit)}
        elif kind == "biased":
            offset[unit] = -1000
            expected = {(name, "silent", unit)}
        elif kind == "copied":
            first, second = random.uniform(0.4, 2.5, 2)
            kernel[..., unit], scale[unit] = kernel[..., model] * first, scale[model] * second
            offset[unit] = offset[model] * first * second
            expected = {(name, "alike", *sorted((unit, model)))}
        elif kind == "negated":
            kernel[..., unit], scale[unit], offset[unit] = (
                -kernel[..., model],
                scale[model],
                offset[model] * random.choice([-1, 1]),
            )
            expected = {(name, "opposite", *sorted((unit, model)))}
        else:  # no fault: the same answers, only weaker
            kernel[..., unit] *= 0.05
            offset[unit] *= 0.05
            expected = set()
        return {**self.weights, name: Weights(kernel, scale, offset)}, expected


@pytest.fixture(scope="module")
def fashion():
    return Fashion()


def test_the_network_that_faults_are_planted_in_is_the_trained_one(fashion):
    for own, given_ in zip(fashion.constants(fashion.weights), fashion.run.constants, strict=True):
        np.testing.assert_allclose(own, given_, rtol=1e-5, atol=1e-6)


def test_all_planted_faults_are_found_and_no_others(fashion):
    random = np.random.default_rng(0)
    before = fashion.findings(fashion.weights)
    reported, right = 0, 0
    missed = []
    for trial in range(200):
        kind = PLANTS[trial % len(PLANTS)]
        name = fashion.names[random.integers(5)]
        weights, expected = fashion.planted(kind, name, random)
        found = fashion.findings(weights)
        missed += [(kind, one) for one in expected - found]
        reported += len(found)
        right += len(found & (expected | before))
    assert missed == []
    assert reported >= 200
    assert right / reported >= 0.99


def test_the_untouched_network_has_no_silent_unit_that_ever_fired(fashion):
    taken, _ = censuses.census(fashion.network, fashion.names, lambda i: fashion.images[i], 32, run=fashion.run)
    silent = {(name, unit) for name, kind, unit in fashion.findings(fashion.weights) if kind == "silent"}
    assert all(taken[name].fired[unit] == 0 for name, unit in silent)
