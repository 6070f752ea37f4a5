"""Spectra and phases against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from generator.views.feature_vis.parameterisations import (
    COLOUR_CORRELATION,
    Fourier,
    Maco,
    Pixels,
    frequencies,
    mean_magnitudes,
)

SIZES = [(8, 3), (9, 3), (12, 1)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def in_colours(raw):
    """Lucid's matrix, a pixel at a time."""
    if raw.shape[-1] == 1:
        return raw
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    longest = max(sum(root[i, j] ** 2 for i in range(3)) ** 0.5 for j in range(3))
    out = np.zeros_like(raw)
    for place in np.ndindex(raw.shape[:-1]):
        for colour in range(3):
            out[(*place, colour)] = sum(root[colour, axis] / longest * raw[(*place, axis)] for axis in range(3))
    return out


@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_fourier_equals_numpy(size, channels):
    shape = Fourier(size, channels)
    parameters = np.random.default_rng(0).normal(size=(2, 2, size, size // 2 + 1, channels)).astype(np.float32)
    expected = []
    for real, imaginary in parameters.astype(float):
        spectrum = real + 1j * imaginary
        for row in range(size):
            down = min(row, size - row) / size
            for column in range(size // 2 + 1):
                spectrum[row, column] *= size / 4 / max(np.hypot(down, column / size), 1 / size)
        expected.append(sigmoid(in_colours(np.fft.irfft2(spectrum, s=(size, size), axes=(0, 1)))))
    found = shape.images(parameters)
    assert found.shape == (2, size, size, channels)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pixels_are_a_sigmoid():
    parameters = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(Pixels(5, 3).images(parameters), sigmoid(parameters), atol=1e-6)


def starts(shape, count):
    return np.stack([shape.start(np.random.default_rng(seed)) for seed in range(count)])


@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_maco_has_exactly_the_given_magnitudes(size, channels):
    """Of the raw image, before colours and sigmoid: read back from the picture itself."""
    magnitudes = np.random.default_rng(0).uniform(0.5, 2, (size, size // 2 + 1, channels)).astype(np.float32)
    shape = Maco(size, channels, magnitudes)
    phases = starts(shape, 2)
    images = np.asarray(shape.images(phases), np.float64)
    raw = np.log(images / (1 - images))
    if channels == 3:
        raw = raw @ np.linalg.inv(COLOUR_CORRELATION.astype(float)).T
    spectrum = np.fft.rfft2(raw, axes=(1, 2))
    # Entries that are their own mirror image are real: there a phase shows as its cosine.
    free = np.ones((size, size // 2 + 1), bool)
    free[:, 0] = False
    if size % 2 == 0:
        free[:, -1] = False
    np.testing.assert_allclose(
        np.abs(spectrum)[:, free], np.broadcast_to(magnitudes[free], (2, *magnitudes[free].shape)), rtol=2e-2
    )
    turned = np.exp(1j * phases)[:, free]
    np.testing.assert_allclose(spectrum[:, free] / np.abs(spectrum[:, free]), turned, atol=2e-2)


@pytest.mark.parametrize("shape", [Pixels(24, 3), Fourier(24, 3)])
def test_the_first_image_is_nearly_grey(shape):
    image = np.asarray(shape.images(starts(shape, 4)))
    np.testing.assert_allclose(image, 0.5, atol=0.1)
    assert image.std() > 1e-4


@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_mean_magnitudes_equal_a_loop(size, channels):
    images = np.random.default_rng(0).random((3, size, size, channels)).astype(np.float32)
    images[0, 0] = 0.0  # black and white have no finite logit
    images[1, 1] = 1.0
    total = np.zeros((size, size // 2 + 1, channels))
    turn = np.exp(-2j * np.pi * np.outer(np.arange(size), np.arange(size)) / size)
    for image in images.astype(float):
        clipped = np.clip(image, 0.02, 0.98)
        raw = np.log(clipped) - np.log1p(-clipped)
        if channels == 3:
            colours = in_colours(np.eye(3)).T  # column: what an axis is in red, green, blue
            raw = np.stack([np.linalg.solve(colours, pixel) for pixel in raw.reshape(-1, 3)]).reshape(raw.shape)
        for channel in range(channels):
            total[..., channel] += np.abs(turn @ raw[..., channel] @ turn)[:, : size // 2 + 1] / len(images)
    found = mean_magnitudes(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, total, rtol=1e-4, atol=1e-4)


def test_frequencies_are_cycles_per_pixel():
    """A wave of two down and one across over eight px is entry (2, 1), and so far from the middle."""
    y, x = np.mgrid[:8, :8]
    spectrum = np.abs(np.fft.rfft2(np.cos(2 * np.pi * (2 * y + x) / 8)))
    place = np.unravel_index(spectrum.argmax(), spectrum.shape)
    np.testing.assert_allclose(frequencies(8)[place], np.hypot(2, 1) / 8, rtol=1e-6)
    assert frequencies(8).dtype == np.float32


def test_the_first_colour_axis_is_brightness():
    first, *others = COLOUR_CORRELATION.T
    assert first.min() > 0.5
    assert np.ptp(first) < 0.05
    assert all(np.linalg.norm(other) < 0.5 for other in others)
