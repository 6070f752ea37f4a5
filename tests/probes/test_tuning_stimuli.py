"""Gratings have their angle and period, colours their hue and luma, measured from the pixels."""

import colorsys
import itertools
import math

import numpy as np
import pytest

from generator.probes import stimuli
from generator.probes.tuning_stimuli import hue_offset, tuning_stimuli

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def colour():
    return tuning_stimuli(224, grey=False)


def frequency(values):
    """Cycles a pixel `(down, across)` of the strongest frequency, to a fifth of a cycle an image."""
    window = np.hanning(len(values))
    padded = np.fft.fft2((values - values.mean()) * window[:, None] * window, (1120, 1120))
    down, across = np.unravel_index(np.abs(padded[:, :560]).argmax(), (1120, 560))
    return (down - 1120 if down > 560 else down) / 1120, across / 1120


def test_the_set_is_as_small_as_it_says(colour):
    assert colour.images.shape == (157, 224, 224, 3)
    assert tuning_stimuli(28, grey=True).images.shape == (73, 28, 28, 1)
    for found in (colour, tuning_stimuli(28, grey=True)):
        assert found.images.dtype == np.uint8
        assert len(found.kind) == len(found.series) == len(found.angle_deg) == len(found.period_px) == len(found.images)
        assert found.kind.count("plain") == 1
    assert set(tuning_stimuli(28, grey=True).kind) == {"plain", "grating"}
    assert tuning_stimuli(224, grey=False).images.tobytes() == colour.images.tobytes()


def test_grey_is_without_colour_and_structure(colour):
    assert np.ptp(colour.images[0]) == 0
    assert abs(int(colour.images[0, 0, 0, 0]) - stimuli.MID_GREY) <= 0.5


def test_series_share_all_but_their_angle(colour):
    parts = {}
    for kind, series, angle, period in zip(colour.kind, colour.series, colour.angle_deg, colour.period_px, strict=True):
        parts.setdefault(int(series), []).append((kind, angle, period))
    assert sorted(parts) == list(range(9))
    for series, members in parts.items():
        kinds, angles, periods = (sorted(set(values)) for values in zip(*members, strict=True))
        assert len(kinds) == len(periods) == 1
        step = {"plain": 0, "grating": 15, "coloured_grating": 15, "hue": 30}[kinds[0]]
        assert angles == [step * i for i in range(12 if series else 1)]
        assert len(members) == {"plain": 1, "grating": 24, "coloured_grating": 24, "hue": 12}[kinds[0]]


def test_gratings_have_their_angle_period_and_contrast(colour):
    for place, kind in enumerate(colour.kind):
        if "grating" not in kind:
            continue
        values = colour.images[place].astype(float) @ (1, -0.5, 0.2)  # sees grey and both pairs of hues
        down, across = frequency(values)
        period = colour.period_px[place]
        angle = math.radians(colour.angle_deg[place])
        # Crests lie where `x sin + y cos` is constant: rows rise to the right at 45 degrees.
        expected = np.array([math.cos(angle), math.sin(angle)]) / period
        expected *= -1 if expected[1] < -1e-9 else 1
        found = np.array([down, across])
        error = min(np.abs(found - expected).max(), np.abs(found + expected).max())
        assert error < 0.0015, (place, found, expected)
    black_and_white = [i for i, series in enumerate(colour.series) if 1 <= series <= 3]
    for i in black_and_white:
        assert (np.ptp(colour.images[i], axis=-1) == 0).all()
        assert np.ptp(colour.images[i].astype(int)) > 240


def test_phases_are_a_quarter_period_apart(colour):
    first = [i for i in range(157) if colour.series[i] == 3 and colour.angle_deg[i] == 90]
    rows = [colour.images[i][112, :, 0] / 127.5 - 1 for i in first]
    place = np.arange(224) + 0.5 - 112
    np.testing.assert_allclose(rows[0], np.cos(2 * np.pi * place / 56), atol=0.01)
    np.testing.assert_allclose(rows[1], -np.sin(2 * np.pi * place / 56), atol=0.01)


def test_colours_have_their_hue_and_the_luma_of_grey(colour):
    whole = [i for i, kind in enumerate(colour.kind) if kind == "hue" and math.isinf(colour.period_px[i])]
    assert len(whole) == 12
    offsets = []
    for i in whole:
        pixel = colour.images[i, 100, 100]
        assert (colour.images[i] == pixel).all()
        hue = colorsys.rgb_to_hsv(*(pixel / 255))[0] * 360
        assert abs((hue - colour.angle_deg[i] + 180) % 360 - 180) < 1
        assert float(LUMA @ pixel) == pytest.approx(127.5, abs=0.6)
        offsets.append(pixel - 127.5)
    flat = [offset - offset.mean() for offset in offsets]
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), np.linalg.norm(flat[0]), rtol=0.02)
    assert max(np.abs(offset).max() for offset in offsets) > 125, "sRGB has room for more"
    for i in range(6):
        np.testing.assert_allclose(offsets[i], -offsets[i + 6], atol=1.01)


def test_everything_coloured_has_the_luma_of_grey(colour):
    for i, series in enumerate(colour.series):
        if series >= 4:
            np.testing.assert_allclose(colour.images[i] @ LUMA, 127.5, atol=1.01)


def test_every_hue_fits_into_srgb():
    largest = max(np.abs(hue_offset(hue)).max() for hue in np.arange(0, 360, 0.25))
    assert 127 < largest < 127.51
    for hue in range(0, 360, 7):
        found = colorsys.rgb_to_hsv(*((hue_offset(hue) + 127.5).clip(0, 255) / 255))[0] * 360
        assert abs((found - hue + 180) % 360 - 180) < 1.2


def test_dots_are_round_soft_and_on_grey(colour):
    for i, kind in enumerate(colour.kind):
        if kind != "hue" or math.isinf(colour.period_px[i]):
            continue
        image, period = colour.images[i].astype(int), colour.period_px[i]
        for turned in (image[::-1], image[:, ::-1], image.transpose(1, 0, 2)):
            np.testing.assert_array_equal(image, turned)
        # A Gaussian's area: 2 pi sd ** 2 in each period squared.
        share = np.abs(image - 127.5).mean(axis=(0, 1)) / np.abs(hue_offset(colour.angle_deg[i])).clip(1e-9)
        strong = np.abs(hue_offset(colour.angle_deg[i])) > 60
        np.testing.assert_allclose(share[strong], 2 * np.pi / 36, rtol=0.1, err_msg=str(period))


def test_small_images_have_gratings_too():
    for size, grey in itertools.product((8, 28, 33), (False, True)):
        found = tuning_stimuli(size, grey)
        assert found.period_px.min() == pytest.approx(4.3)
        assert np.isfinite(found.images).all()
    with pytest.raises(ValueError, match="at least 8"):
        tuning_stimuli(7, grey=False)
