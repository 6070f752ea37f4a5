"""Stimuli that measure what orientation, scale and hue units prefer; pure functions from a side length to pixels.

Gratings of all orientations: black and white at three scales, and of two pairs of opposite hues (rose and green, blue and
yellow), so that edges only colour can see have an orientation, too. Hues, all around the circle: the whole image of one, and
soft dots of it on grey, small and large. All colours have the luma of mid-grey and the same distance from it, as far as sRGB
has room for the whole circle: a unit that weighs red, green and blue linearly answers to hue as a cosine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from generator.probes.stimuli import MID_GREY, Floats, Pixels

NUM_ORIENTATIONS, NUM_HUES = 12, 12
#: In quarters of a period. With the many positions of a map, two are enough.
PHASES = (0, 1)
#: Periods are no whole number of pixels, since strides that fit would show every position of a map the same phase.
FINEST_PERIOD_PX = 4.3
OPPONENT_HUES_DEG = (330.0, 240.0)
#: ITU-R 601.
LUMA = np.array([0.299, 0.587, 0.114])

Kind = Literal["plain", "grating", "coloured_grating", "hue"]


@dataclass(frozen=True)
class Stimuli:
    """images: uint8 `(n, size_px, size_px, 3)`, or `(n, size_px, size_px, 1)` without colours. One entry each:

    kind: `plain` (the first: nothing but mid-grey), `grating` (black and white), `coloured_grating` or `hue`. series: which
    ones belong to one curve, numbers from 0; they share everything but the angle, and for gratings the phase. angle_deg: of the
    bars, 0-180 counter-clockwise from horizontal; or the hue as in HSV, 0-360. period_px: of gratings, and of the lattice of
    dots; infinite for a whole image.
    """

    images: Pixels
    kind: tuple[Kind, ...]
    series: NDArray[np.int64]
    angle_deg: Floats
    period_px: Floats


def tuning_stimuli(size_px: int, grey: bool) -> Stimuli:
    """157 images, or 73 for models that see grey. The same size gives the same bytes.

    size_px: at least 8; periods go from 4.3 pixels to a quarter of it. Raises ValueError for less.
    """
    if size_px < 8:
        raise ValueError(f"{size_px} px are too few for gratings; at least 8")
    coarsest = max(FINEST_PERIOD_PX, size_px / 4)
    periods = [FINEST_PERIOD_PX, math.sqrt(FINEST_PERIOD_PX * coarsest), coarsest]
    drawn: list[tuple[Pixels, Kind, int, float, float]] = [
        (_pixels(np.zeros((size_px, size_px, 3))), "plain", 0, 0.0, math.inf)
    ]

    contrasts: list[tuple[Kind, Floats, float]] = [("grating", np.full(3, MID_GREY), period) for period in periods]
    if not grey:
        contrasts += [("coloured_grating", hue_offset(hue), periods[1]) for hue in OPPONENT_HUES_DEG]
    for series, (kind, contrast, period) in enumerate(contrasts, 1):
        for angle in np.arange(NUM_ORIENTATIONS) * 180.0 / NUM_ORIENTATIONS:
            for phase in PHASES:
                wave = _grating(size_px, angle, period, phase * math.pi / 2)
                drawn.append((_pixels(wave[..., None] * contrast), kind, series, angle, period))
    if not grey:
        masks = [(math.inf, np.ones((size_px, size_px))), *((period, _dots(size_px, period)) for period in periods[1:])]
        for series, (period, mask) in enumerate(masks, len(contrasts) + 1):
            for hue in np.arange(NUM_HUES) * 360.0 / NUM_HUES:
                drawn.append((_pixels(mask[..., None] * hue_offset(hue)), "hue", series, hue, period))

    images, kinds, numbers, angles, lengths = zip(*drawn, strict=True)
    stacked = np.stack(images)
    return Stimuli(stacked[..., :1] if grey else stacked, kinds, np.array(numbers), np.array(angles), np.array(lengths))


def hue_offset(hue_deg: float) -> Floats:
    """What a colour of this hue and of mid luma adds to mid-grey, red, green and blue in pixel values.

    Seen along the grey axis, the offsets of all hues are a circle around grey; it is the largest one within sRGB. At multiples
    of 30 degrees HSV's hue is exactly this one, elsewhere within 1.2 degrees.
    """
    return _ON_CIRCLE * _flat(hue_deg)


def _flat(hue_deg: float) -> Floats:
    """A circle around the grey axis, moved along it to no luma."""
    around = np.cos(np.deg2rad(hue_deg - np.array([0.0, 120.0, 240.0])))
    return around - LUMA @ around


#: The channel that goes furthest anywhere on the circle just reaches black or white.
_ON_CIRCLE = MID_GREY / max(float(np.abs(_flat(hue)).max()) for hue in range(360))


def _grating(size_px: int, orientation_deg: float, period_px: float, phase: float) -> Floats:
    """`(size_px, size_px)` in -1 ... 1; the phase is that of the image's middle."""
    place = np.arange(size_px) + 0.5 - size_px / 2
    x, y = np.meshgrid(place, place)
    angle = np.deg2rad(orientation_deg)
    across = x * np.sin(angle) + y * np.cos(angle)  # rows point down, so this is the distance from a bar's axis
    return np.cos(2 * np.pi / period_px * across + phase)


def _dots(size_px: int, period_px: float) -> Floats:
    """Round Gaussian dots in a square lattice, 0 ... 1, one of them in the middle; their sd is a sixth of the period."""
    place = np.arange(size_px) + 0.5 - size_px / 2
    offset = place - np.rint(place / period_px) * period_px
    bump = np.exp(-0.5 * (offset / (period_px / 6)) ** 2)
    return bump[:, None] * bump


def _pixels(offset: Floats) -> Pixels:
    return np.clip(np.rint(MID_GREY + offset), 0, 255).astype(np.uint8)
