"""Units under masks against networks whose weights were changed by hand, and counts against a loop over single images."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.errors import NetworkError, ProbeError, Problem
from generator.network.ablation import ablate, importance
from generator.network.execute import OUTPUT, Network, Tap

NUM, SHAPE, CLASSES = 75, (9, 8, 3), 5


class Branching(nn.Module):
    """Residual and concatenated, with the kernels that are rewritten: a layer's units are read by one, two or three others."""

    @nn.compact
    def __call__(self, x):
        def norm(name):
            return nn.BatchNorm(use_running_average=True, name=name)

        x = nn.relu(norm("stem_norm")(nn.Conv(8, (3, 3), name="stem")(x)))
        inner = nn.relu6(norm("depth_norm")(nn.Conv(8, (3, 3), feature_group_count=8, name="depth")(x)))
        x = x + norm("point_norm")(nn.Conv(8, (1, 1), name="point")(inner))
        x = jnp.concatenate([x, nn.silu(nn.Conv(6, (3, 3), (2, 2), name="side")(x)).repeat(2, 1)[:, :9].repeat(2, 2)], -1)
        x = nn.max_pool(nn.relu(nn.Conv(12, (3, 3), feature_group_count=2, name="grouped")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(10, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(CLASSES, name="head")(x)


#: By layer, the parameters whose zeros make its units zero: those of its normalisation where there is one.
LAST = {
    "stem": "stem_norm",
    "depth": "depth_norm",
    "point": "point_norm",
    "side": "side",
    "grouped": "grouped",
    "hidden": "hidden",
    "head": "head",
}


@pytest.fixture(scope="module")
def case():
    return Case()


class Case:
    def __init__(self):
        random, module = np.random.default_rng(0), Branching()
        shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *SHAPE)))
        self.variables = jax.tree.map(lambda leaf: random.normal(0.1, 0.35, leaf.shape).astype(np.float32), shapes)
        for own in self.variables["batch_stats"].values():
            own["var"] = np.abs(own["var"]) + 0.3
        self.apply = jax.jit(module.apply)
        self.images = random.normal(size=(NUM, *SHAPE)).astype(np.float32)
        size = self.without({}).std()  # so that no name is certain
        self.variables["params"]["head"] = {n: 2 * leaf / size for n, leaf in self.variables["params"]["head"].items()}
        self.network = Network(module.apply, self.variables, SHAPE)
        self.labels = random.integers(0, CLASSES, NUM)
        right = np.arange(NUM) % 3 > 0
        self.labels[right] = self.without({})[right].argmax(axis=1)

    def without(self, experiment):
        """The outputs `(NUM, CLASSES)` after the last parameters of each unit were set to zero."""
        params = jax.tree.map(np.array, self.variables["params"])
        for layer, units in experiment.items():
            for leaf in params[LAST[layer]].values():
                leaf[..., list(units)] = 0
        return np.asarray(self.apply({**self.variables, "params": params}, self.images), np.float64)

    def mask(self, layer, units=()):
        found = np.ones((1, self.network.graph.by_name[layer].num_units), np.float32)
        found[:, list(units)] = 0
        return found


@pytest.fixture(params=[False, True], ids=["together", "one by one"])
def grouped(request, monkeypatch):
    if request.param:
        monkeypatch.setattr("generator.network.execute.GROUP_BYTES", 1)


def assert_close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("layer", LAST)
def test_a_masked_unit_is_one_whose_weights_are_zero(case, layer):
    number = case.network.graph.by_name[layer].num_units
    run = case.network.ablated([layer], batch=6)
    whole = case.without({})[:6]
    for units in ([0, 2], [1, number - 1], list(range(number))):
        wanted = case.without({layer: units})[:6]
        assert_close(run(case.images[:6], [case.mask(layer, units)]), wanted)
        assert np.abs(wanted - whole).max() > 1e-3 * np.abs(whole).max(), "nothing would show"


