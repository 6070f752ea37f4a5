"""Convolutions, plain and transposed, of any rank, grouped and dilated."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from generator.sources.onnx_graph.registry import Node, UnsupportedError, operator
from generator.sources.onnx_graph.values import Value, channels_last
from generator.sources.onnx_graph.windows import check_reach, each, windows

_NUMBERS = {3: ("NWC", "WIO", "NWC"), 4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}


@operator("Conv", "com.microsoft:FusedConv")
def conv(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, kernel, bias = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    found = convolve(node, x, kernel)
    if bias is not None:
        found = found + jnp.asarray(bias.logical)
    if node.operator == "com.microsoft:FusedConv":
        if len(inputs) > 3 and inputs[3] is not None:
            found = found + inputs[3].ordered(channels_last(x.rank))
        found = _activated(node, found)
    return [Value(found, channels_last(x.rank))]


def convolve(node: Node, x: Value, kernel: Value) -> jax.Array:
    """The convolution without its bias, channels last in memory."""
    if x.rank not in _NUMBERS or kernel.rank != x.rank:
        raise UnsupportedError(f"has {x.rank} axes; convolutions of 1 to 3 axes of positions are known")
    order = channels_last(x.rank)
    positions = [x.shape[axis] for axis in order[1:-1]]
    window = windows(node, positions, node.get("kernel_shape") or kernel.shape[2:])
    return lax.conv_general_dilated(
        jnp.asarray(x.ordered(order), jnp.float32),
        jnp.asarray(kernel.ordered((*range(2, x.rank), 1, 0)), jnp.float32),
        window_strides=window.strides,
        padding=window.pads,
        rhs_dilation=window.dilations,
        dimension_numbers=_NUMBERS[x.rank],
        feature_group_count=node.get("group", 1),
    )


def _activated(node: Node, found: jax.Array) -> jax.Array:
    parameters = node.get("activation_params") or []
    match node.get("activation"):
        case None | "":
            return found
        case "Relu":
            return jax.nn.relu(found)
        case "Clip":
            return jnp.clip(found, *parameters)
        case "LeakyRelu":
            return jax.nn.leaky_relu(found, *(parameters or [0.01]))
        case "Sigmoid":
            return jax.nn.sigmoid(found)
        case "Tanh":
            return jnp.tanh(found)
        case "HardSigmoid":
            alpha, beta = parameters or (0.2, 0.5)
            return jnp.clip(alpha * found + beta, 0, 1)
        case other:
            raise UnsupportedError(f"is fused with the unknown activation {other!r}")


@operator("ConvTranspose")
def conv_transpose(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """As the gradient of a convolution: the map is spread out by the strides, the kernel turned round."""
    x, kernel, bias = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    if x.rank not in _NUMBERS or kernel.rank != x.rank:
        raise UnsupportedError(f"has {x.rank} axes; convolutions of 1 to 3 axes of positions are known")
    rank, group = x.rank - 2, node.get("group", 1)
    positions, size = x.shape[2:], tuple(node.get("kernel_shape") or kernel.shape[2:])
    strides, dilations = each(node, "strides", rank), each(node, "dilations", rank)
    beyond = tuple(node.get("output_padding") or (0,) * rank)
    extents = [(length - 1) * dilation + 1 for length, dilation in zip(size, dilations, strict=True)]
    for length, reach in zip(positions * 2, (*extents, *strides), strict=True):
        check_reach(length, reach)
    pads = _transposed_pads(node, positions, strides, extents, beyond)
    padding = [
        (extent - 1 - before, extent - 1 - after + more)
        for extent, (before, after), more in zip(extents, pads, beyond, strict=True)
    ]
    weights = jnp.asarray(kernel.logical, jnp.float32)  # (cin, cout / group, *size)
    cin, cout = weights.shape[:2]
    weights = jnp.flip(weights, tuple(range(2, x.rank)))
    # `lax` wants the kernel as (*size, cin / group, cout), the groups side by side among the outputs.
    weights = weights.reshape(group, cin // group, cout, *size)
    weights = jnp.moveaxis(weights, (1, 0, 2), (-3, -2, -1)).reshape(*size, cin // group, group * cout)
    found = lax.conv_general_dilated(
        jnp.asarray(x.ordered(channels_last(x.rank)), jnp.float32),
        weights,
        window_strides=(1,) * rank,
        padding=padding,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        dimension_numbers=_NUMBERS[x.rank],
        feature_group_count=group,
    )
    if bias is not None:
        found = found + jnp.asarray(bias.logical)
    return [Value(found, channels_last(x.rank))]


def _transposed_pads(
    node: Node, positions: Sequence[int], strides: Sequence[int], extents: Sequence[int], beyond: Sequence[int]
) -> list[tuple[int, int]]:
    rank, auto, wanted = len(positions), node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if not wanted and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [length * stride for length, stride in zip(positions, strides, strict=True)]
    if wanted:
        pads = []
        for length, stride, extent, more, target in zip(positions, strides, extents, beyond, wanted[-rank:], strict=True):
            total = stride * (length - 1) + more + extent - target
            small, large = total // 2, total - total // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return pads
    stated = tuple(node.get("pads") or (0,) * (2 * rank)) if auto != "VALID" else (0,) * (2 * rank)
    return list(zip(stated[:rank], stated[rank:], strict=True))
