"""Files of quantised networks: kernels in real numbers under their owner's names, values as the reference computes them."""

from __future__ import annotations

import numpy as np
import pytest

from generator.network.execute import Network
from tests.sources.onnx.onnx_files import Graph, images_for, loaded, normal, outputs_of, reference

SCALES = np.array([0.01, 0.02, 0.005, 0.03], np.float32)


def integers(*shape: int, kind: type = np.int8) -> np.ndarray:
    return np.random.default_rng(5).integers(-100 if kind == np.int8 else 0, 100, shape).astype(kind)


def conv(g: Graph) -> str:
    """A convolution and a matrix product as quantisation tools write them, every filter with a scale of its own."""
    scale, zero = np.float32(0.03), np.uint8(120)
    x = g.add("QuantizeLinear", "image", scale, zero)
    kernel, bias = g.weight(integers(4, 3, 3, 3), "body.conv.weight_quantized"), integers(4).astype(np.int32)
    x = g.add(
        "QLinearConv", x, scale, zero, kernel, SCALES, np.zeros(4, np.int8), np.float32(0.2), np.uint8(100), bias,
        name="/body/conv/Conv_quant", pads=[1, 1, 1, 1],
    )  # fmt: skip
    x = g.add("DequantizeLinear", x, np.float32(0.2), np.uint8(100))
    x = g.add("Flatten", g.add("GlobalAveragePool", g.add("Relu", x)))
    x = g.add("QuantizeLinear", x, np.float32(0.1), np.uint8(0))
    matrix = g.weight(integers(4, 5, kind=np.uint8), "fc.weight_quantized")
    x = g.add(
        "QLinearMatMul", x, np.float32(0.1), np.uint8(0), matrix, np.linspace(0.01, 0.03, 5, dtype=np.float32),
        np.arange(50, 55, dtype=np.uint8), np.float32(0.1), np.uint8(99),
        name="/fc/MatMul_quant",
    )  # fmt: skip
    return g.add("DequantizeLinear", x, np.float32(0.1), np.uint8(99))


def dynamic(g: Graph) -> str:
    """The same, quantised anew for every image."""
    x, scale, zero = g.add("DynamicQuantizeLinear", "image", outputs=3)
    kernel = g.weight(integers(4, 3, 3, 3, kind=np.uint8), "body.conv.weight_quantized")
    x = g.add("ConvInteger", x, kernel, zero, np.uint8(60), name="/body/conv/Conv_quant", pads=[1, 1, 1, 1])
    x = g.add("Mul", g.add("Cast", x, to=1), g.add("Mul", scale, np.float32(0.01)))
    x, scale, zero = g.add("DynamicQuantizeLinear", g.add("Flatten", g.add("GlobalMaxPool", x)), outputs=3)
    x = g.add("MatMulInteger", x, g.weight(integers(4, 5), "fc.weight_quantized"), zero, np.int8(3), name="/fc/MatMul_quant")
    return g.add("Mul", g.add("Cast", x, to=1), g.add("Mul", scale, np.float32(0.02)))


@pytest.mark.parametrize("network", [conv, dynamic], ids=lambda f: f.__name__)
def test_quantised_layers_have_real_kernels_names_and_the_references_values(network, tmp_path):
    g = Graph(opset=21)
    model = g.model(network(g))
    found = loaded(model, tmp_path)
    traced = Network(found.apply, found.params, found.input_shape)
    kinds = {layer.name: layer.kind for layer in traced.graph.layers}
    assert kinds["body/conv"] == "conv"
    assert kinds["fc"] == "dense"
    kernel = found.params["body"]["conv"]["weight"]
    expected = integers(4, 3, 3, 3) * SCALES[:, None, None, None]
    if network is dynamic:
        expected = integers(4, 3, 3, 3, kind=np.uint8).astype(np.float32) - 60
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)
    images = images_for(found, 3)
    (ours,), (wanted,) = outputs_of(found, images), reference(model, images)
    np.testing.assert_allclose(ours, wanted.reshape(ours.shape), atol=0.11)  # one step, where a number lies between two
    assert np.isclose(ours, wanted.reshape(ours.shape), atol=1e-3).mean() > 0.8


def test_one_matrix_product_with_its_bias(tmp_path):
    """onnxruntime's own operator, which the reference does not know: the bias has the product's step."""
    g = Graph(opset=21)
    x = g.add("QuantizeLinear", g.add("Flatten", g.add("GlobalMaxPool", "image")), np.float32(0.05), np.uint8(7))
    weights, bias = integers(5, 3), integers(5).astype(np.int32)
    x = g.add(
        "com.microsoft:QGemm", x, np.float32(0.05), np.uint8(7), g.weight(weights, "fc.weight"), np.float32(0.01), np.int8(2),
        g.weight(bias, "fc.bias"), name="/fc/Gemm_quant", transB=1, alpha=0.5,
    )  # fmt: skip
    found = loaded(g.model(x), tmp_path)
    images = images_for(found, 2)
    rows = np.clip(np.rint(images.max((1, 2)) / np.float32(0.05)) + 7, 0, 255) - 7
    expected = 0.5 * (rows * 0.05 @ ((weights.astype(float) - 2) * 0.01).T + bias * 0.05 * 0.01)
    np.testing.assert_allclose(outputs_of(found, images)[0], expected, rtol=1e-4)
    np.testing.assert_allclose(found.params["fc"]["weight"], (weights.astype(np.float32) - 2) * 0.01, rtol=1e-6)


def test_quantise_and_dequantise_around_floats_is_done_as_the_file_says(tmp_path):
    g = Graph(opset=21)
    x = g.add("DequantizeLinear", g.add("QuantizeLinear", "image", np.float32(0.5), np.int8(0)), np.float32(0.5), np.int8(0))
    kernel = g.add("DequantizeLinear", g.weight(integers(4, 3, 1, 1), "conv.weight_quantized"), SCALES, axis=0)
    model = g.model(g.add("Conv", x, kernel, normal(4), name="/conv/Conv"))
    found = loaded(model, tmp_path)
    images = images_for(found, 2)
    np.testing.assert_allclose(outputs_of(found, images)[0], reference(model, images)[0][:, 0], atol=1e-4)
    assert found.params["conv"]["weight"].shape == (4, 3, 1, 1)
