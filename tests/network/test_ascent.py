"""Climbs against gradients written out by hand: every layer, both ways, however the network is divided."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from generator.errors import NetworkError
from generator.network import ascent
from generator.network.execute import Network

SHAPE = (15, 13, 3)
RECTIFIED = {"stem", "depthwise", "add_1", "down", "widen"}


class Small(nn.Module):
    """Strided, depthwise, 1 x 1 and grouped convolutions, addition, concatenation, pooling, a dense head.

    seen: takes every pre-activation, by the name its layer gets.
    """

    @nn.compact
    def __call__(self, x, seen=None):
        def keep(name, value):
            if seen is not None:
                seen[name] = value
            return value

        stem = nn.Conv(6, (3, 3), 2, "SAME", use_bias=False, name="stem")(x)
        x = nn.relu6(keep("stem", nn.BatchNorm(use_running_average=True, name="norm")(stem)))
        y = keep("depthwise", nn.Conv(6, (3, 3), feature_group_count=6, name="depthwise")(x))
        y = keep("project", nn.Conv(6, (1, 1), name="project")(nn.relu6(y)))
        x = nn.relu(keep("add_1", x + y))
        down = nn.relu(keep("down", nn.Conv(6, (3, 3), 2, feature_group_count=6, name="down")(x)))
        pooled = keep("max_pool_1", nn.max_pool(x, (3, 3), (2, 2), "SAME"))
        x = keep("concat_1", jnp.concatenate([down, pooled], axis=-1))
        x = nn.silu(keep("widen", nn.Conv(8, (3, 3), feature_group_count=2, name="widen")(x)))
        x = keep("mean_1", x.mean((1, 2)))
        return keep("head", nn.Dense(5, name="head")(x))


def shaken(variables):
    """Random statistics and biases too: zeros and ones would hide a forgotten term."""
    keys = iter(jax.random.split(jax.random.key(1), 99))
    variables = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(next(keys), leaf.shape), variables)
    variables["batch_stats"]["norm"]["var"] = jnp.abs(variables["batch_stats"]["norm"]["var"]) + 0.2
    return variables


@pytest.fixture(scope="module")
def small():
    module = Small()
    variables = shaken(module.init(jax.random.key(0), jnp.zeros((1, *SHAPE))))
    images = np.asarray(jax.random.normal(jax.random.key(2), (4, *SHAPE)), np.float32)
    return Network(module.apply, variables, SHAPE), module, variables, images


def pre_activations(module, variables, images):
    seen = {}
    module.apply(variables, images, seen)
    return seen


def by_hand(value, units, signs, where, rectified):
    """Scores and peaks of one layer's `value`, `(n, h, w, c)` or `(n, c)`: loops over images. where: mean or centre."""
    scores, peaks = [], []
    for one, unit, sign in zip(value, units, signs, strict=True):
        answers = one[..., unit] * sign
        chosen = answers
        if answers.ndim == 2 and where == "centre":
            chosen = answers[answers.shape[0] // 2, answers.shape[1] // 2]
        any_above = jnp.any(chosen > 0)
        counted = jnp.where(any_above, jnp.maximum(chosen, 0), chosen) if rectified else chosen
        scores.append(counted.mean())
        peaks.append(answers.max())
    return jnp.stack(scores), jnp.stack(peaks)


@pytest.fixture(scope="module")
def expected(small):
    """`(scores, peaks, gradient)` of a layer and units, by hand: automatic differentiation of the plain module."""
    _, module, variables, images = small

    @jax.jit
    def of(units, signs, where):
        found = {}
        for number, name in enumerate(pre_activations(module, variables, images)):

            def total(x, name=name, number=number):
                value = pre_activations(module, variables, x)[name]
                both = [by_hand(value, units[number], signs, at, name in RECTIFIED) for at in ("mean", "centre")]
                scores, peaks = (jnp.where(where == 0, a, b) for a, b in zip(*both, strict=True))
                return scores.sum(), (scores, peaks)

            gradient, (scores, peaks) = jax.grad(total, has_aux=True)(images)
            found[name] = scores, peaks, gradient
        return found

    return of


#: A unit, its negative, one of twice the weight, and none.
SIGNS = np.array([1, -1, 2, 0], np.float32)


def some_units(names, graph):
    """Of each layer, for each of `SIGNS`."""
    random = np.random.default_rng(0)
    return np.stack([random.integers(graph.by_name[name].num_units, size=len(SIGNS)) for name in names])


@pytest.mark.parametrize("where", ["mean", "centre"])
@pytest.mark.parametrize("most", [1, 4, 99])
def test_every_layer_equals_the_plain_gradient(small, expected, monkeypatch, where, most):
    network, module, variables, images = small
    names = list(pre_activations(module, variables, images))
    assert [layer.name for layer in network.graph.layers] == names
    divided, real = [], ascent._segments
    monkeypatch.setattr(ascent, "MOST_SEGMENTS", most)
    monkeypatch.setattr(ascent, "_segments", lambda *given: divided.append(real(*given)) or divided[-1])
    found = network.ascent(reversed(names), getattr(ascent, {"mean": "everywhere"}.get(where, where)), batch=len(images))
    assert found.layers == tuple(names)
    assert len(divided[0]) == {1: 1, 4: 3, 99: 10}[most]
    units = some_units(names, network.graph)
    run = jax.jit(found.function)
    shut = np.zeros(len(images), bool)
    oracle = expected(units, SIGNS, 0 if where == "mean" else 1)
    for number, name in enumerate(names):
        scores, peaks, gradient = run(found.constants, images, number, units[number], SIGNS, shut)
        for ours, theirs in zip((scores, peaks, gradient), oracle[name], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5 * max(1, float(jnp.abs(theirs).max())), err_msg=name)
        assert np.abs(gradient[:3]).max(axis=(1, 2, 3)).min() > 0
        assert not np.any(gradient[3])


def test_an_early_layer_runs_nothing_behind_it(small, monkeypatch):
    """Weights that are no numbers would reach the gradient through any layer that ran (zero times NaN is NaN)."""
    _, module, variables, images = small
    broken = {**variables, "params": {**variables["params"]}}
    for name in ("widen", "head"):
        broken["params"][name] = jax.tree.map(lambda leaf: leaf * np.nan, variables["params"][name])
    names = list(pre_activations(module, variables, images))
    reached = {}
    for most in (1, 99):
        monkeypatch.setattr(ascent, "MOST_SEGMENTS", most)
        found = Network(module.apply, broken, SHAPE).ascent(names, ascent.everywhere, batch=1)
        run = jax.jit(found.function)
        reached[most] = [
            np.isfinite(run(found.constants, images[:1], number, np.array([0]), np.ones(1), np.array([False]))[2]).all()
            for number in range(len(names))
        ]
    assert reached[99] == [name not in ("widen", "mean_1", "head") for name in names]
    assert not any(reached[1])  # else this test would see nothing


# -- finite differences ------------------------------------------------------------------------------------------------


def padded(x, kernel_size, stride):
    """`x` `(h, w, c)` as SAME padding has it."""
    pads = []
    for length in x.shape[:2]:
        total = max(0, (-(-length // stride) - 1) * stride + kernel_size - length)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, (*pads, (0, 0)))


def loop_conv(x, kernel, stride, *, depthwise=False):
    x = padded(x, kernel.shape[0], stride)
    kh, kw, _, cout = kernel.shape
    rows, columns = (x.shape[0] - kh) // stride + 1, (x.shape[1] - kw) // stride + 1
    out = np.zeros((rows, columns, cout))
    for row in range(rows):
        for column in range(columns):
            patch = x[row * stride : row * stride + kh, column * stride : column * stride + kw]
            if depthwise:
                out[row, column] = (patch * kernel[:, :, 0]).sum((0, 1))
            else:
                out[row, column] = np.tensordot(patch, kernel, 3)
    return out


def down_in_numpy(variables, image):
    """The pre-activation of `down`, in float64 and from plain loops."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    stats = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["batch_stats"]["norm"])
    stem = loop_conv(image, p["stem"]["kernel"], 2)
    stem = (stem - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * p["norm"]["scale"] + p["norm"]["bias"]
    x = np.clip(stem, 0, 6)
    y = np.clip(loop_conv(x, p["depthwise"]["kernel"], 1, depthwise=True) + p["depthwise"]["bias"], 0, 6)
    x = np.maximum(x + y @ p["project"]["kernel"][0, 0] + p["project"]["bias"], 0)
    return loop_conv(x, p["down"]["kernel"], 2, depthwise=True) + p["down"]["bias"]


def test_one_layer_by_finite_differences(small):
    network, _, variables, images = small
    found = network.ascent(["down"], ascent.everywhere, batch=1)
    image = images[1].astype(np.float64)

    def score(pixels):
        answers = -2 * down_in_numpy(variables, pixels)[..., 5]
        return np.maximum(answers, 0).mean()

    asked = np.array([5]), np.array([-2.0]), np.array([False])
    scores, peaks, gradient = jax.jit(found.function)(found.constants, images[1:2], 0, *asked)
    np.testing.assert_allclose(scores[0], score(image), rtol=1e-5)
    np.testing.assert_allclose(peaks[0], (-2 * down_in_numpy(variables, image)[..., 5]).max(), rtol=1e-5)
    places = np.random.default_rng(3).choice(image.size, 14, replace=False)
    for place in places:
        step = np.zeros(image.size)
        step[place] = 1e-6
        step = step.reshape(image.shape)
        slope = (score(image + step) - score(image - step)) / 2e-6
        np.testing.assert_allclose(np.ravel(gradient)[place], slope, atol=1e-5)


# -- what counts ---------------------------------------------------------------------------------------------------------


def test_answers_below_zero_count_only_where_there_are_no_others():
    """A kernel of one number on four pixels, so that everything can be told by looking."""

    def apply(params, images):
        return nn.relu(images @ params["one"]["kernel"])

    network = Network(apply, {"one": {"kernel": jnp.ones((1, 1))}}, (2, 2, 1))
    found = network.ascent(["one"], ascent.everywhere, batch=3)
    images = np.array([[[4.0, -2], [2, -8]], [[-4, -2], [-2, -8]], [[-1, 1], [1, -1]]], np.float32)[..., None]
    signs = np.array([1.0, 1, -1], np.float32)
    scores, peaks, gradient = found.function(found.constants, images, 0, np.zeros(3, int), signs, np.zeros(3, bool))
    np.testing.assert_allclose(scores, [1.5, -4, 0.5])
    np.testing.assert_allclose(peaks, [4, -2, 1])
    quarters = [[[1, 0], [1, 0]], [[1, 1], [1, 1]], [[-1, 0], [0, -1]]]
    np.testing.assert_allclose(gradient[..., 0], np.array(quarters) / 4)


def test_shut_rectifiers_let_the_gradient_through_where_they_are_open():
    """Two 1 x 1 layers with a ReLU between, shut everywhere: by hand, in NumPy."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(3, 4)).astype(np.float32), random.normal(size=(4, 2)).astype(np.float32)

    def apply(params, images):
        return nn.relu(images @ params["first"]["kernel"] - 9.0) @ params["second"]["kernel"]

    network = Network(apply, {"first": {"kernel": first}, "second": {"kernel": second}}, (2, 3, 3))
    found = network.ascent(["first", "second"], ascent.everywhere, batch=2)
    images = random.normal(size=(2, 2, 3, 3)).astype(np.float32)
    units, signs = np.ones(2, int), np.ones(2)
    for is_open in ([False, False], [True, False], [True, True]):
        _, _, gradient = found.function(found.constants, images, 1, units, signs, np.array(is_open))
        onto_hidden = second[:, 1] / 6  # the mean over six positions
        passed = np.where(onto_hidden > 0, onto_hidden, 0)  # only what opens the rectifier further
        for one, opened in zip(gradient, is_open, strict=True):
            np.testing.assert_allclose(one, np.broadcast_to(first @ passed * opened, one.shape), rtol=1e-5, atol=1e-7)
            assert np.any(one) == opened


def test_one_position_of_a_map(small):
    network, module, variables, images = small
    found = network.ascent(["add_1", "head"], ascent.at(2, 5), batch=4)
    scores, _, _ = jax.jit(found.function)(found.constants, images, 0, np.full(4, 3), np.ones(4), np.zeros(4, bool))
    np.testing.assert_allclose(scores, pre_activations(module, variables, images)["add_1"][:, 2, 5, 3], atol=1e-5)


# -- other objectives, other layouts -------------------------------------------------------------------------------------


def test_climbable_gives_values_and_gradients(small):
    network, module, variables, images = small
    names = ["max_pool_1", "widen", "head"]
    found = network.climbable(names, batch=4)
    weights = {name: jax.random.normal(jax.random.key(9), (network.graph.by_name[name].num_units,)) for name in names}

    def total(values):
        return sum(jnp.sum(jnp.tanh(values[name]) @ weights[name]) for name in names)

    shut = np.zeros(4, bool)
    ours, of_ours = jax.jit(jax.value_and_grad(lambda x: total(found.function(found.constants, x, shut))))(images)
    theirs, of_theirs = jax.jit(jax.value_and_grad(lambda x: total(pre_activations(module, variables, x))))(images)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(of_ours, of_theirs, atol=1e-5 * float(jnp.abs(of_theirs).max()) + 1e-6)
    values = found.function(found.constants, images, shut)
    assert list(values) == names
    for name, value in values.items():
        np.testing.assert_allclose(value, pre_activations(module, variables, images)[name], atol=2e-5)


def channels_first(params, images, seen):
    """A network that keeps its channels in front, as those from other frameworks do."""
    numbers = ("NCHW", "OIHW", "NCHW")
    x = jnp.transpose(images, (0, 3, 1, 2))
    x = lax.conv_general_dilated(x, params["a"]["kernel"], (2, 1), "SAME", dimension_numbers=numbers)
    seen["a"] = x = x + params["a"]["bias"][:, None, None]
    x = nn.relu(x)
    seen["b"] = lax.conv_general_dilated(x, params["b"]["kernel"], (1, 1), "VALID", dimension_numbers=numbers)
    return seen["b"].mean((2, 3)) @ params["c"]["kernel"]


def test_channels_in_front():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "a": {"kernel": jax.random.normal(keys[0], (5, 2, 3, 3)), "bias": jax.random.normal(keys[1], (5,))},
        "b": {"kernel": jax.random.normal(keys[2], (4, 5, 2, 2))},
        "c": {"kernel": jnp.ones((4, 3))},
    }
    network = Network(lambda params, images: channels_first(params, images, {}), params, (7, 9, 2))
    images = jax.random.normal(keys[3], (3, 7, 9, 2))
    units, signs, shut = np.array([1, 0, 3]), np.array([1, -1, 2], np.float32), np.zeros(3, bool)

    def value(x, name):
        seen = {}
        channels_first(params, x, seen)
        return jnp.transpose(seen[name], (0, 2, 3, 1))

    climbable = network.climbable(["a", "b"], batch=3)
    for where in ("mean", "centre"):
        found = network.ascent(["a", "b"], ascent.everywhere if where == "mean" else ascent.centre, batch=3)
        for number, name in enumerate(found.layers):

            def total(x, name=name, where=where):
                scores, _ = by_hand(value(x, name), units, signs, where, name == "a")
                return scores.sum(), scores

            gradient, scores = jax.grad(total, has_aux=True)(images)
            ours = found.function(found.constants, images, number, units, signs, shut)
            np.testing.assert_allclose(ours[0], scores, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(ours[2], gradient, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(
                climbable.function(climbable.constants, images, shut)[name], value(images, name), atol=1e-5
            )


@pytest.mark.parametrize("way", ["ascent", "climbable"])
def test_a_layer_that_does_not_exist(small, way):
    more = {"positions": ascent.everywhere} if way == "ascent" else {}
    with pytest.raises(NetworkError, match=r"no layer 'steam'; did you mean 'stem'\?"):
        getattr(small[0], way)(["steam"], batch=1, **more)
