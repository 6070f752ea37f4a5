"""From a probe's pixels to a network's input, exactly as `records.Preprocessing` says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.errors import ProbeError, Problem
from generator.records import Preprocessing

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Prepared:
    """input: float32 `(h, w, c)`, what the network gets. shown: uint8 `(h, w, 1 | 3)`, the same crop in grey or RGB order."""

    input: NDArray[np.float32]
    shown: NDArray[np.uint8]


def prepare(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Prepared:
    """What the network gets of an image, and what of it a person is shown.

    pixels: uint8 `(h, w, 1)` grey or `(h, w, 3)` RGB. Grey is repeated for a network that wants colours; colours become
    ITU-R 601 luma for one that wants grey. Resizing is Pillow's, on uint8 and with antialiasing; an image that already has
    the right size is left as it is. Raises `ProbeError` for a mean, std or range that makes no sense.
    """
    mean, std = _per_channel(preprocessing)
    image = _in_colours(pixels, grey=preprocessing.channels == "grey")
    order = slice(None, None, -1) if preprocessing.channels == "bgr" else slice(None)
    if preprocessing.resize == "pad":
        shown = _pad(image, preprocessing, _pixel_values(mean, preprocessing.range)[order])
    elif preprocessing.resize == "squash":
        shown = _resized(image, preprocessing.size_px, (0, 0, *image.size), preprocessing)
    else:
        shown = _crop(image, preprocessing)
    shown = shown[..., None] if shown.ndim == 2 else shown
    channels = shown[..., order]
    low, high = preprocessing.range
    # One row for each of the 256 pixel values, so that each is rounded to float32 once.
    table = (((np.arange(256) / 255 * (high - low) + low)[:, None] - mean) / std).astype(np.float32)
    return Prepared(input=table[channels, np.arange(channels.shape[-1])], shown=shown)


def check(preprocessing: Preprocessing) -> None:
    """Raises `ProbeError` with everything that is wrong with mean, std and range."""
    num_channels = 1 if preprocessing.channels == "grey" else 3
    problems = []
    for name in ("mean", "std"):
        values = getattr(preprocessing, name)
        if len(values) not in (1, num_channels):
            rule = f"{len(values)} numbers for {num_channels} channel{'s' * (num_channels > 1)} ({preprocessing.channels})"
            way_out = "give one" if num_channels == 1 else f"give one for all or {num_channels}"
            problems.append(Problem(f"preprocessing.{name}", rule, way_out))
        if not all(map(math.isfinite, values)):
            problems.append(Problem(f"preprocessing.{name}", f"{list(values)} holds a number that is not finite"))
    if 0 in preprocessing.std:
        problems.append(Problem("preprocessing.std", "0 cannot be divided by", "give 1 to leave pixels as they are"))
    low, high = preprocessing.range
    if low == high or not (math.isfinite(low) and math.isfinite(high)):
        problems.append(Problem("preprocessing.range", f"{[low, high]} is no range", "give [0, 1], [-1, 1] or [0, 255]"))
    if problems:
        raise ProbeError(problems)


def _per_channel(preprocessing: Preprocessing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std, one number a channel of the input."""
    check(preprocessing)
    num_channels = 1 if preprocessing.channels == "grey" else 3
    mean, std = (np.broadcast_to(np.array(v, float), num_channels) for v in (preprocessing.mean, preprocessing.std))
    return mean, std


def _in_colours(pixels: NDArray[np.uint8], *, grey: bool) -> Image.Image:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return image.convert("L" if grey else "RGB")


def _pixel_values(mean: NDArray[np.float64], value_range: tuple[float, float]) -> NDArray[np.uint8]:
    """The pixel values that the mean stands for."""
    low, high = value_range
    return np.clip(np.rint((mean - low) / (high - low) * 255), 0, 255).astype(np.uint8)


def _crop(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The shorter side resized to `size / crop_fraction`, then the centre; for sizes that are not square, the side that
    needs the larger scale counts as the shorter one.

    Only what remains is computed: Pillow resizes a box of the source as if it had resized everything, so that a
    20,000 px wide image costs no more than a square one.
    """
    height, width = preprocessing.size_px
    scale = max(height / image.height, width / image.width) / preprocessing.crop_fraction
    whole_height, whole_width = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    top, left = (whole_height - height) // 2, (whole_width - width) // 2
    down, across = image.height / whole_height, image.width / whole_width
    right, bottom = min((left + width) * across, image.width), min((top + height) * down, image.height)
    return _resized(image, (height, width), (left * across, top * down, right, bottom), preprocessing)


def _pad(image: Image.Image, preprocessing: Preprocessing, fill: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The longer side resized to fit, in the middle of a canvas of the mean's colour."""
    height, width = preprocessing.size_px
    scale = min(height / image.height, width / image.width)
    inner = max(1, round(image.height * scale)), max(1, round(image.width * scale))
    resized = _resized(image, inner, (0, 0, *image.size), preprocessing)
    canvas = np.empty((height, width, *resized.shape[2:]), np.uint8)
    canvas[...] = fill if resized.ndim == 3 else fill[0]
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = resized
    return canvas


def _resized(
    image: Image.Image, size_px: tuple[int, int], box: tuple[float, float, float, float], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    height, width = size_px
    return np.asarray(image.resize((width, height), _RESAMPLING[preprocessing.interpolation], box=box))
