"""Taps, weights and prefixes against computations written out by hand."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.network.execute import OUTPUT, Network, Tap


def naive_conv(x: np.ndarray, kernel: np.ndarray, stride: int, pad: tuple[int, int], groups: int = 1) -> np.ndarray:
    """Convolution of `(h, w, cin)` as loops over positions and filters, in float64."""
    x = np.pad(x.astype(np.float64), (pad, pad, (0, 0)))
    kh, kw, width, cout = kernel.shape
    height, breadth = (x.shape[0] - kh) // stride + 1, (x.shape[1] - kw) // stride + 1
    out = np.zeros((height, breadth, cout))
    for row in range(height):
        for column in range(breadth):
            patch = x[row * stride : row * stride + kh, column * stride : column * stride + kw]
            for unit in range(cout):
                group = unit // (cout // groups)
                out[row, column, unit] = (patch[:, :, group * width : (group + 1) * width] * kernel[..., unit]).sum()
    return out


def naive_pool(x: np.ndarray, size: int, stride: int, reduce) -> np.ndarray:
    rows, columns = (x.shape[0] - size) // stride + 1, (x.shape[1] - size) // stride + 1
    windows = [
        [reduce(x[r * stride : r * stride + size, c * stride : c * stride + size], axis=(0, 1)) for c in range(columns)]
        for r in range(rows)
    ]
    return np.array(windows)


class Oracle(nn.Module):
    """Every kernel of ours once: strided dense 3 x 3, depthwise, 1 x 1, grouped, pooling, dense."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="norm")(nn.Conv(6, (3, 3), 2, "VALID", name="stem")(x)))
        x = nn.Conv(6, (3, 3), 1, ((1, 1), (1, 1)), feature_group_count=6, name="depthwise")(x)
        x = nn.max_pool(x, (3, 3), (2, 2))
        x = nn.Conv(4, (1, 1), name="pointwise", use_bias=False)(x)
        x = nn.Conv(8, (3, 3), 1, ((1, 1), (1, 1)), feature_group_count=2, name="grouped")(x)
        x = nn.avg_pool(x, (2, 2), (1, 1))
        return nn.Dense(5, name="head")(x.mean((1, 2)))


@pytest.fixture(scope="module")
def oracle():
    module, shape = Oracle(), (17, 19, 3)
    variables = module.init(jax.random.key(0), jnp.zeros((1, *shape)))
    keys = iter(jax.random.split(jax.random.key(1), 99))
    # random statistics and biases too: zeros and ones would hide a forgotten term
    variables = jax.tree.map(lambda leaf: jax.random.uniform(next(keys), leaf.shape, leaf.dtype, 0.3, 1.7) - 0.5, variables)
    variables["batch_stats"]["norm"]["var"] = jnp.abs(variables["batch_stats"]["norm"]["var"]) + 0.2
    images = np.asarray(jax.random.normal(jax.random.key(2), (3, *shape)), np.float32)
    return Network(module.apply, variables, shape), module, variables, images


