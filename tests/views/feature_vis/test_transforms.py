"""What the network sees of an image against scipy, and its gradient against the whole Jacobian."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from generator.probes.prepare import prepare
from generator.records import Preprocessing
from generator.views.feature_vis import settings
from generator.views.feature_vis.transforms import (
    SURROUND,
    Affine,
    Crops,
    Robustness,
    Scaling,
    cropped,
    framed,
    sampled,
    unmoved,
)

EXTREMES = [
    (scale, degrees)
    for scale in sorted({scale for preset in settings.PRESETS.values() for scale in preset.scales})
    for most in sorted({preset.degrees for preset in settings.PRESETS.values()})
    for degrees in (-most, 0.0, most)
]


def affine(scale, degrees, shift=(0.0, 0.0)):
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    return Affine(jnp.asarray(matrix, jnp.float32)[None], jnp.asarray(shift, jnp.float32)[None])


def by_scipy(image, one, frame):
    """float64; one: an `Affine` of one image."""
    matrix, shift = np.asarray(one.matrix[0], np.float64), np.asarray(one.shift[0], np.float64)
    rows, columns = np.mgrid[: frame[0], : frame[1]]
    half = (len(image) - 1) / 2
    corner = [np.floor((side - len(image)) / 2) for side in frame]  # of the image at rest
    centred = np.stack([rows - corner[0] - half, columns - corner[1] - half])
    places = np.tensordot(matrix, centred, 1) + shift[:, None, None] + half
    # scipy drops to the surround at once beyond the last pixel; a wide margin makes it fade as bilinear sampling does
    wide = np.pad(image.astype(np.float64), ((9, 9), (9, 9), (0, 0)), constant_values=SURROUND)
    return np.stack([map_coordinates(wide[..., c], places + 9, order=1, cval=SURROUND) for c in range(image.shape[2])], axis=-1)


@pytest.mark.parametrize(("scale", "degrees"), EXTREMES)
@pytest.mark.parametrize("frame", [(11, 11), (6, 13)])
def test_framed_equals_scipy(scale, degrees, frame):
    image = np.random.default_rng(0).random((9, 9, 3)).astype(np.float32)
    one = affine(scale, degrees, (1.0, -2.0))
    np.testing.assert_allclose(framed(image[None], one, frame)[0], by_scipy(image, one, frame), atol=2e-5)


@pytest.mark.parametrize(("scale", "degrees"), EXTREMES)
@pytest.mark.parametrize("frame", [(8, 8), (5, 10)])
def test_its_gradient_is_the_exact_adjoint(scale, degrees, frame):
    """Column by column: the linear map is seen by what it does to each pixel alone."""
    size, one = 6, affine(scale, degrees, (-1.0, 1.0))

    def seen(image):
        return framed(image.reshape(1, size, size, 1), one, frame).ravel() - SURROUND

    nothing = seen(jnp.zeros(size * size))
    jacobian = jax.vmap(seen)(jnp.eye(size * size)) - nothing
    _, pull = jax.vjp(seen, jnp.zeros(size * size))
    rows = jax.vmap(lambda cotangent: pull(cotangent)[0])(jnp.eye(frame[0] * frame[1]))
    np.testing.assert_allclose(rows, jacobian.T, atol=1e-5)
    assert np.abs(jacobian).sum() > 10


@pytest.mark.parametrize("name", settings.PRESETS)
def test_adjoint_of_what_presets_draw(name):
    """`<A x, y> = <x, A' y>` at the size of real images, each moved in its own way."""
    size, frame = 48, (52, 52)
    robustness = settings.robustness(settings.PRESETS[name], size, frame)
    moved = sampled(np.random.default_rng(3), 6, robustness)
    x = jax.random.normal(jax.random.key(1), (6, size, size, 3))
    y = jax.random.normal(jax.random.key(2), (6, *frame, 3))
    seen, pull = jax.vjp(lambda x: framed(x, moved, frame), x)
    surround = framed(jnp.zeros_like(x), moved, frame)
    left = np.sum(np.asarray((seen - surround) * y, np.float64), axis=(1, 2, 3))
    right = np.sum(np.asarray(x * pull(y)[0], np.float64), axis=(1, 2, 3))
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("size", [16, 28, 32, 48, 64, 96, 128, 224])
def test_unmoved_pastes_into_the_middle(size):
    frame = size + settings.margin(size)
    image = np.random.default_rng(0).random((size, size, 1)).astype(np.float32)
    rest = jax.tree.map(lambda leaf: leaf[None], unmoved())
    expected = np.full((frame, frame, 1), SURROUND, np.float32)
    edge = (frame - size) // 2
    expected[edge : edge + size, edge : edge + size] = image
    np.testing.assert_allclose(framed(image[None], rest, (frame, frame))[0], expected, atol=1e-6)


def test_margins_are_in_proportion():
    assert [settings.margin(size) for size in (16, 64, 128, 256)] == [2, 6, 12, 24]


@pytest.mark.parametrize("name", settings.PRESETS)
def test_sampled_stays_in_its_ranges_and_uses_them(name):
    preset = settings.PRESETS[name]
    robustness = settings.robustness(preset, 128, (140, 140))
    found = sampled(np.random.default_rng(0), 4000, robustness)
    matrix, shift = np.asarray(found.matrix, np.float64), np.asarray(found.shift)
    scales = 1 / np.sqrt(np.linalg.det(matrix))
    degrees = np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    np.testing.assert_array_equal(matrix[:, 0, 0], matrix[:, 1, 1])  # turned and scaled, never sheared or mirrored
    np.testing.assert_allclose(matrix[:, 0, 1], -matrix[:, 1, 0])
    low, high = preset.scales
    assert low - 1e-6 <= scales.min() < low + 0.01 < high - 0.01 < scales.max() <= high + 1e-6
    np.testing.assert_allclose(scales.mean(), (low + high) / 2, atol=0.004)
    assert np.abs(degrees).max() <= preset.degrees + 1e-4
    assert degrees.min() < 0.95 * -preset.degrees
    assert degrees.max() > 0.95 * preset.degrees
    np.testing.assert_allclose((degrees == 0).mean(), 1 / robustness.upright, atol=0.03)
    most = sum(move // 2 for move in robustness.jitter)
    np.testing.assert_array_equal(shift, np.rint(shift))
    assert (shift.min(), shift.max()) == (-most, most)
    np.testing.assert_allclose(shift.mean(axis=0), 0, atol=0.3)
    variance = sum(((2 * (move // 2) + 1) ** 2 - 1) / 12 for move in robustness.jitter)
    np.testing.assert_allclose(shift.var(axis=0), variance, rtol=0.1)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.05


def test_cropped_equals_scipy():
    """Without noise: for each crop, where its corners lie is told by a ramp; then scipy samples the image there."""
    size, frame, count = 32, (12, 10), 8
    crops = Crops(frame, count, noise=0.0)
    random = np.random.default_rng(0).random((size, size, 1))
    ramps = np.mgrid[:size, :size].transpose(1, 2, 0) / 1.0
    image = np.concatenate([random, ramps], axis=-1).astype(np.float32)
    images = np.stack([image, image[::-1]])
    keys = jax.random.split(jax.random.key(0), 2)
    found = np.asarray(cropped(images, keys, crops))
    assert found.shape == (2 * count, *frame, 3)
    sides = []
    for one, seen in zip(np.repeat(images, count, axis=0), found, strict=True):
        flipped = one[0, 0, 1] > one[-1, 0, 1]
        rows = size - 1 - seen[:, 0, 1] if flipped else seen[:, 0, 1]
        columns = seen[0, :, 2]
        expected = map_coordinates(one[..., 0].astype(float), np.meshgrid(rows, columns, indexing="ij"), order=1)
        np.testing.assert_allclose(seen[..., 0], expected, atol=1e-4)
        # A square crop: as many px to a step in both directions, but for the frame's sides.
        side = [np.median(np.diff(places)) * length for places, length in zip((rows, columns), frame, strict=True)]
        np.testing.assert_allclose(side[0], side[1], rtol=1e-3)
        np.testing.assert_allclose(np.diff(rows)[1:-1], side[0] / frame[0], rtol=1e-2)
        sides.append(side[0] / size)
    low, high = crops.shares
    assert low <= min(sides) < 0.2
    assert 0.35 < max(sides) <= high


def test_crops_have_noise():
    crops = Crops((24, 24), 16)
    seen = np.asarray(cropped(jnp.full((1, 16, 16, 3), 0.25), jax.random.split(jax.random.key(0), 1), crops))
    np.testing.assert_allclose(seen.mean(), 0.25, atol=0.003)
    np.testing.assert_allclose(seen.std(), crops.noise, rtol=0.03)
    assert np.abs(seen[0] - seen[1]).max() > crops.noise  # another one for each crop


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(size_px=(16, 16), channels="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        Preprocessing(size_px=(16, 16), channels="bgr", range=(0, 255), mean=(104.0, 117.0, 123.0)),
        Preprocessing(size_px=(16, 16), channels="grey", range=(-1, 1), mean=(0.3,), std=(0.5,)),
    ],
    ids=["rgb", "bgr", "grey"],
)
def test_scaling_is_the_probes_preprocessing(preprocessing):
    from generator.build.programs import scaling

    channels = 1 if preprocessing.channels == "grey" else 3
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, channels), np.uint8)
    found = scaling(preprocessing, channels)
    assert isinstance(found, Scaling)
    prepared = prepare(pixels, preprocessing)
    np.testing.assert_allclose(found.fed(pixels / np.float32(255)), prepared.input, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.shown(prepared.input), pixels / 255, atol=1e-5)


def test_jitter_grows_with_the_image():
    assert settings.robustness(settings.PRESETS["standard"], 128, (140, 140)).jitter == (8, 4)
    assert settings.robustness(settings.PRESETS["publication"], 64, (70, 70)) == Robustness((70, 70), (8, 4), (0.9, 1.1), 5.0)
