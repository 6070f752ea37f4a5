"""Convolutions and pools with every attribute, against ONNX's reference evaluator.

Where that is wrong (onnx 1.23: groups of transposed convolutions, uneven padding of pools, LRN of more channels than images)
the expected values are put together otherwise, and said so.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from generator.sources.onnx_graph.values import Value, channels_last
from tests.sources.onnx.onnx_files import Graph, compare, normal
from tests.sources.onnx.single_operators import laid, reference, run

CONVOLUTIONS = [
    {"strides": [2, 1]},
    {"dilations": [2, 3]},
    {"pads": [1, 0, 2, 3]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 3], "dilations": [2, 1]},
    {"auto_pad": "VALID", "strides": [3, 3]},
    {"group": 2, "pads": [1, 1, 1, 1]},
    {"group": 4},
]
TRANSPOSED = [
    {"strides": [2, 3]},
    {"strides": [2, 2], "pads": [1, 0, 1, 1], "output_padding": [1, 1]},
    {"dilations": [2, 2], "pads": [1, 1, 1, 1]},
    {"strides": [3, 2], "output_shape": [22, 19]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
]
POOLS = [
    {"kernel_shape": [3, 2], "strides": [2, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "auto_pad": "VALID", "strides": [2, 3]},
]


def check(operator: str, x: np.ndarray, others: list[np.ndarray], expected: np.ndarray | None = None, **options) -> None:
    expected = reference(operator, [x, *others], **options)[0] if expected is None else expected
    for order in {tuple(range(x.ndim)), channels_last(x.ndim)}:
        for known in (True, False):
            found = run(
                operator, [moved(laid(x, order), known), *(moved(Value.of(other), known) for other in others)], **options
            )
            np.testing.assert_allclose(np.asarray(found[0].logical), expected, rtol=1e-4, atol=1e-4)


def moved(value: Value, known: bool) -> Value:
    import jax.numpy as jnp

    return value if known else Value(jnp.asarray(value.array), value.order)


def ids(options) -> str:
    return "-".join(f"{name}={value}" for name, value in options.items())


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=ids)
def test_convolutions(options):
    groups = options.get("group", 1)
    check("Conv", normal(2, 4, 9, 11), [normal(8, 4 // groups, 3, 2), normal(8)], **options)


@pytest.mark.parametrize("rank", [1, 3])
def test_convolutions_of_other_ranks(rank):
    size = (7, 6, 5)[:rank]
    check("Conv", normal(1, 2, *size), [normal(3, 2, *(3,) * rank)], pads=[1] * (2 * rank), strides=[2] * rank)


@pytest.mark.parametrize("options", TRANSPOSED, ids=ids)
def test_transposed_convolutions(options):
    groups = options.get("group", 1)
    check("ConvTranspose", normal(2, 4, 7, 9), [normal(4, 6 // groups, 3, 3), normal(6)], **options)


def test_groups_of_a_transposed_convolution_are_convolutions_by_themselves():
    x, kernel, bias = normal(2, 4, 7, 9), normal(4, 3, 3, 3), normal(6)
    parts = [
        reference(
            "ConvTranspose", [x[:, 2 * n : 2 * n + 2], kernel[2 * n : 2 * n + 2], bias[3 * n : 3 * n + 3]], strides=[2, 2]
        )
        for n in range(2)
    ]
    check("ConvTranspose", x, [kernel, bias], np.concatenate([part for (part,) in parts], 1), group=2, strides=[2, 2])


def test_pools_with_uneven_padding_are_those_of_the_padded_map():
    x, window, pads = normal(2, 3, 9, 10), {"kernel_shape": [3, 3], "strides": [2, 1]}, [1, 0, 2, 1]
    for operator, options, beyond in (("MaxPool", {}, -np.inf), ("AveragePool", {"count_include_pad": 1}, 0.0)):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 1)), constant_values=beyond)
        check(operator, x, [], reference(operator, [padded], **window)[0], pads=pads, **window, **options)


@pytest.mark.parametrize("options", POOLS, ids=ids)
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "AveragePool counting padding"])
def test_pools(operator, options):
    further = {"count_include_pad": 1} if "counting" in operator else {}
    check(operator.split()[0], normal(2, 3, 9, 10), [], **options, **further)


@pytest.mark.parametrize("options", [options for options in POOLS if "ceil_mode" not in options], ids=ids)
def test_pools_of_norms(options):  # with `ceil_mode` the reference rounds down all the same
    check("LpPool", normal(2, 3, 9, 10), [], **options)


@pytest.mark.parametrize("size", [(1, 2), (3, 5), (4, 3), (12, 7), (9, 10)])
def test_adaptive_pools(size):
    x, operator = normal(2, 3, 9, 10), "cnnscope:AdaptiveAveragePool"
    expected = np.zeros((2, 3, *size), np.float32)
    for i, j in np.ndindex(*size):
        rows = [row for row in range(9) if row + 1 > i * 9 / size[0] and row < (i + 1) * 9 / size[0]]
        columns = [column for column in range(10) if column + 1 > j * 10 / size[1] and column < (j + 1) * 10 / size[1]]
        expected[:, :, i, j] = x[:, :, rows][:, :, :, columns].mean((2, 3))
    check(operator, x, [], expected, output_size=list(size))


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 22, 26])
def test_every_opset(opset, tmp_path):
    if opset > helper.VERSION_TABLE[-1][2]:
        pytest.skip("newer than the installed onnx")
    g = Graph(opset=opset)
    x = g.add("Conv", "image", normal(4, 3, 3, 3))
    if opset >= 9:  # the reference cannot run earlier ones, and learns from the image unless momentum is 1
        x = g.add("BatchNormalization", x, *(np.abs(normal(4)) + 0.5 for _ in range(4)), momentum=1.0)
    x = g.add("Clip", x, min=0.0, max=6.0) if opset < 11 else g.add("Clip", x, np.float32(0), np.float32(6))
    x = g.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.add("Dropout", x) if opset >= 12 else x  # ... and drops at random before
    x = g.add("ReduceMean", x, axes=[2, 3], keepdims=0) if opset < 18 else g.add("ReduceMean", x, np.array([2, 3]), keepdims=0)
    x = g.add("Unsqueeze", x, axes=[2]) if opset < 13 else g.add("Unsqueeze", x, np.array([2]))
    compare(g.model(g.add("Softmax", g.add("Flatten", x), axis=1)), tmp_path)


@pytest.mark.parametrize("size", [(4, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_normalisations_over_positions(size, groups):
    x = normal(2, 4, *size)
    check("InstanceNormalization", x, [normal(4), normal(4)])
    check("GroupNormalization", x, [normal(4), normal(4)], num_groups=groups, opset=21)


def test_local_response_normalisation():
    x = normal(2, 5, 3, 4)
    padded = np.pad(x**2, ((0, 0), (1, 2), (0, 0), (0, 0)))  # of 4 channels: one before, itself, two after
    total = sum(padded[:, start : start + 5] for start in range(4))
    check("LRN", x, [], x / (2 + 0.1 / 4 * total) ** 0.5, size=4, alpha=0.1, beta=0.5, bias=2.0)