@pytest.mark.usefixtures("grouped")
def test_masks_of_several_layers_and_images_do_not_mix(case):
    layers = ["hidden", "stem", "side"]
    run = case.network.ablated(layers, batch=5)
    plain = case.network.tapped([Tap(OUTPUT)], batch=5)(case.images[:5])[0]
    assert_close(run(case.images[:5], [case.mask(layer) for layer in layers]), np.asarray(plain))
    experiment = {"hidden": [3], "stem": [0, 5], "side": [2]}
    masks = [case.mask(layer, units) for layer, units in experiment.items()]
    wanted = case.without(experiment)[:5]
    assert_close(run(case.images[:5], masks), wanted)
    # The same units, but of the second and the last image alone.
    chosen = np.array([0, 1, 0, 0, 1], bool)[:, None]
    some = [np.where(chosen, mask, 1).astype(np.float32) for mask in masks]
    assert_close(run(case.images[:5], some), np.where(chosen, wanted, case.without({})[:5]))


@pytest.mark.parametrize("layer", ["add_1", "concat_1", "max_pool_1"])
def test_nodes_without_kernels_have_masks_too(case, layer):
    run = case.network.ablated([layer], batch=3)
    none = case.mask(layer, range(case.network.graph.by_name[layer].num_units))
    found, other = (np.asarray(run(case.images[part], [none])) for part in (slice(0, 3), slice(3, 6)))
    np.testing.assert_allclose(found, other, rtol=1e-6)  # nothing passes, so that all images are the same
    assert np.ptp(np.asarray(run(case.images[:3], [case.mask(layer)])), axis=0).max() > 1e-3


def test_every_part_of_a_split_has_its_own_mask():
    def apply(params, x):
        first, second = jnp.split(x @ params["dense"], 2, axis=-1)
        return (first * 2 + jax.nn.relu(second)).mean((1, 2))

    random = np.random.default_rng(3)
    kernel, images = random.normal(size=(3, 4)).astype(np.float32), random.normal(size=(2, 3, 3, 3)).astype(np.float32)
    network = Network(apply, {"dense": kernel}, (3, 3, 3))
    values = images @ kernel
    wanted = {"slice_1": np.maximum(values[..., 2:], 0).mean((1, 2)), "slice_2": 2 * values[..., :2].mean((1, 2))}
    for layer, without in wanted.items():
        assert_close(network.ablated([layer], batch=2)(images, [np.zeros((1, 2), np.float32)]), without)


def test_masks_follow_the_order_of_axes():
    """A network that keeps rows, columns, channels and images in another order inside."""

    def apply(params, x):
        turned = jnp.transpose(x, (1, 2, 3, 0))
        numbers = ("HWCN", "HWIO", "HWCN")
        x = jax.nn.relu(jax.lax.conv_general_dilated(turned, params["conv"], (1, 1), "SAME", dimension_numbers=numbers))
        return x.mean((0, 1)).T

    random = np.random.default_rng(4)
    kernel, images = random.normal(size=(3, 3, 2, 4)).astype(np.float32), random.normal(size=(4, 5, 6, 2)).astype(np.float32)
    network, mask = Network(apply, {"conv": kernel}, (5, 6, 2)), np.array([[1, 0, 2, 1]], np.float32)
    plain = np.asarray(apply({"conv": kernel}, images))
    assert_close(network.ablated(["conv"], batch=4)(images, [mask]), plain * mask)
    each = random.random((4, 4)).astype(np.float32)
    assert_close(network.ablated(["conv"], batch=4)(images, [each]), plain * each)