def by_hand(variables, image):
    """Every value of `Oracle` for one image, in NumPy."""
    p, stats = jax.tree.map(np.asarray, variables["params"]), jax.tree.map(np.asarray, variables["batch_stats"]["norm"])
    found = {}
    stem = naive_conv(image, p["stem"]["kernel"], 2, (0, 0)) + p["stem"]["bias"]
    norm = (stem - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * p["norm"]["scale"] + p["norm"]["bias"]
    found["stem", "pre_activation"] = norm
    found["stem", "activation"] = np.maximum(norm, 0)
    x = naive_conv(found["stem", "activation"], p["depthwise"]["kernel"], 1, (1, 1), 6) + p["depthwise"]["bias"]
    found["depthwise", "activation"] = x
    found["max_pool_1", "activation"] = x = naive_pool(x, 3, 2, np.max)
    found["pointwise", "activation"] = x = naive_conv(x, p["pointwise"]["kernel"], 1, (0, 0))
    found["grouped", "activation"] = x = naive_conv(x, p["grouped"]["kernel"], 1, (1, 1), 2) + p["grouped"]["bias"]
    found["avg_pool_1", "activation"] = x = naive_pool(x, 2, 1, np.mean)
    found["mean_1", "activation"] = x = x.mean((0, 1))
    found[OUTPUT, "activation"] = x @ p["head"]["kernel"] + p["head"]["bias"]
    return found


def test_every_value_equals_naive_loops(oracle):
    network, _, variables, images = oracle
    expected = [by_hand(variables, image) for image in images]
    taps = [Tap(layer, value) for layer, value in expected[0]]
    for tap, values in zip(taps, network.tapped(taps, batch=3)(images), strict=True):
        for value, oracle_values in zip(values, expected, strict=True):
            reference = oracle_values[tap.layer, tap.value]
            np.testing.assert_allclose(value, reference, atol=1e-4 * np.abs(reference).max(), err_msg=str(tap))


def test_weights_give_the_pre_activation(oracle):
    network, _, variables, images = oracle
    weights = network.weights(["stem"])["stem"]
    np.testing.assert_array_equal(weights.kernel, variables["params"]["stem"]["kernel"])
    again = naive_conv(images[0], weights.kernel, 2, (0, 0)) * weights.scale + weights.offset
    np.testing.assert_allclose(again, by_hand(variables, images[0])["stem", "pre_activation"], rtol=1e-4, atol=1e-4)


def test_a_prefix_computes_nothing_behind_its_layer(oracle):
    network, _, _, images = oracle
    prefix = network.tapped([Tap("depthwise")])
    jaxpr = str(jax.make_jaxpr(prefix.function)(prefix.constants, images[:1]))
    pooled = "f32[1,3,4,6]"  # what the pooling behind it makes
    assert pooled not in jaxpr
    assert len(prefix.constants) == 4  # a kernel and an offset for each of two layers, nothing of the rest
    whole = str(jax.make_jaxpr(network.tapped([Tap(OUTPUT)]).function)(network.tapped([Tap(OUTPUT)]).constants, images[:1]))
    assert pooled in whole


def test_gradients_flow_through_taps(oracle):
    network, module, variables, images = oracle
    tapped = network.tapped([Tap(OUTPUT)], batch=3)
    ours = jax.grad(lambda x: (tapped.function(tapped.constants, x)[0] ** 2).sum())(images)
    theirs = jax.grad(lambda x: (module.apply(variables, x) ** 2).sum())(images)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * float(jnp.abs(theirs).max()))


