"""Sliding windows of convolutions and pools: sizes, strides and padding as ONNX's attributes give them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from generator.sources.onnx_graph.registry import Node, UnsupportedError

_FARTHEST = 1024
Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """One entry for each axis of positions. pads: `(before, after)`; negative where the last windows would not start inside."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads


def windows(node: Node, positions: Sequence[int], size: Sequence[int]) -> Windows:
    """The windows of a convolution or pool over maps of `positions`, with `ceil_mode` and `auto_pad` made explicit."""
    rank = len(positions)
    strides = each(node, "strides", rank)
    dilations = each(node, "dilations", rank)
    extents = [(length - 1) * dilation + 1 for length, dilation in zip(size, dilations, strict=True)]
    pads = _pads(node, positions, extents, strides)
    for length, extent, beyond in zip(positions, extents, pads, strict=True):
        check_reach(length, max(extent, *beyond))
    if node.get("ceil_mode", 0):
        pads = tuple(_rounded_up(*axis) for axis in zip(positions, extents, strides, pads, strict=True))
    return Windows(tuple(size), strides, dilations, pads)


def check_reach(length: int, reach: int) -> None:
    """Refuses windows and padding that no map is large enough for; they would take forever."""
    if reach > max(_FARTHEST, 4 * length):
        raise UnsupportedError(f"reaches {reach:,} positions far on a map of {length:,}")


def each(node: Node, name: str, rank: int) -> tuple[int, ...]:
    values = tuple(node.get(name) or (1,) * rank)
    if len(values) != rank or any(value < 1 for value in values):
        raise UnsupportedError(f"has {name} {list(values)} for maps with {rank} axes")
    return values


def _pads(node: Node, positions: Sequence[int], extents: Sequence[int], strides: Sequence[int]) -> Pads:
    auto, rank = node.get("auto_pad", "NOTSET"), len(positions)
    if auto == "VALID":
        return ((0, 0),) * rank
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for length, extent, stride in zip(positions, extents, strides, strict=True):
            total = max((math.ceil(length / stride) - 1) * stride + extent - length, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return tuple(pads)
    stated = tuple(node.get("pads") or (0,) * (2 * rank))
    if len(stated) != 2 * rank:
        raise UnsupportedError(f"has pads {list(stated)} for maps with {rank} axes")
    return tuple(zip(stated[:rank], stated[rank:], strict=True))


def _rounded_up(length: int, extent: int, stride: int, pads: tuple[int, int]) -> tuple[int, int]:
    """Padding with which the number of windows is rounded up; a window must start inside the map or the padding before it."""
    before, after = pads
    free = length + before + after - extent
    number = -(-free // stride) + 1
    if (number - 1) * stride >= length + before:
        number -= 1
    return before, (number - 1) * stride + extent - length - before