@pytest.mark.parametrize("number", [75, 5, 1])
def test_counts_equal_a_loop_over_single_images(case, number):
    experiments = [{"stem": [1, 2]}, {}, {"point": [0], "hidden": range(5)}, {"head": [0, 3]}, {"side": range(6)}]
    labels = case.labels[:number].tolist()
    found = ablate(case.network, experiments, lambda i: case.images[i], number, labels=labels)
    before = case.without({})[:number]
    assert found.right == sum(int(output.argmax()) == label for output, label in zip(before, labels, strict=True))
    for place, experiment in enumerate(experiments):
        after = case.without(experiment)[:number]
        counts = {"kept": 0, "lost": 0, "won": 0, "changed": 0}
        for old, new, label in zip(before.argmax(axis=1), after.argmax(axis=1), labels, strict=True):
            counts["changed"] += int(old != new)
            outcome = {(True, True): "kept", (True, False): "lost", (False, True): "won"}.get((old == label, new == label))
            if outcome:
                counts[outcome] += 1
        assert {name: int(getattr(found, name)[place]) for name in counts} == counts
        shift = np.abs(after - before).mean() / np.abs(before).mean()
        assert found.shift[place] == pytest.approx(shift, rel=1e-3, abs=1e-6)
        assert found.kept[place] + found.lost[place] == found.right
    assert found.changed[1] == found.shift[1] == 0
    if number == NUM:
        assert found.lost.max() > 5
        assert found.won.max() > 0


def test_without_labels_only_names_are_compared(case):
    experiments = [{"stem": [1, 2]}, {"hidden": range(5)}]
    named = ablate(case.network, experiments, lambda i: case.images[i], 40)
    told = ablate(case.network, experiments, lambda i: case.images[i], 40, labels=case.labels.tolist())
    assert (named.right, named.kept.tolist(), named.lost.tolist(), named.won.tolist()) == (0, [0, 0], [0, 0], [0, 0])
    np.testing.assert_array_equal(named.changed, told.changed)
    np.testing.assert_array_equal(named.shift, told.shift)


@pytest.fixture(scope="module")
def slopes(case):
    """Of each of 40 images by layer. Units of a ReLU are weakened by weakening their weights: the module's own slope."""

    def said(factors, image):
        params = dict(case.variables["params"])
        for layer, factor in factors.items():
            params[LAST[layer]] = {name: leaf * factor for name, leaf in params[LAST[layer]].items()}
        return jax.nn.log_softmax(Branching().apply({**case.variables, "params": params}, image[None])[0]).max()

    layers = ["stem", "grouped", "hidden", "head", "point"]
    ones = {layer: jnp.ones(case.network.graph.by_name[layer].num_units) for layer in layers}
    found = jax.jit(jax.vmap(jax.grad(said), (None, 0)))(ones, case.images[:40])
    return {layer: np.asarray(found[layer], np.float64) for layer in layers}


@pytest.mark.parametrize(("number", "bytes_"), [(40, 10 << 20), (40, 1), (3, 10 << 20)])
def test_importance_is_the_mean_of_each_images_squared_slope(case, slopes, number, bytes_, monkeypatch):
    monkeypatch.setattr("generator.network.execute.GROUP_BYTES", bytes_)
    found = importance(case.network, list(slopes), lambda i: case.images[i], number)
    assert list(found) == list(slopes)
    for layer, each in slopes.items():
        assert_close(found[layer], np.square(each[:number]).mean(axis=0))
        assert found[layer].max() > 1e-3


def test_what_does_not_exist_or_cannot_be_read_is_named(case):
    def read(number):
        if number in (3, 40):
            raise ProbeError(Problem(f"{number}.png", "damaged"))
        return case.images[number]

    with pytest.raises(NetworkError, match="stemm"):
        case.network.ablated(["stemm"], batch=1)
    for measure in (
        lambda: ablate(case.network, [{"stem": [0]}], read, NUM),
        lambda: importance(case.network, ["stem"], read, NUM),
    ):
        with pytest.raises(ProbeError) as caught:
            measure()
        assert [str(problem) for problem in caught.value.problems] == ["3.png: damaged", "40.png: damaged"]
