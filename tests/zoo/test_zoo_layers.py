"""The zoo's layers against loops in NumPy that follow PyTorch's documentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flax import nnx

from generator.zoo.layers import AdaptiveAvgPool, AvgPool, Conv, Flatten, Linear, MaxPool, Norm, Sequential, name_layers, relu


def maps(height, width, channels=3):
    return np.random.default_rng(height * 100 + width).normal(size=(2, height, width, channels)).astype(np.float32)


def max_pool(x, size, stride, padding, ceil):
    """PyTorch: a window may reach beyond the map on the right if it begins within the map or its left padding."""
    rounded = math.ceil if ceil else math.floor
    out_sizes = []
    for length in x.shape[1:3]:
        out = rounded((length + 2 * padding - size) / stride) + 1
        out_sizes.append(out - 1 if ceil and (out - 1) * stride >= length + padding else out)
    result = np.empty((len(x), *out_sizes, x.shape[3]), x.dtype)
    for row in range(out_sizes[0]):
        for column in range(out_sizes[1]):
            top, left = row * stride - padding, column * stride - padding
            window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            result[:, row, column] = window.max(axis=(1, 2))
    return result


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 1), (2, 2, 1)])
def test_max_pool(size, stride, padding, ceil):
    for height, width in ((7, 8), (9, 10), (3, 12), (11, 5)):
        x = maps(height, width) - 5  # all below zero: padding must not win
        ours = MaxPool(size, stride, padding=padding, ceil=ceil)(x)
        np.testing.assert_array_equal(ours, max_pool(x, size, stride, padding, ceil))


@pytest.mark.parametrize(("height", "width", "size"), [(7, 7, 7), (14, 21, 7), (3, 3, 7), (9, 16, 6), (13, 6, 6)])
def test_adaptive_average_pool(height, width, size):
    x = maps(height, width)
    expected = np.empty((2, size, size, 3))
    for row in range(size):
        for column in range(size):
            rows = slice(math.floor(row * height / size), math.ceil((row + 1) * height / size))
            columns = slice(math.floor(column * width / size), math.ceil((column + 1) * width / size))
            expected[:, row, column] = x[:, rows, columns].mean(axis=(1, 2))
    np.testing.assert_allclose(AdaptiveAvgPool(size)(x), expected, atol=1e-6)


def test_average_pool_leaves_out_what_fills_no_window():
    x = maps(5, 6)
    expected = x[:, :4].reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(AvgPool(2)(x), expected, atol=1e-6)


def test_convolution_is_padded_on_every_side():
    """TensorFlow's 'SAME' pads an even map on one side only if the stride is 2; PyTorch pads both."""
    layer = Conv(4, 6, 3, stride=2, padding=1, groups=2, rngs=nnx.Rngs(0))
    layer.bias[...] = np.arange(6.0)
    x, kernel = maps(6, 6, 4), np.asarray(layer.kernel[...])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.empty((2, 3, 3, 6))
    for row in range(3):
        for column in range(3):
            window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            for group in range(2):
                inputs, outputs = slice(2 * group, 2 * group + 2), slice(3 * group, 3 * group + 3)
                expected[:, row, column, outputs] = np.einsum("nhwi,hwio->no", window[..., inputs], kernel[..., outputs])
    np.testing.assert_allclose(layer(x), expected + np.arange(6), atol=1e-5)


def test_norm_uses_its_statistics():
    layer = Norm(3, epsilon=0.5)
    scale, bias, mean, var = np.random.default_rng(1).uniform(0.5, 2, (4, 3)).astype(np.float32)
    for parameter, value in zip((layer.scale, layer.bias, layer.mean, layer.var), (scale, bias, mean, var), strict=True):
        parameter[...] = value
    x = maps(4, 5)
    np.testing.assert_allclose(layer(x), (x - mean) / np.sqrt(var + 0.5) * scale + bias, atol=1e-6)


def test_flattened_maps_have_their_channels_first():
    x = maps(2, 3, 4)
    np.testing.assert_array_equal(
        Flatten()(x), [[x[n, h, w, c] for c in range(4) for h in range(2) for w in range(3)] for n in (0, 1)]
    )


def test_layers_learn_their_names():
    network = nnx.Module()
    network.features = Sequential([relu(), Sequential([Linear(2, 2, rngs=nnx.Rngs(0))])])
    name_layers(network)
    assert network.features[0].scope == "features/0"
    assert network.features[1][0].scope == "features/1/0"
