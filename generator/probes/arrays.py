"""Arrays of images to uint8, channels last: whole numbers of any width, floats in 0-1 or 0-255, either order of the axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import Layout
from generator.errors import Problem

_CHANNELS = (1, 3)


def to_uint8(images: NDArray, layout: Layout | None, place: str) -> tuple[NDArray[np.uint8] | None, str, list[Problem]]:
    """Images `(n, h, w, 1 | 3)`, what was done to them ("" if nothing), and what is wrong (then there are no images).

    images: `(n, h, w)`, or four axes in the order that `layout` says; without it channels are sought last, then first. Whole
    numbers in 0-255 and floats above 1 are pixel values; uint16 beyond 255 is scaled from 0-65535, floats within 0-1 from 0-1:
    what the whole array holds decides, not each image. Rounded to the nearest value.
    """
    axes, problems = _channels_last(images, layout, place)
    scale, note, more = _scale(images, place)
    if problems or more:
        return None, "", problems + more
    if scale is not None:
        scaled = np.empty(axes.shape, np.uint8)
        for number, image in enumerate(axes):  # one at a time, so that no float copy of everything is made
            scaled[number] = np.rint(np.multiply(image, scale, dtype=np.float64))
        axes = scaled
    return axes[..., None] if axes.ndim == 3 else axes, note, []


def _channels_last(images: NDArray, layout: Layout | None, place: str) -> tuple[NDArray, list[Problem]]:
    shape = images.shape
    if images.ndim == 3 and 0 not in shape:
        return images, []
    if images.ndim == 4 and 0 not in shape:
        last, first = shape[3] in _CHANNELS, shape[1] in _CHANNELS
        if last and layout != "channels_first":
            return images, []
        if first and layout != "channels_last":
            return images.transpose(0, 2, 3, 1), []
    if 0 in shape:
        return images, [Problem(place, f"shape {shape} holds no pixels")]
    if images.ndim == 4 and 4 in (shape[3], shape[1]):
        way_out = "blend it onto white and store three channels"
        return images, [Problem(place, f"shape {shape} has transparency", way_out)]
    if layout == "channels_first":
        return images, [Problem(place, f"shape {shape} is not (n, 1 | 3, h, w), as `layout` says", "correct `layout`")]
    expected = "(n, h, w, 1 | 3)" if layout else "(n, h, w), (n, h, w, 1 | 3) nor (n, 1 | 3, h, w)"
    return images, [Problem(place, f"shape {shape} is {'not' if layout else 'neither'} {expected}", "reorder the axes")]


def _scale(images: NDArray, place: str) -> tuple[float | None, str, list[Problem]]:
    """What values are multiplied by (None: they are pixel values as they are), and what to say of it."""
    if images.dtype == np.uint8:
        return None, "", []
    if images.dtype.kind not in "biuf":
        return None, "", [Problem(place, f"dtype is {images.dtype}", "store whole numbers in 0-255, or floats")]
    if images.size == 0:
        return None, "", []
    low, high = images.min(), images.max()
    way_out = "scale them to 0-255 and store images.round().astype(np.uint8)"
    if not (np.isfinite(low) and np.isfinite(high)):
        return None, "", [Problem(place, "there are values that are not finite", way_out)]
    if images.dtype == np.bool_:
        return 255.0, "false and true scaled to 0 and 255", []
    limit = 65535 if images.dtype == np.uint16 else 255
    if low < 0 or high > limit:
        kind = "is not" if images.dtype.kind in "iu" else "is neither 0 ... 1 nor"
        return None, "", [Problem(place, f"{images.dtype.name} from {low:g} to {high:g} {kind} 0 ... {limit}", way_out)]
    if high > 255:
        return 1 / 257, "16 bits scaled to 8", []
    if images.dtype.kind == "f" and high <= 1:
        return 255.0, "floats in 0-1 scaled to 0-255", []
    return 1.0, f"{images.dtype.name} in 0-255 rounded to 8 bits" if images.dtype.kind == "f" else "", []
