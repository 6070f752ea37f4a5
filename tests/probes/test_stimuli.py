"""Every synthetic stimulus is what its name says: spectra, symmetries and areas."""

import colorsys
from pathlib import Path

import numpy as np
import pytest

from generator.config.schema import SyntheticProbes
from generator.errors import ProbeError
from generator.probes import list_probes, stimuli
from generator.probes.synthetic import STIMULI

LUMA = np.array([0.299, 0.587, 0.114])


def listed(images="all", size_px=224):
    return list_probes(SyntheticProbes(name="stimuli", kind="synthetic", images=images, size_px=size_px), Path())


def contrast(pixels):
    """Grey stimuli as -1 ... 1."""
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0] / 127.5 - 1


def spectrum_peak(values):
    """Cycles per image `(down, across)` of the strongest frequency, one of the two conjugate signs (across >= 0)."""
    n = len(values)
    spectrum = np.abs(np.fft.rfft2(values - values.mean()))
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    return (row if row <= n // 2 else row - n), column


@pytest.mark.parametrize(
    ("name", "down", "across"),
    [
        ("grating-0", 15, 0),
        ("grating-90", 0, 15),
        ("grating-45", 15 / 2**0.5, 15 / 2**0.5),  # bars rise to the right: crests where row + column is constant
        ("grating-135", -15 / 2**0.5, 15 / 2**0.5),
        ("grating-coarse", 0, 4),
        ("grating-fine", 0, 56),
    ],
)
def test_gratings_have_their_orientation_and_frequency(name, down, across):
    (probe,) = listed([name])
    values = contrast(probe.read())
    found = spectrum_peak(values)
    found = (abs(found[0]), 0) if across == 0 else found
    assert found == pytest.approx((down, across), abs=0.5)
    assert abs(values.mean()) < 0.02
    assert np.ptp(values) > 1.4


@pytest.mark.parametrize("at", [20, 50, 80, 100])
def test_zone_plate_frequency_grows_with_the_radius(at):
    row = contrast(stimuli.zone_plate(224))[112]
    window = slice(112 + at - 12, 112 + at + 12)
    spectrum = np.abs(np.fft.rfft(row[window] * np.hanning(24), 4096))
    spectrum[:60] = 0  # the window's own mean
    assert spectrum.argmax() / 4096 == pytest.approx(0.8 * at / 224, abs=0.01)


def test_zone_plate_has_all_orientations_alike():
    values = contrast(stimuli.zone_plate(225))
    for turned in (values.T, values[::-1], values[:, ::-1]):
        np.testing.assert_array_equal(values, turned)


def test_star_has_its_cycles_round_the_centre():
    values = contrast(stimuli.star(224, cycles=24))
    angle = np.arange(720) / 720 * 2 * np.pi
    ring = values[(112 + 90 * np.sin(angle)).astype(int), (112 + 90 * np.cos(angle)).astype(int)]
    assert np.abs(np.fft.rfft(ring))[1:100].argmax() + 1 == 24
    assert (np.abs(values[108:116, 108:116]) < 0.01).all()


@pytest.mark.parametrize(
    ("name", "gradient"), [("edge-horizontal", (1, 0)), ("edge-vertical", (0, 1)), ("edge-diagonal", (0.5**0.5, 0.5**0.5))]
)
def test_edges_step_from_black_to_white_through_the_centre(name, gradient):
    (probe,) = listed([name])
    values = contrast(probe.read())
    slope = np.array([np.diff(values, axis=0).mean(), np.diff(values, axis=1).mean()])
    np.testing.assert_allclose(slope / np.linalg.norm(slope), gradient, atol=1e-4)
    assert abs(values.mean()) < 0.005
    assert set(np.unique(values[:20, :20])) == {-1}
    assert set(np.unique(values[-20:, -20:])) == {1}


@pytest.mark.parametrize("size_px", [64, 100, 224])
def test_checkerboard_is_the_mean_over_each_pixel(size_px):
    fine = (np.arange(size_px * 64) + 0.5) / 64 * 8 / size_px
    wave = np.where(fine.astype(int) % 2 == 0, 1, -1).reshape(size_px, 64).mean(1)
    np.testing.assert_allclose(contrast(stimuli.checkerboard(size_px)), np.outer(wave, wave), atol=0.04)


def test_dots_have_the_area_of_discs():
    values = np.abs(contrast(stimuli.dots(240, num=6)))
    values[values < 0.01] = 0  # mid-grey lies between two pixel values
    for row, share in enumerate(np.linspace(0.1, 0.45, 6)):
        area = values[row * 40 : row * 40 + 40].sum() / 6
        assert area == pytest.approx(np.pi * (share * 40) ** 2, rel=0.02, abs=0.5)
    assert contrast(stimuli.dots(240))[220, 20] == -contrast(stimuli.dots(240))[220, 60]


def test_colour_wheel_agrees_with_the_standard_library():
    wheel = stimuli.colour_wheel(201)
    for hue in np.linspace(0, 1, 24, endpoint=False):
        for saturation in (0.2, 0.5, 0.9):
            radius = saturation * 0.48 * 201
            row = round(100 - radius * np.sin(2 * np.pi * hue))
            column = round(100 + radius * np.cos(2 * np.pi * hue))
            there = np.hypot(row - 100, column - 100) / (0.48 * 201), np.arctan2(100 - row, column - 100) / (2 * np.pi) % 1
            expected = colorsys.hsv_to_rgb(there[1], there[0], 1)
            np.testing.assert_allclose(wheel[row, column] / 255, expected, atol=0.01)
    assert (np.abs(wheel[0, 0] - 127.5) < 1).all()


def test_colour_edges_differ_in_colour_only():
    pixels = stimuli.colour_edges(64)
    assert np.abs(pixels @ LUMA - 127.5).max() < 1
    red, green, blue, yellow = pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1]
    assert red[0] > red[1] + 100
    assert green[1] > green[0] + 100
    assert blue[2] > max(blue[:2]) + 100
    assert min(yellow[:2]) > yellow[2] + 100


def test_noise_has_the_amplitude_spectrum_of_natural_scenes():
    values = contrast(stimuli.natural_noise(256))
    amplitude = np.abs(np.fft.fft2(values))
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    used = (f > 0.01) & (f < 0.3)
    slope = np.polyfit(np.log(f[used]), np.log(amplitude[used]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("size_px", [16, 33, 224])
def test_every_stimulus_is_drawn_at_any_size(size_px):
    probes = listed(size_px=size_px)
    assert len(probes) == len(STIMULI) == 16
    for probe in probes:
        pixels = probe.read()
        assert pixels.shape == (size_px, size_px, 3)
        assert pixels.dtype == np.uint8
        assert np.ptp(pixels) > 60, probe.info.name
        assert (probe.info.width_px, probe.info.height_px) == (size_px, size_px)
        assert probe.info.provenance == "made by CNNscope"
        np.testing.assert_array_equal(pixels, probe.read())


def test_fingerprints_follow_name_and_size():
    prints = {probe.fingerprint for size_px in (64, 65) for probe in listed(size_px=size_px)}
    assert len(prints) == 2 * len(STIMULI)
    assert [p.fingerprint for p in listed()] == [p.fingerprint for p in listed()]


def test_unknown_stimuli_are_named_all_at_once():
    with pytest.raises(ProbeError) as caught:
        listed(["dot", "zone-plate", "gratings"])
    assert len(caught.value.problems) == 2
    assert "did you mean 'dots'?" in str(caught.value)
