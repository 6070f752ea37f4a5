"""Tuning: which orientation and which hue a unit prefers, and how much it cares, measured with simple stimuli.

An answer is a unit's largest value over the middle of the map, less that on plain mid-grey, negative ones as none: what a
stimulus excites, whatever the unit's bias and whether its values are signed. The largest and not the mean, because the mean of
a signed answer to a grating is nothing; the middle, because padding makes edges at the borders of every image. Pre-activations
serve better than activations: stimuli of full contrast saturate a ReLU6 at all orientations alike.

Curves that stay below a hundredth of the unit's largest answer count as none; rounding to 256 levels makes as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.records import Tuning
from generator.views.statistics import finite_numbers

NOISE = 0.01


def largest(maps: Any) -> Any:
    """`(n, h, w, units)` to `(n, units)`: each map's largest value, a quarter of each side left out; vectors as they are.

    Takes NumPy's and JAX's arrays and gives their own kind.
    """
    if maps.ndim == 2:
        return maps
    height, width = maps.shape[1:3]
    down, across = height // 4, width // 4
    return maps[:, down : height - down, across : width - across].max(axis=(1, 2))


def tuning(layer: str, responses: np.ndarray, kind: Sequence[str], series: np.ndarray, angle_deg: np.ndarray) -> Tuning:
    """The tuning of a layer's units.

    responses: float32 `(num_stimuli, units)`, from `largest` of pre-activations. kind, series, angle_deg: one entry a
    stimulus, as `probes.tuning_stimuli.Stimuli` has them: `plain` grey (one at least), `grating`, `coloured_grating` or `hue`;
    numbers of the curves; degrees.

    Of each unit the curve with the highest peak counts: its preferred scale and contrast, phases averaged. Orientation
    selectivity is one minus the circular variance of that curve over the double angle (Ringach, Shapley, Hawken 2002):
    `|sum(r exp(2 i angle))| / sum(r)`; for hue it is the single angle. A unit that answers to opposite hues alike, as edges
    between them make it, gets the double angle's if that is larger, and as its hue the better end of that axis. Hue selectivity
    is then multiplied by the ratio of the unit's peaks for coloured stimuli and for black and white gratings where that is
    below 1: a unit that sees mostly light and dark does not select colours, though its faint answers to them may.

    None where a unit answers to none of the stimuli, or to none of that kind, or where its responses are not finite; colour and
    hue_deg None without stimuli of a hue. Raises ValueError where the numbers of stimuli differ or plain grey is missing.
    """
    responses = np.asarray(responses, np.float64)
    kinds, series, angle = np.asarray(kind), np.asarray(series), np.deg2rad(np.asarray(angle_deg, np.float64))
    if responses.ndim != 2 or not len(responses) == len(kinds) == len(series) == len(angle) or "plain" not in kinds:
        raise ValueError(f"responses {responses.shape} do not fit {len(kinds)} stimuli, one of them plain")
    finite = np.isfinite(responses).all(axis=0)
    responses = np.where(finite, responses, 0.0)
    plain = responses[kinds == "plain"].mean(axis=0)
    answers = np.maximum(responses - plain, 0.0)
    # What is left of a constant unit is rounding.
    answers[:, answers.max(axis=0) <= 1e-5 * np.abs(responses).max(axis=0)] = 0.0
    silence = NOISE * answers.max(axis=0)

    is_coloured = kinds == "coloured_grating"
    bars, bar_angle = _preferred(answers, (kinds == "grating") | is_coloured, series, angle)
    double = _resultant(bars, 2 * bar_angle)
    sees_bars = bars.max(axis=0, initial=0.0) > silence
    orientation = _known(np.abs(double), sees_bars)
    direction = _known(np.rad2deg(np.angle(double)) / 2 % 180, sees_bars)
    if "hue" not in kinds:
        return Tuning(layer=layer, orientation=orientation, angle_deg=direction, colour=None, hue_deg=None)

    hues, hue_angle = _preferred(answers, kinds == "hue", series, angle)
    single, double = _resultant(hues, hue_angle), _resultant(hues, 2 * hue_angle)
    peak = hues.max(axis=0)
    coloured = np.maximum(peak, _preferred(answers, is_coloured, series, angle)[0].max(axis=0, initial=0.0))
    grey = _preferred(answers, kinds == "grating", series, angle)[0].max(axis=0, initial=0.0)
    axis = np.angle(double) / 2
    axis = np.where((single * np.exp(-1j * axis)).real < 0, axis + np.pi, axis)
    by_axis = np.abs(double) > np.abs(single)
    weight = np.divide(coloured, grey, out=np.ones_like(grey), where=grey > coloured)
    colour = np.where(by_axis, np.abs(double), np.abs(single)) * weight
    hue = np.rad2deg(np.where(by_axis, axis, np.angle(single))) % 360
    sees_hues = peak > silence
    return Tuning(
        layer=layer,
        orientation=orientation,
        angle_deg=direction,
        colour=_known(colour, sees_hues),
        hue_deg=_known(hue, sees_hues),
    )


def _preferred(
    answers: np.ndarray, of_kind: np.ndarray, series: np.ndarray, angle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each unit the curve with the highest peak, and its angles: two arrays `(num_angles, units)`.

    Stimuli of one series and angle are averaged. Series may have different angles as long as there are as many.
    """
    curves, angles = [], []
    for number in np.unique(series[of_kind]):
        own = of_kind & (series == number)
        places = np.unique(angle[own])
        curves.append(np.stack([answers[own & (angle == place)].mean(axis=0) for place in places]))
        angles.append(np.broadcast_to(places[:, None], curves[-1].shape))
    if not curves:
        return np.zeros((0, answers.shape[1])), np.zeros((0, answers.shape[1]))
    best = np.argmax([curve.max(axis=0) for curve in curves], axis=0)
    units = np.arange(answers.shape[1])
    return np.stack(curves)[best, :, units].T, np.stack(angles)[best, :, units].T


def _resultant(curve: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The mean of unit vectors at `angle`, weighted by `curve`, both `(num_angles, units)`; complex `(units,)`."""
    total = curve.sum(axis=0)
    return (curve * np.exp(1j * angle)).sum(axis=0) / np.where(total > 0, total, 1.0)


def _known(numbers: np.ndarray, known: np.ndarray) -> list[float | None]:
    return finite_numbers(np.where(known, numbers, np.nan))
