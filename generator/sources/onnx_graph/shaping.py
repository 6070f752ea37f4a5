"""Shapes: what changes where values are and not what they are. Maps stay with channels last in memory where they can."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.elementwise import module
from generator.sources.onnx_graph.registry import Node, UnsupportedError, affordable, operator
from generator.sources.onnx_graph.values import Value


def whole_numbers(value: Value | None, what: str) -> list[int] | None:
    """A known tensor of whole numbers as a list; None where it is left out."""
    if value is None:
        return None
    if not value.known:
        raise UnsupportedError(f"has {what} that depend on the image")
    return [int(number) for number in value.array.reshape(-1)]


def reshaped(x: Value, target: Sequence[int]) -> Value:
    """`x` with the logical shape `target`.

    Axes fall into groups: the fewest neighbours before and after whose sizes have equal products. A group stays where it lies
    in memory, so that splitting or joining channels moves no map; only what a group joins from apart is brought together.
    """
    target = tuple(int(size) for size in target)
    if math.prod(target) != x.array.size:
        raise UnsupportedError(f"makes {' x '.join(map(str, target))} of {' x '.join(map(str, x.shape))}")
    if x.order == tuple(range(x.rank)) or x.array.size == 0:
        return Value.of(x.logical.reshape(target))
    groups = sorted(_groups(x.shape, target), key=lambda group: _place(group[0], x))
    wanted = [axis for before, _ in groups for axis in before]
    array = x.array
    if [a for a in wanted if x.shape[a] > 1] != [a for a in x.order if x.shape[a] > 1]:
        array = x.ordered(tuple(wanted))
    order = tuple(axis for _, after in groups for axis in after)
    return Value(array.reshape([target[axis] for axis in order]), order)


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    groups, i, j = [], 0, 0
    while i < len(before) and j < len(after):
        left, right = [i], [j]
        sizes = [before[i], after[j]]
        while sizes[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                i += 1
                left.append(i)
                sizes[0] *= before[i]
            else:
                j += 1
                right.append(j)
                sizes[1] *= after[j]
        groups.append((left, right))
        i, j = i + 1, j + 1
    rest = (list(range(i, len(before))), list(range(j, len(after))))
    if groups:
        groups[-1][0].extend(rest[0])
        groups[-1][1].extend(rest[1])
        return groups
    return [rest]


def _place(axes: Iterable[int], x: Value) -> float:
    """Where a group lies in memory: at its largest axis."""
    axes = list(axes)
    return x.order.index(max(axes, key=lambda axis: (x.shape[axis] > 1, -axes.index(axis)))) if axes else math.inf


@operator("Reshape")
def reshape(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    target = node.get("shape") if len(inputs) < 2 else whole_numbers(inputs[1], "a shape with sizes")
    if not node.get("allowzero", 0):
        target = [x.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    if -1 in target:
        rest = math.prod(size for size in target if size != -1)
        target = [x.array.size // max(rest, 1) if size == -1 else size for size in target]
    return [reshaped(x, target)]


@operator("Flatten")
def flatten(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    axis = node.get("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return [reshaped(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))]


@operator("Squeeze")
def squeeze(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    axes = whole_numbers(inputs[1], "axes") if len(inputs) > 1 else node.get("axes")
    gone = {axis % x.rank for axis in axes} if axes is not None else {axis for axis, size in enumerate(x.shape) if size == 1}
    return [reshaped(x, [size for axis, size in enumerate(x.shape) if axis not in gone])]


@operator("Unsqueeze")
def unsqueeze(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    axes = whole_numbers(inputs[1], "axes") if len(inputs) > 1 else node.get("axes")
    rank = x.rank + len(axes)
    new, sizes = {axis % rank for axis in axes}, iter(x.shape)
    return [reshaped(x, [1 if axis in new else next(sizes) for axis in range(rank)])]


@operator("Transpose")
def transpose(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    return [x.transposed(tuple(node.get("perm") or range(x.rank)[::-1]))]


@operator("Expand")
def expand(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, target = inputs[0], whole_numbers(inputs[1], "a shape with sizes")
    shape = np.broadcast_shapes(x.shape, tuple(target))
    affordable(shape, [x])
    new = len(shape) - x.rank
    order = (*range(new), *(axis + new for axis in x.order))
    array = x.array.reshape((1,) * new + x.array.shape)
    return [Value(module([x]).broadcast_to(array, [shape[axis] for axis in order]), order)]


@operator("Tile")
def tile(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, repeats = inputs[0], whole_numbers(inputs[1], "repeats")
    affordable([size * times for size, times in zip(x.shape, repeats, strict=True)], [x])
    return [Value(module([x]).tile(x.array, [repeats[axis] for axis in x.order]), x.order)]


@operator("Shape")
def shape(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    return [Value.of(np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64))]


@operator("Size")
def size(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    return [Value.of(np.array(inputs[0].array.size, np.int64))]


@operator("Constant")
def constant(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for name, value in node.attributes.items():
        if name == "value" and value is not None:
            return [Value.of(np.asarray(value))]
        if name in types:
            return [Value.of(np.array(value, types[name]))]
    raise UnsupportedError("holds text or a sparse tensor")


@operator("ConstantOfShape")
def constant_of_shape(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    sizes = whole_numbers(inputs[0], "a shape with sizes")
    value = node.get("value")
    value = np.zeros(1, np.float32) if value is None else np.asarray(value)
    affordable(sizes, inputs)
    return [Value.of(np.full(sizes, value.reshape(-1)[0], value.dtype))]


@operator("Range")
def arange(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    if not all(value.known for value in inputs):
        raise UnsupportedError("counts to a number that depends on the image")
    start, limit, delta = (value.array.reshape(-1)[0].item() for value in inputs)
    if delta == 0 or not math.isfinite((limit - start) / delta):
        raise UnsupportedError(f"counts from {start} to {limit} by {delta}")
    affordable([max(0, math.ceil((limit - start) / delta))], inputs)
    return [Value.of(np.arange(start, limit, delta, dtype=inputs[0].array.dtype))]


@operator("EyeLike")
def eye_like(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    from onnx import helper

    (x,) = inputs
    dtype = helper.tensor_dtype_to_np_dtype(node.get("dtype")) if node.get("dtype") else x.array.dtype
    return [Value.of(np.eye(*x.shape, k=node.get("k", 0), dtype=dtype))]


@operator("DepthToSpace")
def depth_to_space(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    n, c, h, w = x.shape
    b = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        moved = reshaped(x, (n, b, b, c // b**2, h, w)).transposed((0, 3, 4, 1, 5, 2))
    else:
        moved = reshaped(x, (n, c // b**2, b, b, h, w)).transposed((0, 1, 4, 2, 5, 3))
    return [reshaped(moved, (n, c // b**2, h * b, w * b))]


@operator("SpaceToDepth")
def space_to_depth(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    n, c, h, w = x.shape
    b = node.get("blocksize")
    axes = (0, 3, 5, 1, 2, 4) if node.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    moved = reshaped(x, (n, c, h // b, b, w // b, b)).transposed(axes)
    return [reshaped(moved, (n, c * b * b, h // b, w // b))]


@operator("Trilu")
def trilu(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    k = (whole_numbers(inputs[1], "a diagonal") or [0])[0] if len(inputs) > 1 else 0
    k = max(-(1 << 30), min(1 << 30, k))
    xp = module([x])
    return [Value.of((xp.triu if node.get("upper", 1) else xp.tril)(x.logical, k))]


@operator("CumSum")
def cumulative_sum(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, (axis,) = inputs[0], whole_numbers(inputs[1], "an axis")
    place, xp = x.order.index(axis % x.rank), module([inputs[0]])
    array = xp.flip(x.array, place) if node.get("reverse", 0) else x.array
    total = xp.cumsum(array, place, dtype=array.dtype)
    if node.get("exclusive", 0):
        total = total - array
    return [Value(xp.flip(total, place) if node.get("reverse", 0) else total, x.order)]


@operator("ReverseSequence")
def reverse_sequence(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, lengths = inputs[0], whole_numbers(inputs[1], "lengths")
    batch, time = node.get("batch_axis", 1), node.get("time_axis", 0)
    rows = jnp.moveaxis(jnp.asarray(x.logical), (batch, time), (0, 1))
    steps = np.arange(rows.shape[1])
    index = np.array([np.where(steps < length, length - 1 - steps, steps) for length in lengths])
    turned = jnp.take_along_axis(rows, index.reshape(*index.shape, *(1,) * (rows.ndim - 2)), 1)
    return [Value.of(jnp.moveaxis(turned, (0, 1), (batch, time)))]
