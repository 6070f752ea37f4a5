"""Quantised networks, computed with floats: weights are dequantised while the file is loaded, activations rounded and clipped
as the file says, so that every layer has real numbers to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.convolutions import convolve
from generator.sources.onnx_graph.elementwise import float8, module
from generator.sources.onnx_graph.registry import OPERATORS, Node, UnsupportedError, affordable, operator
from generator.sources.onnx_graph.values import Value, channels_last, side_by_side


def _along(value: Value | None, x: Value, axis: int, block: int) -> Any:
    """A scale or zero point, laid along its axis in the order in which `x` lies in memory."""
    if value is None:
        return 0
    array = value.logical
    if array.ndim == 0 or (array.size == 1 and not block):
        return array.reshape(())
    if array.ndim == 1 and not block:
        if array.size != x.shape[axis]:
            raise UnsupportedError(f"has {array.size} scales for {x.shape[axis]} values along its axis {axis}")
        return array.reshape([-1 if logical == axis else 1 for logical in x.order])
    if block:
        array = module([value]).repeat(array, block, axis)
        array = array[(slice(None),) * axis + (slice(x.shape[axis]),)]
    return array.transpose(x.order)


def _range(dtype: Any) -> tuple[float, float]:
    import ml_dtypes

    dtype = np.dtype(dtype)
    if dtype.kind in "iu" or dtype.name in ("int4", "uint4", "int2", "uint2"):
        info = ml_dtypes.iinfo(dtype)
        return float(info.min), float(info.max)
    raise UnsupportedError(f"quantises to {dtype.name}")


@operator("DequantizeLinear", "com.microsoft:DequantizeLinear")
def dequantise(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, scale, zero = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    axis = axis % x.rank if x.rank else 0
    values = x.array.astype(np.float32) - _floats(_along(zero, x, axis, block))
    return [Value(values * _floats(_along(scale, x, axis, block)), x.order)]


def _floats(array: Any) -> Any:
    return array.astype(np.float32) if hasattr(array, "astype") else np.float32(array)


@operator("QuantizeLinear", "com.microsoft:QuantizeLinear")
def quantise(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    from onnx import helper

    x, scale, zero = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    axis = axis % x.rank if x.rank else 0
    stated = node.get("output_dtype", 0)
    dtype = zero.array.dtype if zero is not None else helper.tensor_dtype_to_np_dtype(stated) if stated else np.dtype(np.uint8)
    xp = module(inputs)
    scaled = x.array / _floats(_along(scale, x, axis, block))
    if np.dtype(dtype).name.startswith("float8"):
        return [Value(float8(scaled, np.dtype(dtype), bool(node.get("saturate", 1))), x.order)]
    found = xp.clip(xp.round(scaled) + _floats(_along(zero, x, axis, block)), *_range(dtype))
    return [Value(found.astype(dtype if x.known or np.dtype(dtype).kind in "iu" else np.int8), x.order)]


@operator("DynamicQuantizeLinear")
def dynamic_quantise(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    values, xp = x.array, module(inputs)
    low, high = xp.minimum(values.min(), 0), xp.maximum(values.max(), 0)
    scale = xp.where(high == low, 1, high - low).astype(np.float32) / np.float32(255)
    zero = xp.clip(xp.round(-low / scale), 0, 255)
    found = xp.clip(xp.round(values / scale) + zero, 0, 255).astype(np.uint8)
    return [Value(found, x.order), Value.of(scale), Value.of(zero.astype(np.uint8))]


def _real(x: Value, scale: Value, zero: Value | None, axis: int = 1) -> Value:
    values = x.array.astype(np.float32) - _floats(_along(zero, x, axis, 0))
    return Value(values * _floats(_along(scale, x, axis, 0)), x.order)


def _requantised(found: jax.Array, order: tuple[int, ...], scale: Value, zero: Value | None) -> Value:
    dtype = np.dtype(np.uint8) if zero is None else zero.array.dtype
    low, high = _range(dtype)
    x = Value(found, order)
    rounded = jnp.round(found / _floats(_along(scale, x, 1, 0))) + _floats(_along(zero, x, 1, 0))
    return Value(jnp.clip(rounded, low, high).astype(dtype), order)


@operator("QLinearConv")
def quantised_conv(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, xs, xz, w, ws, wz, ys, yz = inputs[:8]
    bias = inputs[8] if len(inputs) > 8 else None
    found = convolve(node, _real(x, xs, xz), _real(w, ws, wz, axis=0))
    if bias is not None:
        found = found + bias.array.astype(np.float32) * (_floats(xs.logical) * _floats(ws.logical))
    return [_requantised(found, channels_last(x.rank), ys, yz)]


@operator("ConvInteger")
def integer_conv(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, w, xz, wz = [*inputs, None, None][:4]
    one = Value.of(np.float32(1).reshape(()))
    found = convolve(node, _real(x, one, xz), _real(w, one, wz, axis=0))
    return [Value(jnp.round(found).astype(jnp.int32), channels_last(x.rank))]


@operator("QLinearMatMul")
def quantised_matmul(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    left, right = _matrix(a, a_scale, a_zero, -2), _matrix(b, b_scale, b_zero, -1)
    found = jnp.matmul(left, right)
    return [_requantised(found, tuple(range(found.ndim)), y_scale, y_zero)]


def _matrix(x: Value, scale: Value | None, zero: Value | None, axis: int) -> jax.Array:
    """Real numbers; one scale and zero point for each row (axis -2) or column (-1), or for all."""

    def laid(value: Value | None, default: float) -> Any:
        if value is None:
            return np.float32(default)
        array = _floats(value.logical)
        return array if array.ndim != 1 or array.size == 1 else array[:, None] if axis == -2 else array

    return (jnp.asarray(x.logical, jnp.float32) - laid(zero, 0)) * laid(scale, 1)


@operator("MatMulInteger")
def integer_matmul(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    a, b, a_zero, b_zero = [*inputs, None, None][:4]
    found = jnp.matmul(_matrix(a, None, a_zero, -2), _matrix(b, None, b_zero, -1))
    return [Value.of(jnp.round(found).astype(jnp.int32))]


@operator("com.microsoft:QLinearAdd", "com.microsoft:QLinearMul")
def quantised_arithmetic(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs[:8]
    (left, right), order = side_by_side([_real(a, a_scale, a_zero), _real(b, b_scale, b_zero)])
    affordable(np.broadcast_shapes(left.shape, right.shape), inputs)
    found = left + right if node.operator.endswith("Add") else left * right
    return [_requantised(jnp.asarray(found), order, y_scale, y_zero)]


@operator(*(f"com.microsoft:QLinear{name}" for name in ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax")))
def quantised_function(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """A function of one input, computed by the operator that the name ends with."""
    x, x_scale, x_zero, y_scale, y_zero = inputs[:5]
    if node.get("channels_last", 0):
        raise UnsupportedError("keeps channels last, as files for onnxruntime alone do")
    plain = replace(node, operator=node.operator.removeprefix("com.microsoft:QLinear"), opset=node.get("opset", 13))
    real = _real(x, x_scale, x_zero)
    (found,) = OPERATORS[plain.operator](plain, [real])
    return [_requantised(jnp.asarray(found.array), found.order, y_scale, y_zero)]


@operator("com.microsoft:QGemm")
def quantised_gemm(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """The offset has the scale of the product; without a scale of its own the result stays as it is."""
    a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero = [*inputs, None, None, None][:9]
    a = a.transposed((1, 0)) if node.get("transA", 0) else a
    b = b.transposed((1, 0)) if node.get("transB", 0) else b
    found = jnp.matmul(_matrix(a, a_scale, a_zero, -2), _matrix(b, b_scale, b_zero, -1))
    if c is not None:
        found = found + c.logical.astype(np.float32) * (_floats(a_scale.logical) * _floats(b_scale.logical))
    found = found * np.float32(node.get("alpha", 1.0))
    return [Value.of(found) if y_scale is None else _requantised(found, (0, 1), y_scale, y_zero)]


@operator("com.microsoft:QLinearConcat")
def quantised_concat(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    y_scale, y_zero, *rest = inputs
    parts = [_real(*rest[first : first + 3]) for first in range(0, len(rest), 3)]
    order = parts[0].order
    place = order.index(node.get("axis", 1) % len(order))
    found = jnp.concatenate([jnp.asarray(part.ordered(order)) for part in parts], place)
    return [_requantised(found, order, y_scale, y_zero)]
