"""Quantised networks: float kernels for the layers, the rounding and clipping that the file says between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from generator.sources.onnx_graph.building import build
from generator.sources.onnx_graph.reading import read_model
from generator.sources.onnx_graph.values import Value
from tests.sources.onnx.single_operators import laid, run

RANDOM = np.random.default_rng(3)
CHANNELS_LAST = (0, 2, 3, 1)


def quantised(*shape: int, kind: type = np.uint8) -> np.ndarray:
    info = np.iinfo(kind)
    return RANDOM.integers(info.min, info.max + 1, shape).astype(kind)


def real(x: np.ndarray, scale: float, zero: int) -> np.ndarray:
    return (x.astype(np.float64) - zero) * scale


def rounded(x: np.ndarray, scale: float, zero: int, kind: type = np.uint8) -> np.ndarray:
    info = np.iinfo(kind)
    return np.clip(np.rint(x / scale) + zero, info.min, info.max).astype(kind)


def steps(*parameters: tuple[float, int]) -> list[Value]:
    """Scales and zero points as an operator takes them."""
    return [
        Value.of(array) for scale, zero in parameters for array in (np.float32(scale).reshape(()), np.array(zero, np.uint8))
    ]


def nearly_equal(found: Value, wanted: np.ndarray) -> None:
    """Equal, but for numbers that lie in the middle between two steps."""
    assert np.dtype(found.array.dtype) == wanted.dtype
    assert found.shape == wanted.shape
    difference = np.abs(np.asarray(found.logical).astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


FUNCTIONS: list[tuple[str, dict, Callable[[np.ndarray], np.ndarray]]] = [
    ("LeakyRelu", {"alpha": 0.1}, lambda x: np.where(x > 0, x, 0.1 * x)),
    ("Sigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
    ("GlobalAveragePool", {}, lambda x: x.mean((2, 3), keepdims=True)),
    (
        "AveragePool",
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        lambda x: x.reshape(2, 3, 2, 2, 2, 2).mean((3, 5)),
    ),
    ("Softmax", {"axis": -1}, softmax),
]


@pytest.mark.parametrize(("name", "attributes", "function"), FUNCTIONS, ids=[name for name, *_ in FUNCTIONS])
def test_functions_between_steps(name, attributes, function):
    x = quantised(2, 3, 4, 4)
    wanted = rounded(function(real(x, 0.03137, 120)), 0.02073, 100)
    (found,) = run(
        f"com.microsoft:QLinear{name}", [laid(x, CHANNELS_LAST), *steps((0.03137, 120), (0.02073, 100))], **attributes
    )
    nearly_equal(found, wanted)


@pytest.mark.parametrize(("name", "function"), [("Add", np.add), ("Mul", np.multiply)])
def test_arithmetic_between_steps(name, function):
    a, b = quantised(2, 3, 4, 4), quantised(3, 1, 1)
    first, second, third = (0.03137, 120), (0.05119, 3), (0.10433, 90)
    inputs = [laid(a, CHANNELS_LAST), *steps(first), Value.of(b), *steps(second, third)]
    (found,) = run(f"com.microsoft:QLinear{name}", inputs)
    assert found.order == CHANNELS_LAST
    nearly_equal(found, rounded(function(real(a, *first), real(b, *second)), *third))


def test_maps_of_other_steps_put_together():
    a, b = quantised(2, 3, 4, 4), quantised(2, 2, 4, 4)
    inputs = [*steps((0.05, 100)), laid(a, CHANNELS_LAST), *steps((0.03137, 120)), Value.of(b), *steps((0.1, 9))]
    (found,) = run("com.microsoft:QLinearConcat", inputs, axis=1)
    assert found.order == CHANNELS_LAST
    nearly_equal(found, rounded(np.concatenate([real(a, 0.03137, 120), real(b, 0.1, 9)], 1), 0.05, 100))


@pytest.mark.parametrize("with_result_step", [True, False])
def test_a_dense_layer_with_a_step_for_each_column(with_result_step):
    a, b, c = quantised(5, 7), quantised(4, 7, kind=np.int8), RANDOM.integers(-5000, 5000, 4).astype(np.int32)
    scales = np.array([0.01, 0.02, 0.03, 0.04], np.float32)
    product = 0.5 * (real(a, 0.1, 128) @ (b.T * scales.astype(np.float64)) + c * 0.1 * scales.astype(np.float64))
    inputs = [Value.of(a), *steps((0.1, 128)), Value.of(b), Value.of(scales), Value.of(np.zeros(4, np.int8)), Value.of(c)]
    ending = steps((0.5, 100)) if with_result_step else []
    (found,) = run("com.microsoft:QGemm", [*inputs, *ending], transB=1, alpha=0.5)
    if with_result_step:
        nearly_equal(found, rounded(product, 0.5, 100))
    else:
        np.testing.assert_allclose(found.logical, product, rtol=1e-5, atol=1e-4)


def test_quantising_nothing_is_no_division_by_zero():
    found, scale, zero = run("DynamicQuantizeLinear", [Value.of(np.zeros((2, 3), np.float32))], num_outputs=3)
    assert (found.array == 0).all()
    assert scale.array == np.float32(1 / 255)
    assert zero.array == 0


def test_convolutions_see_float_kernels_and_maps_are_rounded_between():
    """Quantise and dequantise around a convolution, as quantisation tools write it, with a step for each filter."""
    from onnx.reference import ReferenceEvaluator

    kernel, scales = quantised(4, 3, 3, 3, kind=np.int8), np.array([0.01, 0.02, 0.005, 0.03], np.float32)
    arrays = {
        "kernel": kernel,
        "scales": scales,
        "zeros": np.zeros(4, np.int8),
        "step": np.float32(0.04),
        "middle": np.uint8(110),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "step", "middle"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "middle"], ["x"]),
        helper.make_node("DequantizeLinear", ["kernel", "scales", "zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1]),
    ]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, 6, 6]) for name, c in (("image", 3), ("y", 4))]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "graph", shapes[:1], shapes[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    built = build(read_model(model, Path("model.onnx")).graph, "model.onnx", layout="nchw", batch=1)
    (parameter,) = (array for array in jax.tree.leaves(built.params) if array.ndim == 4)
    assert parameter.dtype == np.float32
    np.testing.assert_allclose(parameter, kernel * scales[:, None, None, None], rtol=1e-6)
    image = RANDOM.normal(0, 3, (1, 3, 6, 6)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"image": image})
    (found,) = built.apply(built.params, image.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(np.asarray(found).transpose(0, 3, 1, 2), wanted, rtol=1e-4, atol=1e-4)
    assert "round" in str(jax.make_jaxpr(built.apply)(built.params, image.transpose(0, 2, 3, 1)))
