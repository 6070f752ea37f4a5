"""Pools: the largest, mean or norm of windows, and of all positions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from generator.sources.onnx_graph.registry import Node, UnsupportedError, operator
from generator.sources.onnx_graph.values import Value, channels_last
from generator.sources.onnx_graph.windows import Windows, windows

#: Of the windows whose largest value's place is told.
_MOST_TAPS = 1024


def _map(x: Value) -> tuple[jax.Array, list[int]]:
    """The map with channels last, and its positions."""
    order = channels_last(x.rank)
    array = x.ordered(order)
    return jnp.asarray(array), list(array.shape[1:-1])


def _reduced(x: jax.Array, window: Windows, initial: float | int, function) -> jax.Array:
    return lax.reduce_window(
        x,
        np.array(initial, x.dtype),
        function,
        (1, *window.size, 1),
        (1, *window.strides, 1),
        ((0, 0), *window.pads, (0, 0)),
        window_dilation=(1, *window.dilations, 1),
    )


@operator("MaxPool")
def max_pool(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, positions = _map(inputs[0])
    window = windows(node, positions, node.get("kernel_shape"))
    lowest = -np.inf if jnp.issubdtype(x.dtype, jnp.floating) else np.iinfo(x.dtype).min
    found = Value(_reduced(x, window, lowest, lax.max), channels_last(x.ndim))
    if len([name for name in node.outputs if name]) < 2:
        return [found]
    return [found, _places(node, inputs[0], window, lowest)]


def _places(node: Node, x: Value, window: Windows, lowest: float) -> Value:
    """Where each maximum lies, as an index into the whole tensor; the first one of equals."""
    if math.prod(window.size) > _MOST_TAPS:
        raise UnsupportedError(f"tells places in windows of {math.prod(window.size):,} values")
    logical = jnp.asarray(x.logical)
    positions = logical.shape[2:]
    pads = ((0, 0), (0, 0), *((max(b, 0), max(a, 0)) for b, a in window.pads))
    column_major = bool(node.get("storage_order", 0))
    counts = np.arange(math.prod(positions)).reshape(positions, order="F" if column_major else "C")
    index = np.arange(math.prod(logical.shape[:2])).reshape(*logical.shape[:2], *(1,) * len(positions)) * counts.size + counts
    values, index = jnp.pad(logical, pads, constant_values=lowest), jnp.pad(jnp.asarray(index, jnp.int32), pads)
    sizes = [
        (length + before + after - (size - 1) * dilation - 1) // stride + 1
        for length, (before, after), size, stride, dilation in zip(
            positions, window.pads, window.size, window.strides, window.dilations, strict=True
        )
    ]
    best = best_index = None
    for taps in itertools.product(*map(range, window.size)):
        cut = (
            ...,
            *(
                slice(tap * dilation, tap * dilation + (size - 1) * stride + 1, stride)
                for tap, dilation, stride, size in zip(taps, window.dilations, window.strides, sizes, strict=True)
            ),
        )
        here, at = values[cut], index[cut]
        if best is None:
            best, best_index = here, at
        else:
            best, best_index = jnp.maximum(best, here), jnp.where(here > best, at, best_index)
    return Value.of(best_index)


@operator("AveragePool")
def average_pool(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, positions = _map(inputs[0])
    window = windows(node, positions, node.get("kernel_shape"))
    total = _reduced(x, window, 0.0, lax.add)
    return [Value(total / _counts(node, positions, window, total.shape[1:-1]), channels_last(x.ndim))]


def _counts(node: Node, positions: Sequence[int], window: Windows, sizes: Sequence[int]) -> np.ndarray | np.float32:
    """How many values the mean at each position is of; one number where all are of the same."""
    padded = node.get("count_include_pad", 0)
    stated = windows(node, positions, window.size) if not node.get("ceil_mode", 0) else None
    axes = []
    for axis, (length, (before, after), size, stride, dilation) in enumerate(
        zip(positions, window.pads, window.size, window.strides, window.dilations, strict=True)
    ):
        starts = np.arange(sizes[axis]) * stride - before
        low, high = 0, length
        if padded:
            # What ceil_mode adds beyond the stated padding is not counted.
            beyond = (node.get("pads") or [0] * (2 * len(positions)))[len(positions) + axis] if stated is None else after
            low, high = -before, length + beyond
        taps = starts[:, None] + np.arange(size) * dilation
        axes.append(np.maximum(((taps >= low) & (taps < high)).sum(1), 1))
    if all((counts == counts[0]).all() for counts in axes):
        return np.float32(math.prod(int(counts[0]) for counts in axes))
    grid = axes[0].astype(np.float32)
    for counts in axes[1:]:
        grid = grid[..., None] * counts
    return grid[None, ..., None].astype(np.float32)


@operator("LpPool")
def lp_pool(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, positions = _map(inputs[0])
    power = node.get("p", 2)
    window = windows(node, positions, node.get("kernel_shape"))
    return [Value(_reduced(jnp.abs(x) ** power, window, 0.0, lax.add) ** (1 / power), channels_last(x.ndim))]


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, positions = _map(inputs[0])
    axes = tuple(range(1, 1 + len(positions)))
    match node.operator:
        case "GlobalAveragePool":
            found = jnp.mean(x, axes, keepdims=True)
        case "GlobalMaxPool":
            found = jnp.max(x, axes, keepdims=True)
        case _:
            power = node.get("p", 2)
            found = jnp.sum(jnp.abs(x) ** power, axes, keepdims=True) ** (1 / power)
    return [Value(found, channels_last(x.ndim))]


@operator("cnnscope:AdaptiveAveragePool")
def adaptive_average_pool(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """Means over `output_size` windows that cover a map evenly, as PyTorch's `adaptive_avg_pool2d`.

    Windows of one size that do not overlap are an average pool; others are a product with constants for each axis.
    """
    x, positions = _map(inputs[0])
    numbers = node.get("output_size")
    if not any(length % number for length, number in zip(positions, numbers, strict=True)):
        window = (1, *(length // number for length, number in zip(positions, numbers, strict=True)), 1)
        found = lax.reduce_window(x, np.float32(0), lax.add, window, window, "VALID") / np.float32(math.prod(window))
        return [Value(found, channels_last(x.ndim))]
    for axis, (length, number) in enumerate(zip(positions, numbers, strict=True), start=1):
        x = jnp.moveaxis(jnp.tensordot(x, _even_windows(length, number), ((axis,), (1,))), -1, axis)
    return [Value(x, channels_last(x.ndim))]


def _even_windows(length: int, number: int) -> np.ndarray:
    """What each window takes of each position, `(number, length)`: window i goes from `floor(i length / number)` up to
    `ceil((i + 1) length / number)`."""
    weights = np.zeros((number, length), np.float32)
    for i in range(number):
        window = slice(i * length // number, -(-(i + 1) * length // number))
        weights[i, window] = 1 / (window.stop - window.start)
    return weights


@operator("MaxUnpool")
def max_unpool(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, places = inputs[0], inputs[1]
    size = node.get("kernel_shape")
    strides = node.get("strides") or [1] * len(size)
    pads = node.get("pads") or [0] * (2 * len(size))
    inferred = [
        (length - 1) * stride + extent - pads[axis] - pads[axis + len(size)]
        for axis, (length, stride, extent) in enumerate(zip(x.shape[2:], strides, size, strict=True))
    ]
    shape = (*x.shape[:2], *inferred)
    target = shape
    if len(inputs) > 2 and inputs[2] is not None:
        if not inputs[2].known:
            raise UnsupportedError("has an output shape that depends on the image")
        target = tuple(int(size) for size in inputs[2].array)
    values, index = jnp.asarray(x.logical).ravel(), jnp.asarray(places.logical).ravel().astype(jnp.int32)
    whole = jnp.zeros(math.prod(shape), values.dtype).at[index].set(values).reshape(shape)
    beyond = [(0, wanted - length) for wanted, length in zip(target, shape, strict=True)]
    return [Value.of(jnp.pad(whole, beyond))]
