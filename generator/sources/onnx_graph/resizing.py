"""Resizing maps: nearest, linear and cubic, with the many ways in which ONNX lays positions over each other.

Along one axis a resize is a matrix with a few numbers a row; maps are multiplied by one matrix for each axis. Where every
position is repeated a whole number of times it is a repetition instead, which is what most networks ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.registry import MOST_NUMBERS, Node, UnsupportedError, affordable, operator
from generator.sources.onnx_graph.shaping import whole_numbers
from generator.sources.onnx_graph.values import Value, channels_last

_MOST_POSITIONS = 1 << 16


@dataclass(frozen=True)
class _Axis:
    """One axis that changes. scale: as the file gives it, or output over input. roi: start and end, for cropping."""

    before: int
    after: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


@operator("Upsample")
def upsample(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    scales = node.get("scales") if len(inputs) < 2 else _floats(inputs[1], "scales")
    axes = [_Axis(size, int(np.floor(size * scale)), scale) for size, scale in zip(x.shape, scales, strict=True)]
    return [_resized(x, axes, "linear" if "linear" in node.get("mode", "nearest") else "nearest", "asymmetric", "floor", node)]


@operator("Resize")
def resize(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    if node.opset < 11:
        roi, scales, sizes = None, _floats(inputs[1], "scales"), None
        how, rounding = "asymmetric", "floor"
    else:
        given = [*inputs[1:], None, None, None][:3]
        roi, scales = (None if value is None or value.array.size == 0 else _floats(value, "scales") for value in given[:2])
        sizes = whole_numbers(given[2], "sizes") if given[2] is not None and given[2].array.size else None
        how = node.get("coordinate_transformation_mode", "half_pixel")
        rounding = node.get("nearest_mode", "round_prefer_floor")
    axes = node.get("axes")
    chosen = list(range(x.rank)) if axes is None else [axis % x.rank for axis in axes]
    found = [_Axis(size, size, 1.0) for size in x.shape]
    if sizes is not None:
        sizes, scales = _kept_aspect(node, [x.shape[axis] for axis in chosen], sizes)
    for position, axis in enumerate(chosen):
        size, scale = x.shape[axis], scales[position]
        after = sizes[position] if sizes is not None else int(np.floor(size * scale))
        part = (roi[position], roi[position + len(chosen)]) if roi and how == "tf_crop_and_resize" else (0.0, 1.0)
        found[axis] = _Axis(size, after, scale, part)
    mode = node.get("mode", "nearest")
    if mode not in ("nearest", "linear", "cubic"):
        raise UnsupportedError(f"has the unknown mode {mode!r}")
    return [_resized(x, found, mode, how, rounding, node)]


def _floats(value: Value, what: str) -> list[float]:
    if not value.known:
        raise UnsupportedError(f"has {what} that depend on the image")
    return [float(number) for number in value.array.reshape(-1)]


def _kept_aspect(node: Node, before: Sequence[int], sizes: list[int]) -> tuple[list[int], list[float]]:
    scales = [size / length for size, length in zip(sizes, before, strict=True)]
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, scales
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [int(np.floor(scale * length + 0.5)) for length in before], [scale] * len(before)


def _resized(x: Value, axes: Sequence[_Axis], mode: str, how: str, rounding: str, node: Node) -> Value:
    affordable([axis.after for axis in axes], [x])
    order = channels_last(x.rank) if x.rank > 2 else x.order
    array = jnp.asarray(x.ordered(order))
    for place, logical in enumerate(order):
        axis = axes[logical]
        if axis.before == axis.after and (axis.scale == 1.0 or mode == "nearest") and how != "tf_crop_and_resize":
            continue
        matrix = _matrix(axis, mode, how, rounding, node)
        repeats = axis.after // axis.before if axis.after % axis.before == 0 else 0
        if repeats and (matrix == np.repeat(np.eye(axis.before, dtype=matrix.dtype), repeats, 0)).all():
            array = jnp.repeat(array, repeats, place)
        elif mode == "nearest" and not np.isnan(matrix).any():
            array = jnp.take(array, matrix.argmax(1), axis=place)
        else:
            moved = jnp.tensordot(array.astype(jnp.float32), matrix, ((place,), (1,)))
            array = jnp.moveaxis(moved, -1, place).astype(array.dtype)
    beyond = node.get("extrapolation_value", 0.0)
    if how == "tf_crop_and_resize":
        for place, logical in enumerate(order):
            inside = _inside(axes[logical])
            if not inside.all():
                shape = [-1 if other == place else 1 for other in range(array.ndim)]
                array = jnp.where(inside.reshape(shape), array, beyond)
    return Value(array, order)


def _inside(axis: _Axis) -> np.ndarray:
    source = _sources(axis, "tf_crop_and_resize")
    return (source >= 0) & (source <= axis.before - 1)


def _sources(axis: _Axis, how: str) -> np.ndarray:
    """Where each output position lies in the input."""
    place, scale, before = np.arange(axis.after, dtype=np.float64), axis.scale, axis.before
    length = scale * before
    match how:
        case "half_pixel":
            return (place + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjusted = axis.after / length
            return before / 2 * (1 - adjusted) + (place + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (place + 0.5) / scale - 0.5 if axis.after > 1 else place * 0 - 0.5 if length > 1 else place * 0
        case "align_corners":
            return place * (before - 1) / (length - 1) if length != 1 else place * 0
        case "asymmetric":
            return place / scale
        case "tf_crop_and_resize":
            start, end = axis.roi
            if axis.after > 1:
                return start * (before - 1) + place * (end - start) * (before - 1) / (length - 1)
            return place * 0 + 0.5 * (start + end) * (before - 1)
    raise UnsupportedError(f"has the unknown coordinate_transformation_mode {how!r}")


def _matrix(axis: _Axis, mode: str, how: str, rounding: str, node: Node) -> np.ndarray:
    """`(after, before)`: how much of each input position every output position has."""
    if axis.after > _MOST_POSITIONS or axis.before * axis.after > MOST_NUMBERS // 4:
        raise UnsupportedError(f"resizes {axis.before:,} positions to {axis.after:,}")
    source = _sources(axis, how)
    rows = np.zeros((axis.after, axis.before))
    if mode == "nearest":
        nearest = {
            "round_prefer_floor": lambda x: np.ceil(x - 0.5),
            "round_prefer_ceil": lambda x: np.floor(x + 0.5),
            "floor": np.floor,
            "ceil": np.ceil,
        }[rounding](source)
        rows[np.arange(axis.after), np.clip(nearest.astype(int), 0, axis.before - 1)] = 1
        return rows.astype(np.float32)
    stretch = 1.0
    if node.get("antialias", 0) and axis.scale < 1:
        stretch = axis.scale
    reach = (1 if mode == "linear" else 2) / stretch
    low = np.floor(source).astype(int)
    exclude = bool(node.get("exclude_outside", 0))
    taps = range(int(-np.ceil(reach)) - 1, int(np.ceil(reach)) + 2)
    for tap in taps:
        at = low + tap
        weight = _kernel((source - at) * stretch, mode, node.get("cubic_coeff_a", -0.75))
        if stretch < 1:
            weight = np.where(np.abs(source - at) < reach, weight, 0)
        if exclude:
            weight = np.where((at >= 0) & (at < axis.before), weight, 0)
        np.add.at(rows, (np.arange(axis.after), np.clip(at, 0, axis.before - 1)), weight)
    if exclude or stretch < 1:
        rows /= rows.sum(1, keepdims=True)
    return rows.astype(np.float32)


def _kernel(distance: np.ndarray, mode: str, a: float) -> np.ndarray:
    """Linear, or cubic convolution (Keys 1981, equation 15, with a free parameter)."""
    x = np.abs(distance)
    if mode == "linear":
        return np.maximum(0, 1 - x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@operator("GridSample")
def grid_sample(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x, grid = inputs
    if x.rank != 4:
        raise UnsupportedError(f"samples maps with {x.rank - 2} axes of positions")
    mode = node.get("mode", "linear").replace("bilinear", "linear").replace("bicubic", "cubic")
    values = jnp.asarray(x.ordered(channels_last(4)))
    points = jnp.asarray(grid.logical)  # (n, h, w, 2), each (x, y) in -1 ... 1
    sizes, corners = (values.shape[2], values.shape[1]), node.get("align_corners", 0)
    columns, rows = (
        (points[..., axis] + 1) / 2 * (size - 1) if corners else ((points[..., axis] + 1) * size - 1) / 2
        for axis, size in enumerate(sizes)
    )
    padding = node.get("padding_mode", "zeros")
    if mode == "nearest":
        found = _pixels(values, jnp.round(rows), jnp.round(columns), padding, bool(corners))
        return [Value(found, channels_last(4))]
    reach = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
    total = 0.0
    top, left = jnp.floor(rows), jnp.floor(columns)
    if mode == "linear" and padding != "zeros":
        rows, columns = _within(rows, sizes[1], padding, corners), _within(columns, sizes[0], padding, corners)
        top, left = jnp.floor(rows), jnp.floor(columns)
    for down in reach:
        for across in reach:
            weight = _weights(rows - top - down, mode) * _weights(columns - left - across, mode)
            total = total + weight[..., None] * _pixels(values, top + down, left + across, padding, bool(corners))
    return [Value(total, channels_last(4))]


def _weights(distance, mode: str):
    x = jnp.abs(distance)
    if mode == "linear":
        return jnp.maximum(0, 1 - x)
    a = -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    return jnp.where(x <= 1, near, jnp.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0))


def _within(place, size: int, padding: str, corners):
    """Positions outside brought back: to the border, or reflected at it."""
    if padding == "border":
        return jnp.clip(place, 0, size - 1)
    low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
    span = max(high - low, 1e-6)
    folded = jnp.abs((place - low) % (2 * span))
    return jnp.clip(jnp.where(folded > span, 2 * span - folded, folded) + low, 0, size - 1)


def _pixels(values, rows, columns, padding: str, corners: bool):
    height, width = values.shape[1:3]
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    if padding != "zeros":
        rows, columns = _within(rows, height, padding, corners), _within(columns, width, padding, corners)
    y = jnp.clip(rows, 0, height - 1).astype(jnp.int32)
    x = jnp.clip(columns, 0, width - 1).astype(jnp.int32)
    found = values[jnp.arange(len(values))[:, None, None], y, x]
    return jnp.where(inside[..., None], found, 0) if padding == "zeros" else found
