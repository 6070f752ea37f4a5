"""Parts of tensors, and tensors put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.elementwise import module
from generator.sources.onnx_graph.reductions import without
from generator.sources.onnx_graph.registry import Node, UnsupportedError, affordable, operator
from generator.sources.onnx_graph.shaping import reshaped, whole_numbers
from generator.sources.onnx_graph.values import Value


@operator("Concat")
def concat(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    lead = max(inputs, key=lambda value: (not value.known, value.array.size, value.order != tuple(range(value.rank))))
    place = lead.order.index(node.get("axis", 1) % lead.rank)
    affordable([sum(value.array.size for value in inputs)], inputs)
    arrays = [value.ordered(lead.order) for value in inputs]
    return [Value(module(inputs).concatenate(arrays, place), lead.order)]


@operator("Split")
def split(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    place = x.order.index(node.get("axis", 0) % x.rank)
    length, number = x.array.shape[place], len(node.outputs)
    sizes = whole_numbers(inputs[1], "sizes") if len(inputs) > 1 else node.get("split")
    if sizes is None:
        each = -(-length // number)
        sizes = [min(each, max(0, length - each * part)) for part in range(number)]
    ends = np.cumsum(sizes)
    if sum(sizes) != length:
        raise UnsupportedError(f"cuts {length} values into {sizes}")
    return [Value(_cut(x.array, place, end - size, end), x.order) for end, size in zip(ends, sizes, strict=True)]


def _cut(array: Any, place: int, start: int, end: int, step: int = 1) -> Any:
    if isinstance(array, np.ndarray):
        return array[(slice(None),) * place + (slice(int(start), int(end), step),)]
    return jax.lax.slice_in_dim(array, int(start), int(end), step, place)


@operator("Slice")
def cut(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, *others = inputs
    if node.opset < 10:
        starts, ends, axes, steps = node.get("starts"), node.get("ends"), node.get("axes"), None
    else:
        starts, ends, axes, steps = (whole_numbers(value, "bounds") for value in [*others, None, None][:4])
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    array = x.array
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = x.order.index(axis % x.rank)
        length = array.shape[place]
        first, last, _ = slice(start, None if step < 0 and end < -length else end, step).indices(length)
        if step < 0:
            count = len(range(first, last, step))
            array = module([x]).flip(array, place)
            first, step = length - 1 - first, -step
            last = first + (count - 1) * step + 1 if count else first
        if (first, last, step) != (0, length, 1):
            array = _cut(array, place, first, max(first, last), step)
    return [Value(array, x.order)]


@operator("Gather")
def gather(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, index = inputs
    axis = node.get("axis", 0) % x.rank
    place = x.order.index(axis)
    length = x.array.shape[place]
    affordable([index.array.size, x.array.size // max(length, 1)], inputs)
    if index.known:
        wanted = np.where(index.logical < 0, index.logical + length, index.logical).astype(np.int64)
        outside = index.array[(wanted < 0) | (wanted >= length)]
        if outside.size:
            raise UnsupportedError(f"takes number {outside[0]} of {length}")
        if index.rank == 0:
            return [without(Value(_cut(x.array, place, int(wanted), int(wanted) + 1), x.order), {axis})]
        flat = wanted.reshape(-1)
        if flat.size and (np.diff(flat) == 1).all():
            found = Value(_cut(x.array, place, flat[0], flat[-1] + 1), x.order)
        else:
            found = Value(module([x]).take(x.array, flat, axis=place), x.order)
        return [found if index.rank == 1 else reshaped(found, (*x.shape[:axis], *wanted.shape, *x.shape[axis + 1 :]))]
    xp = module(inputs)
    numbers = xp.asarray(index.logical)
    return [Value.of(xp.take(xp.asarray(x.logical), xp.where(numbers < 0, numbers + length, numbers), axis=axis))]


@operator("GatherElements")
def gather_elements(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x, index), xp = inputs, module(inputs)
    axis = node.get("axis", 0) % x.rank
    numbers = xp.asarray(index.logical)
    numbers = xp.where(numbers < 0, numbers + x.shape[axis], numbers)
    # Along the other axes the index may be shorter than what it is taken of.
    data = xp.asarray(x.logical)[tuple(slice(None) if a == axis else slice(size) for a, size in enumerate(numbers.shape))]
    return [Value.of(xp.take_along_axis(data, numbers, axis))]


@operator("GatherND")
def gather_nd(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x, index), xp = inputs, module(inputs)
    data, numbers = xp.asarray(x.logical), xp.asarray(index.logical)
    batch = node.get("batch_dims", 0)
    affordable([*numbers.shape[:-1], *data.shape[batch + numbers.shape[-1] :]], inputs)
    grid = [xp.arange(size).reshape((-1,) + (1,) * (numbers.ndim - 2 - a)) for a, size in enumerate(numbers.shape[:batch])]
    return [Value.of(data[(*grid, *xp.moveaxis(numbers, -1, 0))])]


@operator("ScatterND")
def scatter_nd(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    xp = module(inputs)
    x, index, updates = (xp.asarray(value.logical) for value in inputs)
    return [Value.of(_scattered(x, tuple(xp.moveaxis(index, -1, 0)), updates, node.get("reduction", "none")))]


@operator("ScatterElements", "Scatter")
def scatter_elements(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    xp = module(inputs)
    x, index, updates = (xp.asarray(value.logical) for value in inputs)
    axis = node.get("axis", 0) % x.ndim
    grid = list(xp.meshgrid(*map(xp.arange, index.shape), indexing="ij"))
    grid[axis] = xp.where(index < 0, index + x.shape[axis], index)
    return [Value.of(_scattered(x, tuple(grid), updates, node.get("reduction", "none")))]


def _scattered(x: Any, index: tuple[Any, ...], updates: Any, how: str) -> Any:
    if isinstance(x, np.ndarray):
        found = x.copy()
        if how == "none":
            found[index] = updates
        else:
            {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[how].at(found, index, updates)
        return found
    at = x.at[index]
    return {"none": at.set, "add": at.add, "mul": at.multiply, "max": at.max, "min": at.min}[how](updates)


@operator("Pad")
def pad(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    if node.opset < 11:
        amounts, value, axes = node.get("pads"), node.get("value", 0.0), None
    else:
        amounts = whole_numbers(inputs[1], "amounts")
        fill = inputs[2] if len(inputs) > 2 else None
        if fill is not None and not fill.known:
            raise UnsupportedError("pads with a value that depends on the image")
        value = 0 if fill is None or fill.array.size == 0 else fill.array.reshape(-1)[0]
        axes = whole_numbers(inputs[3], "axes") if len(inputs) > 3 else None
    axes = range(x.rank) if axes is None else [axis % x.rank for axis in axes]
    widths = [(0, 0)] * x.rank
    for position, axis in enumerate(axes):
        widths[x.order.index(axis)] = (amounts[position], amounts[position + len(axes)])
    mode, array = node.get("mode", "constant"), x.array
    affordable([size + sum(width) for size, width in zip(array.shape, widths, strict=True)], [x])
    for place, (before, after) in enumerate(widths):  # negative amounts cut off
        array = _cut(array, place, max(0, -before), array.shape[place] - max(0, -after)) if min(before, after) < 0 else array
    widths = [(max(0, before), max(0, after)) for before, after in widths]
    if not any(map(any, widths)):
        return [Value(array, x.order)]
    if mode == "constant" and not x.known:
        fill = jnp.asarray(value, array.dtype)
        return [Value(jax.lax.pad(array, fill, [(*width, 0) for width in widths]), x.order)]
    options = {"constant_values": np.asarray(value, array.dtype)} if mode == "constant" else {}
    return [Value(module([x]).pad(array, widths, mode=mode, **options), x.order)]


@operator("OneHot")
def one_hot(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    index, (depth,), values = inputs[0], whole_numbers(inputs[1], "a depth"), inputs[2]
    numbers = jnp.asarray(index.logical)
    axis = node.get("axis", -1) % (index.rank + 1)
    off, on = jnp.asarray(values.logical)
    affordable([*index.shape, depth], inputs)
    numbers = jnp.where(numbers < 0, numbers + depth, numbers)
    hot = jnp.expand_dims(numbers, axis) == jnp.arange(depth).reshape([-1 if a == axis else 1 for a in range(index.rank + 1)])
    return [Value.of(jnp.where(hot, on, off))]


@operator("NonZero", "Compress", "Unique")
def by_value(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """Whose shapes depend on values, which must therefore be known."""
    if node.operator == "Compress":
        condition = whole_numbers(inputs[1], "conditions")
        x, axis = inputs[0], node.get("axis")
        array = x.logical if axis is not None else x.logical.reshape(-1)
        axis = 0 if axis is None else axis % x.rank
        kept = [number for number, keep in enumerate(condition) if keep and number < array.shape[axis]]
        return [Value.of(module([x]).take(array, np.array(kept, np.int64), axis=axis))]
    if not inputs[0].known:
        raise UnsupportedError("has a result whose size depends on the image")
    array = inputs[0].logical
    if node.operator == "NonZero":
        return [Value.of(np.array(np.nonzero(array), np.int64))]
    return _unique(array, node.get("axis"), bool(node.get("sorted", 1)))


def _unique(array: np.ndarray, axis: int | None, in_order: bool) -> list[Value]:
    values, first, inverse, counts = np.unique(array, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not in_order:
        seen = np.argsort(first)
        rank = np.argsort(seen)
        values, first, counts, inverse = np.take(values, seen, axis or 0), first[seen], counts[seen], rank[inverse]
    return [Value.of(found) for found in (values, *(part.astype(np.int64) for part in (first, inverse, counts)))]
