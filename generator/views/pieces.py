"""Where the piece of an image lies that a position of a layer sees, what is in it, and how strong a unit's map is there."""

from __future__ import annotations

import numpy as np
from PIL import Image

from generator.network.graph import Layer, ReceptiveField

#: A map's strength is kept at so many points across a piece; pieces that see fewer positions across are left as they are.
STRENGTH_POINTS, LEAST_POSITIONS = 20, 6
OUTSIDE = 128

Box = tuple[int, int, int, int]
Square = tuple[int, int, int]


def box(layer: Layer, position: int, size: tuple[int, int]) -> Box:
    """`(top, left, height, width)` of the receptive field of a position, counted row by row, cut to the image of `size`.

    At least one pixel: a position that sees nothing but padding has the nearest.
    """
    if layer.spatial is None:
        return 0, 0, *size
    starts, lengths = [], []
    for axis, index in enumerate(divmod(position, layer.spatial[1])):
        start, end = _ends(layer.receptive_field, axis, index)
        first = min(max(start, 0), size[axis] - 1)
        starts.append(first)
        lengths.append(max(min(end, size[axis]), first + 1) - first)
    return *starts, *lengths


def square(layer: Layer, position: int, size: tuple[int, int]) -> Square:
    """`(top, left, side)` of what a tile shows: as much as the whole field, moved into the image where that reaches beyond, or
    the whole image if the field is larger."""
    field = layer.receptive_field
    if sees_all(layer, size):
        side = max(size)
        return (size[0] - side) // 2, (size[1] - side) // 2, side
    side = max(field.size)
    corner = []
    for axis, index in enumerate(divmod(position, layer.spatial[1])):
        start, end = _ends(field, axis, index)
        corner.append(min(max((start + end - side) // 2, 0), size[axis] - side))
    return *corner, side


def patch(picture: np.ndarray, where: Square, side_px: int) -> np.ndarray:
    """The square `where` of `picture`, uint8 `(side_px, side_px, 1 | 3)`; beyond the image it is mid-grey."""
    top, left, side = where
    whole = np.full((side, side, picture.shape[2]), OUTSIDE, np.uint8)
    rows, columns = (slice(max(0, a), max(0, a + side)) for a in (top, left))
    inside = picture[rows, columns]
    down, across = max(0, -top), max(0, -left)
    whole[down : down + inside.shape[0], across : across + inside.shape[1]] = inside
    return whole if side == side_px else resized(whole, (side_px, side_px))


def strength(layer: Layer, values: np.ndarray, where: Square, size: tuple[int, int]) -> np.ndarray:
    """The map `values` `(h, w)` over the square `where`, uint8 `(STRENGTH_POINTS, STRENGTH_POINTS)`, 255 for its maximum.

    Bilinear between the centres of fields, constant beyond the outermost. All 255 where nothing could stand out: the map has
    no positive value, or fewer than `LEAST_POSITIONS` fit in the piece.
    """
    top, left, side = where
    largest = values.max()
    field = layer.receptive_field
    few = not sees_all(layer, size) and min(side / step if step else 0 for step in field.stride) < LEAST_POSITIONS
    if few or not (np.isfinite(largest) and largest > 0):
        return np.full((STRENGTH_POINTS, STRENGTH_POINTS), 255, np.uint8)
    points = (np.arange(STRENGTH_POINTS) + 0.5) * side / STRENGTH_POINTS - 0.5
    down, across = (
        _weights(_map_coordinates(field, axis, points + start, length, size[axis]), length)
        for axis, (start, length) in enumerate(zip((top, left), values.shape, strict=True))
    )
    relative = np.clip(np.nan_to_num(down @ values @ across.T) / largest, 0, 1)
    return np.rint(relative * 255).astype(np.uint8)


def _map_coordinates(field: ReceptiveField, axis: int, pixels: np.ndarray, length: int, num_pixels: int) -> np.ndarray:
    """Where input pixels lie in a map of `length` positions."""
    if field.stride[axis] == 0:
        return (pixels + 0.5) * length / num_pixels - 0.5
    return (pixels - field.first[axis] - (field.size[axis] - 1) / 2) / field.stride[axis]


def _weights(places: np.ndarray, length: int) -> np.ndarray:
    """Linear interpolation at `places` between `length` values as a matrix `(len(places), length)`."""
    return np.maximum(0, 1 - np.abs(np.clip(places, 0, length - 1)[:, None] - np.arange(length)))


def _ends(field: ReceptiveField, axis: int, index: int) -> tuple[int, int]:
    """First input pixel that position `index` sees along an axis, and the one behind the last."""
    start = field.first[axis] + index * field.stride[axis]
    return int(np.floor(start)), int(np.ceil(start)) + field.size[axis]


def sees_all(layer: Layer, size: tuple[int, int]) -> bool:
    return layer.spatial is None or layer.receptive_field.whole or max(layer.receptive_field.size) > min(size)


def resized(pixels: np.ndarray, size_px: tuple[int, int], filter_: Image.Resampling = Image.Resampling.LANCZOS) -> np.ndarray:
    """uint8 `(h, w, 1 | 3)` at another size `(height, width)`."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.resize(size_px[::-1], filter_)).reshape(*size_px, pixels.shape[2])