def test_kernels_are_read_through_what_the_model_does_to_them():
    """Weight standardisation (Qiao et al. 2019): what is shown is the kernel that is applied, not the one that is stored."""

    def apply(params, images):
        kernel = params["conv"]["kernel"]
        kernel = (kernel - kernel.mean((0, 1, 2))) / jnp.sqrt(kernel.var((0, 1, 2)) + 1e-5)
        numbers = ("NHWC", "HWIO", "NHWC")
        return (
            jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=numbers) * 3.0
            - params["conv"]["shift"]
        )

    stored = jax.random.normal(jax.random.key(0), (3, 3, 3, 4)) * 5 + 2
    params = {"conv": {"kernel": stored, "shift": jnp.arange(4.0)}}
    network = Network(apply, params, (8, 8, 3))
    weights = network.weights(["conv"])["conv"]
    np.testing.assert_allclose(weights.kernel.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(weights.kernel.var((0, 1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(weights.scale, 3)
    np.testing.assert_allclose(weights.offset, -np.arange(4.0))
    assert network.graph.by_name["conv"].num_params == 3 * 3 * 3 * 4 + 4


@pytest.mark.parametrize("written", ["x + c", "c + x", "x - c", "c - x", "x * c", "c * x", "x / c", "-x"])
def test_affine_steps_fold_in_either_order(written):
    params = {"kernel": jax.random.normal(jax.random.key(0), (3, 4)), "c": jnp.array([0.5, -2.0, 3.0, 1.5])}

    def apply(params, images):
        x = (images @ params["kernel"]) * 2.0 + 1.0
        return jnp.tanh(eval(written, {"x": x, "c": params["c"]}))  # noqa: S307 -- the test's own words

    images = np.asarray(jax.random.normal(jax.random.key(1), (1, 4, 4, 3)))
    network = Network(apply, params, (4, 4, 3))
    (value,) = network.tapped([Tap(OUTPUT)])(images)
    np.testing.assert_allclose(value, apply(params, images), rtol=1e-5, atol=1e-6)
    weights = network.weights(["kernel"])["kernel"]
    pre = (images @ params["kernel"]) * weights.scale + weights.offset
    np.testing.assert_allclose(jnp.tanh(pre), apply(params, images), rtol=1e-5, atol=1e-6)


def test_other_image_sizes_run_on_the_same_weights(oracle):
    network, module, variables, _ = oracle
    images = np.asarray(jax.random.normal(jax.random.key(3), (2, 24, 21, 3)))
    (value,) = network.tapped([Tap(OUTPUT)], batch=2, size=(24, 21, 3))(images)
    np.testing.assert_allclose(value, module.apply(variables, images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("fitting", "num_groups"), [(1, 6), (4, 2), (6, None)])
def test_large_batches_run_in_groups(oracle, monkeypatch, fitting, num_groups):
    """`fitting` images together stay below the limit; groups are alike, so of six images three run together where four fit."""
    _, module, variables, _ = oracle
    largest = 17 * 19 * 3 * 4  # bytes of the image, the network's largest value
    monkeypatch.setattr("generator.network.execute.GROUP_BYTES", fitting * largest)
    monkeypatch.setattr("generator.network.parallel.num_devices", lambda *_: 1)
    images = np.asarray(jax.random.normal(jax.random.key(4), (6, 17, 19, 3)), np.float32)
    tapped = Network(module.apply, variables, (17, 19, 3)).tapped([Tap("stem"), Tap(OUTPUT)], batch=6)
    lengths = re.findall(r"length=(\d+)", str(jax.make_jaxpr(tapped.function)(tapped.constants, images)))
    assert lengths == ([] if num_groups is None else [str(num_groups)])
    stem, output = tapped(images)
    assert stem.shape == (6, 8, 9, 6)
    np.testing.assert_allclose(output, module.apply(variables, images), rtol=1e-4, atol=1e-4)
    ours = jax.grad(lambda x: (tapped.function(tapped.constants, x)[1] ** 2).sum())(images)
    theirs = jax.grad(lambda x: (module.apply(variables, x) ** 2).sum())(images)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * float(jnp.abs(theirs).max()))


@pytest.mark.parametrize("product", ["nhwc,wc->nhw", "nhwc,wc->nh"])
def test_products_that_are_no_plain_layers_run_as_they_are(product):
    params = {"kernel": jax.random.normal(jax.random.key(0), (4, 3))}

    def apply(params, images):
        return jnp.tanh(jnp.einsum(product, images, params["kernel"]) * 2.0 + 1.0)

    images = np.asarray(jax.random.normal(jax.random.key(1), (1, 5, 4, 3)))
    (value,) = Network(apply, params, (5, 4, 3)).tapped([Tap(OUTPUT)])(images)
    np.testing.assert_allclose(value, apply(params, images), rtol=1e-5, atol=1e-6)


def test_what_is_read_before_the_pre_activation_runs_once():
    """Hard swish reads `x` and `x + 3`: folding the 3 into the convolution would run it a second time."""
    params = {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 3, 4)), "bias": jnp.arange(4.0)}

    def apply(params, images):
        numbers = ("NHWC", "HWIO", "NHWC")
        found = jax.lax.conv_general_dilated(images, params["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        return jax.nn.hard_swish(found * 2.0 + params["bias"])

    images = np.asarray(jax.random.normal(jax.random.key(1), (1, 6, 7, 3)))
    network = Network(apply, params, (6, 7, 3))
    tapped = network.tapped([Tap(OUTPUT), Tap("kernel", "pre_activation")])
    jaxpr = str(jax.make_jaxpr(tapped.function)(tapped.constants, images))
    assert jaxpr.count("= conv_general_dilated") == 1
    value, pre = tapped(images)
    np.testing.assert_allclose(value, apply(params, images), rtol=1e-5, atol=1e-5)
    weights = network.weights(["kernel"])["kernel"]
    by_hand = naive_conv(images[0], weights.kernel, 1, (1, 1)) * weights.scale + weights.offset
    np.testing.assert_allclose(pre[0], by_hand, rtol=1e-4, atol=1e-4)
