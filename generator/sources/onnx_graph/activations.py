"""Activation functions, through the functions by whose names the tracer knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.elementwise import aligned
from generator.sources.onnx_graph.registry import Node, UnsupportedError, affordable, operator
from generator.sources.onnx_graph.values import Value, side_by_side

_PLAIN: dict[str, Callable[[jax.Array], jax.Array]] = {
    "Relu": jax.nn.relu,
    "Sigmoid": jax.nn.sigmoid,
    "Tanh": jnp.tanh,
    "HardSwish": jax.nn.hard_silu,
    "Mish": jax.nn.mish,
    "Softplus": jax.nn.softplus,
    "Softsign": jax.nn.soft_sign,
}


@operator(*_PLAIN)
def plain(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    return [Value(_PLAIN[node.operator](jnp.asarray(x.array)), x.order)]


@operator("LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid", "Shrink", "Gelu", "Swish")
def shaped(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (value,) = inputs
    x = jnp.asarray(value.array)
    match node.operator:
        case "LeakyRelu":
            found = jax.nn.leaky_relu(x, node.get("alpha", 0.01))
        case "Elu":
            found = jax.nn.elu(x, node.get("alpha", 1.0))
        case "Selu":
            alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
            found = gamma * jax.nn.elu(x, alpha)
        case "Celu":
            found = jax.nn.celu(x, node.get("alpha", 1.0))
        case "ThresholdedRelu":
            found = jnp.where(x > node.get("alpha", 1.0), x, 0)
        case "HardSigmoid":
            alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
            usual = beta == 0.5 and abs(alpha - 1 / 6) < 1e-6
            found = jax.nn.hard_sigmoid(x) if usual else jnp.clip(alpha * x + beta, 0, 1)
        case "Shrink":
            bias, limit = node.get("bias", 0.0), node.get("lambd", 0.5)
            found = jnp.where(x < -limit, x + bias, jnp.where(x > limit, x - bias, 0))
        case "Gelu":
            found = jax.nn.gelu(x, approximate=node.get("approximate", "none") == "tanh")
        case _:
            alpha = node.get("alpha", 1.0)
            found = jax.nn.silu(x) if alpha == 1 else x * jax.nn.sigmoid(alpha * x)
    return [Value(found.astype(x.dtype), value.order)]


@operator("PRelu")
def prelu(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x, slope), order = side_by_side(aligned(node, inputs, 1))
    affordable(np.broadcast_shapes(x.shape, slope.shape), inputs)
    return [Value(jnp.where(x >= 0, x, slope * x), order)]


@operator("Clip")
def clip(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    if node.opset < 11:
        low, high = node.get("min"), node.get("max")
    else:
        bounds = [*inputs[1:], None, None][:2]
        if any(bound is not None and not bound.known for bound in bounds):
            raise UnsupportedError("has bounds that depend on the image")
        low, high = (None if bound is None else bound.array.reshape(-1)[0] for bound in bounds)
    if x.known:
        found = x.array if low is None else np.maximum(x.array, np.asarray(low, x.array.dtype))
        return [Value(found if high is None else np.minimum(found, np.asarray(high, x.array.dtype)), x.order)]
    if low == 0 and high == 6:
        return [Value(jax.nn.relu6(x.array), x.order)]
    if low == 0 and (high is None or high >= np.finfo(np.float32).max):
        return [Value(jax.nn.relu(x.array), x.order)]
    found = x.array if low is None else jnp.maximum(x.array, np.asarray(low, x.array.dtype))
    return [Value(found if high is None else jnp.minimum(found, np.asarray(high, x.array.dtype)), x.order)]


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """Before opset 13 over all axes from `axis` on, since then over that axis alone."""
    (x,) = inputs
    axis = node.get("axis", -1 if node.opset >= 13 else 1) % max(x.rank, 1)
    if node.opset >= 13 or all(size == 1 for size in x.shape[axis + 1 :]):
        return [Value(_softmax(node.operator, jnp.asarray(x.array), x.order.index(axis)), x.order)]
    rows = jnp.asarray(x.logical)
    rows = rows.reshape(int(np.prod(x.shape[:axis])), -1)
    return [Value.of(_softmax(node.operator, rows, 1).reshape(x.shape))]


def _softmax(name: str, x: jax.Array, axis: int) -> jax.Array:
    match name:
        case "Softmax":
            return jax.nn.softmax(x, axis)
        case "LogSoftmax":
            return jax.nn.log_softmax(x, axis)
    return jax.nn.one_hot(jnp.argmax(x, axis), x.shape[axis], axis=axis, dtype=x.dtype)
