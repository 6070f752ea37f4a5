"""Presets: how long to climb, and how much the image is moved meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import optax

from generator.views.feature_vis.optimiser import half_shared_adam
from generator.views.feature_vis.transforms import Crops, Robustness

RATE = 0.06
MACO_RATE = 1.0


@dataclass(frozen=True)
class Preset:
    """steps: for pixels and spectra. jitter: in px of an image of 128 px. degrees, scales: as in `Robustness`.

    maco_steps, crops: for MACO, which sees so many crops at each step.
    """

    steps: int
    jitter: tuple[int, int]
    scales: tuple[float, float]
    degrees: float
    maco_steps: int
    crops: int


#: `standard` moves images as Lucid's recipes do (2018), `publication` as the figures of Olah et al. 2017.
PRESETS = {
    "draft": Preset(steps=48, jitter=(8, 4), scales=(0.9, 1.1), degrees=10.0, maco_steps=48, crops=4),
    "standard": Preset(steps=128, jitter=(8, 4), scales=(0.9, 1.1), degrees=10.0, maco_steps=128, crops=8),
    "publication": Preset(steps=1024, jitter=(16, 8), scales=(0.9, 1.1), degrees=5.0, maco_steps=256, crops=32),
}


def margin(size: int) -> int:
    """What the network sees around an image of `size` px, both sides together: in proportion, as in Lucid's recipes."""
    return max(2, round(12 * size / 128))


def robustness(preset: Preset, size: int, frame: tuple[int, int]) -> Robustness:
    """The preset's transforms for images of `size` px seen in a frame `(height, width)`."""
    jitter = tuple(max(1, round(move * size / 128)) for move in preset.jitter)
    return Robustness(frame, jitter, preset.scales, preset.degrees)


def crops(preset: Preset, frame: tuple[int, int]) -> Crops:
    return Crops(frame, preset.crops)


def optimiser(parameterisation: Literal["fourier", "pixels", "maco"]) -> optax.GradientTransformation:
    """Phases need none of a spectrum's care, and MACO's own is NAdam (Dozat 2016)."""
    return optax.nadam(MACO_RATE) if parameterisation == "maco" else half_shared_adam(RATE)
