"""Synthetic stimuli: pure functions from a side length to uint8 RGB `(size_px, size_px, 3)`.

Values are pixel values, not light: mid-grey is 127.5. Nothing is drawn beyond the sampling limit of half a cycle a pixel, and
shapes have soft, anti-aliased edges, so that no unit answers to a drawing artefact. The same size gives the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

MID_GREY = 127.5


def grating(size_px: int, *, orientation_deg: float, cycles: float) -> Pixels:
    """A sinusoidal grating of full contrast.

    orientation_deg: of the bars, counter-clockwise from horizontal: 0 lies, 90 stands, 45 rises to the right.
    cycles: periods in `size_px`, counted across the bars.
    """
    x, y = _centred(size_px)
    angle = np.deg2rad(orientation_deg)
    across = x * np.sin(angle) + y * np.cos(angle)  # rows point down, so this is the distance from a bar's axis
    return _grey(np.cos(2 * np.pi * cycles / size_px * across))


def zone_plate(size_px: int) -> Pixels:
    """Rings whose spatial frequency grows linearly with the radius `r`: `0.8 r / size_px` cycles a pixel, all orientations."""
    x, y = _centred(size_px)
    return _grey(np.cos(np.pi * 0.8 / size_px * (x**2 + y**2)))


def star(size_px: int, *, cycles: int) -> Pixels:
    """Siemens star: every orientation, `cycles` periods round the centre; fades to grey from 0.25 to 0.35 cycles a pixel."""
    x, y = _centred(size_px)
    frequency = cycles / (2 * np.pi * np.maximum(np.hypot(x, y), 0.5))
    contrast = np.clip((0.35 - frequency) / 0.1, 0, 1)
    return _grey(contrast * np.cos(cycles * np.arctan2(y, x)))


def edge(size_px: int, *, orientation_deg: float) -> Pixels:
    """A step from black to white through the centre; orientation as in `grating`, white below or to the right of it."""
    x, y = _centred(size_px)
    angle = np.deg2rad(orientation_deg)
    return _grey(2 * _covered(x * np.sin(angle) + y * np.cos(angle)) - 1)


def dots(size_px: int, *, num: int = 6) -> Pixels:
    """`num x num` discs on mid-grey, black and white in turn; the radius grows row by row from 10 % to 45 % of the pitch."""
    pitch = size_px / num
    place = np.arange(size_px) + 0.5
    index = np.minimum(place // pitch, num - 1)
    offset = place - (index + 0.5) * pitch
    radius = pitch * np.linspace(0.1, 0.45, num)[index.astype(int)][:, None]
    covered = _covered(radius - np.hypot(*np.meshgrid(offset, offset)))
    sign = np.where((index[:, None] + index) % 2 == 0, 1.0, -1.0)
    return _grey(covered * sign)


def checkerboard(size_px: int, *, num: int = 8) -> Pixels:
    """`num x num` squares; every pixel is the exact mean of what it covers."""
    steps = np.arange(size_px + 1) * num / size_px
    # Integral of the square wave +1, -1, +1 ... of period 2: a triangle wave. Its differences are pixel means.
    triangle = 1 - np.abs(steps % 2 - 1)
    wave = np.diff(triangle) * size_px / num
    return _grey(wave[:, None] * wave)


def colour_wheel(size_px: int) -> Pixels:
    """Hue by angle (red right, counter-clockwise), saturation by radius, full value, on mid-grey."""
    x, y = _centred(size_px)
    radius = 0.48 * size_px
    hue = np.arctan2(-y, x) / (2 * np.pi) * 6
    saturation = np.clip(np.hypot(x, y) / radius, 0, 1)
    # HSV to RGB: each channel is full within one sixth of the circle of its own hue and falls linearly to the next sixth.
    distance = [np.abs((hue - own + 3) % 6 - 3) for own in (0, 2, 4)]
    colours = np.stack([1 - saturation * np.clip(d - 1, 0, 1) for d in distance], axis=-1)
    covered = _covered(radius - np.hypot(x, y))[..., None]
    return _uint8(255 * colours * covered + MID_GREY * (1 - covered))


def colour_edges(size_px: int) -> Pixels:
    """Four squares of the same luma (ITU-R 601): red beside green, blue beside yellow. Only colour tells them apart."""
    red, green, blue, yellow = (_at_equal_luma(*chroma) for chroma in ((0, 85), (0, -85), (65, 0), (-65, 0)))
    half = (np.arange(size_px) + 0.5) * 2 > size_px
    rows, columns = half[:, None, None], half[None, :, None]
    return _uint8(np.where(rows, np.where(columns, yellow, blue), np.where(columns, green, red)))


def natural_noise(size_px: int) -> Pixels:
    """Grey noise with the amplitude spectrum `1 / f` of natural scenes (Field 1987) and random phases; 3 sd fill 0-255."""
    f = np.hypot(np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px))
    f[0, 0] = np.inf
    phases = np.random.default_rng(0).random(f.shape) * 2 * np.pi
    noise = np.fft.irfft2(np.exp(1j * phases) / f, s=(size_px, size_px))
    return _grey(np.clip(noise / noise.std() / 3, -1, 1))


def _centred(size_px: int) -> tuple[Floats, Floats]:
    """Column and row of every pixel's centre, from the middle of the image, in pixels."""
    place = np.arange(size_px) + 0.5 - size_px / 2
    return np.meshgrid(place, place)


def _covered(distance: Floats) -> Floats:
    """How much of a pixel is inside a shape whose border is `distance` pixels away (positive inside), 0-1."""
    return np.clip(distance + 0.5, 0, 1)


def _at_equal_luma(cb: float, cr: float) -> Floats:
    """RGB of mid luma and the chroma `cb`, `cr` (JPEG's YCbCr, ITU-R 601 weights 0.299, 0.587, 0.114)."""
    red, blue = MID_GREY + 1.402 * cr, MID_GREY + 1.772 * cb
    return np.array([red, (MID_GREY - 0.299 * red - 0.114 * blue) / 0.587, blue])


def _grey(contrast: Floats) -> Pixels:
    """-1 black, 0 mid-grey, 1 white, as RGB."""
    return np.repeat(_uint8(MID_GREY * (1 + contrast))[..., None], 3, axis=-1)


def _uint8(values: Floats) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
