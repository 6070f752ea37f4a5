"""Sums, means, extremes and norms over axes, and where extremes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.elementwise import module
from generator.sources.onnx_graph.registry import Node, operator
from generator.sources.onnx_graph.shaping import whole_numbers
from generator.sources.onnx_graph.values import Value

Reduce = Callable[[Any, Any, tuple[int, ...]], Any]  # of NumPy's or JAX's functions, an array and axes, which are kept

_REDUCTIONS: dict[str, Reduce] = {
    "ReduceSum": lambda xp, x, axes: xp.sum(x, axes, dtype=x.dtype, keepdims=True),
    "ReduceMean": lambda xp, x, axes: xp.mean(x, axes, keepdims=True).astype(x.dtype),
    "ReduceMax": lambda xp, x, axes: xp.max(x, axes, keepdims=True, initial=None if x.size else _lowest(x.dtype)),
    "ReduceMin": lambda xp, x, axes: xp.min(x, axes, keepdims=True, initial=None if x.size else _highest(x.dtype)),
    "ReduceProd": lambda xp, x, axes: xp.prod(x, axes, dtype=x.dtype, keepdims=True),
    "ReduceL1": lambda xp, x, axes: xp.sum(xp.abs(x), axes, dtype=x.dtype, keepdims=True),
    "ReduceL2": lambda xp, x, axes: xp.sqrt(xp.sum(xp.square(x), axes, keepdims=True)).astype(x.dtype),
    "ReduceSumSquare": lambda xp, x, axes: xp.sum(xp.square(x), axes, dtype=x.dtype, keepdims=True),
    "ReduceLogSum": lambda xp, x, axes: xp.log(xp.sum(x, axes, keepdims=True)).astype(x.dtype),
    "ReduceLogSumExp": lambda xp, x, axes: _log_sum_exp(xp, x, axes),
}


def _log_sum_exp(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    if xp is jnp:
        return jax.nn.logsumexp(x, axes, keepdims=True)
    top = np.max(x, axes, keepdims=True, initial=_lowest(x.dtype))
    top = np.where(np.isfinite(top), top, 0)
    return (np.log(np.sum(np.exp(x - top), axes, keepdims=True)) + top).astype(x.dtype)


def _lowest(dtype: Any) -> Any:
    if np.dtype(dtype) == bool:
        return False
    return -np.inf if jnp.issubdtype(dtype, jnp.floating) else np.iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    if np.dtype(dtype) == bool:
        return True
    return np.inf if jnp.issubdtype(dtype, jnp.floating) else np.iinfo(dtype).max


@operator(*_REDUCTIONS)
def reduced(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    axes = whole_numbers(inputs[1], "axes") if len(inputs) > 1 else node.get("axes")
    if not axes and node.get("noop_with_empty_axes", 0):
        function = {"ReduceSumSquare": "square", "ReduceL1": "abs", "ReduceL2": "abs", "ReduceLogSum": "log"}.get(node.operator)
        return [Value(getattr(module([x]), function)(x.array), x.order) if function else x]
    gone = {axis % x.rank for axis in axes} if axes else set(range(x.rank))
    places = tuple(place for place, axis in enumerate(x.order) if axis in gone)
    found = _REDUCTIONS[node.operator](module([x]), x.array, places)
    return [without(Value(found, x.order), gone) if not node.get("keepdims", 1) else Value(found, x.order)]


def without(x: Value, gone: set[int]) -> Value:
    """`x` without the logical axes `gone`, each of size 1."""
    left = sorted(set(range(x.rank)) - gone)
    order = tuple(left.index(axis) for axis in x.order if axis not in gone)
    return Value(x.array.reshape([size for size, axis in zip(x.array.shape, x.order, strict=True) if axis not in gone]), order)


@operator("ArgMax", "ArgMin")
def arg_extreme(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    axis, xp = node.get("axis", 0) % x.rank, module(inputs)
    place = x.order.index(axis)
    function = xp.argmax if node.operator == "ArgMax" else xp.argmin
    if node.get("select_last_index", 0):
        found = x.array.shape[place] - 1 - function(xp.flip(x.array, place), place, keepdims=True)
    else:
        found = function(x.array, place, keepdims=True)
    value = Value(found, x.order)
    return [value if node.get("keepdims", 1) else without(value, {axis})]


@operator("TopK")
def top_k(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    k = whole_numbers(inputs[1], "a number of values")[0] if len(inputs) > 1 else node.get("k")
    place = x.order.index(node.get("axis", -1) % x.rank)
    array = jnp.asarray(x.array)
    largest = node.get("largest", 1)
    order = jnp.argsort(array, place, stable=True, descending=bool(largest))
    index = jax.lax.slice_in_dim(order, 0, k, axis=place)
    return [Value(jnp.take_along_axis(array, index, place), x.order), Value(index, x.order)]
