"""Normalisations. Those with known statistics are written so that they fold into the convolution before them."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from generator.sources.onnx_graph.registry import Node, UnsupportedError, operator
from generator.sources.onnx_graph.values import Value, channels_last


@operator("BatchNormalization")
def batch_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    training = bool(node.get("training_mode", 0))
    if training and not all(value.known for value in inputs):
        raise UnsupportedError("is in training mode, so that an image's values would depend on the other images")
    if not node.get("spatial", 1):
        raise UnsupportedError("has statistics of its own at each position (spatial=0)")
    x, *parameters = inputs[:5]
    scale, bias, mean, var = (jnp.asarray(value.logical) for value in parameters)
    order = channels_last(x.rank) if x.rank > 1 else (0,)
    values = x.ordered(order)
    if training:  # of kernels, which some networks standardise so
        axes = tuple(range(values.ndim - 1))
        return [Value(_standardised(jnp.asarray(values), axes, node.get("epsilon", 1e-5)) * scale + bias, order)]
    factor = scale * lax.rsqrt(var + node.get("epsilon", 1e-5))
    return [Value((values - mean) * factor + bias, order)]


def _standardised(x: jax.Array, axes: tuple[int, ...], epsilon: float) -> jax.Array:
    mean = jnp.mean(x, axes, keepdims=True)
    centred = x - mean
    return centred * lax.rsqrt(jnp.mean(jnp.square(centred), axes, keepdims=True) + epsilon)


@operator("InstanceNormalization")
def instance_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, scale, bias = inputs
    order = channels_last(x.rank)
    found = _standardised(jnp.asarray(x.ordered(order)), tuple(range(1, x.rank - 1)), node.get("epsilon", 1e-5))
    return [Value(found * scale.logical + bias.logical, order)]


@operator("GroupNormalization")
def group_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, scale, bias = inputs
    order, groups = channels_last(x.rank), node.get("num_groups")
    values = jnp.asarray(x.ordered(order))
    channels = values.shape[-1]
    grouped = values.reshape(*values.shape[:-1], groups, channels // groups)
    axes = (*range(1, x.rank - 1), x.rank)
    found = _standardised(grouped, axes, node.get("epsilon", 1e-5)).reshape(values.shape)
    factors = [jnp.asarray(value.logical) for value in (scale, bias)]
    if node.opset < 21:  # one number for each group, then
        factors = [jnp.repeat(value, channels // groups) for value in factors]
    return [Value(found * factors[0] + factors[1], order)]


@operator(
    "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "com.microsoft:SimplifiedLayerNormalization"
)
def layer_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, scale, bias = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    first = node.get("axis", -1) % x.rank
    if first == x.rank - 1 or x.order == tuple(range(x.rank)):
        # Over the last axis the map may lie in memory as it likes.
        values, places = jnp.asarray(x.array), [x.order.index(axis) for axis in range(first, x.rank)]
        order = x.order
    else:
        values, places, order = jnp.asarray(x.logical), list(range(first, x.rank)), tuple(range(x.rank))
    axes, epsilon = tuple(places), node.get("epsilon", 1e-5)
    mean = jnp.mean(values, axes, keepdims=True)
    centred = values if "RMS" in node.operator or "Simplified" in node.operator else values - mean
    inverse = lax.rsqrt(jnp.mean(jnp.square(centred), axes, keepdims=True) + epsilon)

    def placed(value: Value) -> jax.Array:
        array = jnp.asarray(value.logical)
        array = array.reshape((1,) * (x.rank - array.ndim) + array.shape)
        return jnp.transpose(array, order)

    found = centred * inverse * placed(scale)
    if bias is not None:
        found = found + placed(bias)
    statistics = [Value(mean, order), Value(inverse, order)] if "RMS" not in node.operator else []
    return [Value(found, order), *statistics][: max(1, len(node.outputs))]


@operator("LRN")
def local_response_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """Across channels (Krizhevsky, Sutskever, Hinton 2012, section 3.3)."""
    (x,) = inputs
    order, size = channels_last(x.rank), node.get("size")
    values = jnp.asarray(x.ordered(order))
    window = (*(1,) * (x.rank - 1), size)
    pads = ((0, 0),) * (x.rank - 1) + (((size - 1) // 2, size - 1 - (size - 1) // 2),)
    total = lax.reduce_window(jnp.square(values), 0.0, lax.add, window, (1,) * x.rank, pads)
    return [Value(values / (node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * total) ** node.get("beta", 0.75), order)]


@operator("LpNormalization")
def lp_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    axis = x.order.index(node.get("axis", -1) % x.rank)
    values = jnp.asarray(x.array)
    if node.get("p", 2) == 1:
        norm = jnp.sum(jnp.abs(values), axis, keepdims=True)
    else:
        norm = jnp.sqrt(jnp.sum(jnp.square(values), axis, keepdims=True))
    return [Value(jnp.where(norm == 0, 0.0, values / jnp.where(norm == 0, 1.0, norm)), x.order)]


@operator("MeanVarianceNormalization")
def mean_variance_normalisation(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    axes = tuple(x.order.index(axis % x.rank) for axis in node.get("axes") or (0, 2, 3))
    values = jnp.asarray(x.array)
    mean = jnp.mean(values, axes, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(jnp.square(values), axes, keepdims=True) - jnp.square(mean))
    return [Value((values - mean) / (deviation + 1e-9), x.order)]
