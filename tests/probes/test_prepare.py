"""Preprocessing against naive NumPy and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.errors import ProbeError
from generator.probes import prepare
from generator.records import Preprocessing


def random_pixels(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def naive_triangle(pixels, size_px):
    """Antialiased bilinear resize: a triangle as wide as the scale (at least 2 pixels), normalised, per axis, in floats."""

    def weights(old, new):
        scale = old / new
        centre = (np.arange(new)[:, None] + 0.5) * scale
        w = np.clip(1 - np.abs(np.arange(old) + 0.5 - centre) / max(scale, 1), 0, None)
        return w / w.sum(1, keepdims=True)

    return np.einsum("ph,qw,hwc->pqc", weights(pixels.shape[0], size_px[0]), weights(pixels.shape[1], size_px[1]), pixels)


def test_same_size_leaves_grey_pixels_as_they_are():
    pixels = random_pixels(28, 28, 1)
    for resize in ("crop", "squash", "pad"):
        for interpolation in ("nearest", "bilinear", "bicubic", "lanczos"):
            wanted = Preprocessing(size_px=(28, 28), channels="grey", resize=resize, interpolation=interpolation)
            prepared = prepare(pixels, wanted)
            np.testing.assert_array_equal(prepared.shown, pixels)
            np.testing.assert_allclose(prepared.input, pixels / 255, atol=1e-7)


@pytest.mark.parametrize(("old", "new"), [((40, 60), (20, 30)), ((37, 53), (20, 31)), ((9, 7), (20, 30)), ((64, 64), (5, 9))])
def test_squash_is_the_antialiased_triangle_filter(old, new):
    pixels = random_pixels(*old)
    shown = prepare(pixels, Preprocessing(size_px=new, resize="squash", interpolation="bilinear")).shown
    assert shown.shape == (*new, 3)
    np.testing.assert_allclose(shown, naive_triangle(pixels, new), atol=1.01)  # Pillow rounds after each axis


@pytest.mark.parametrize(
    ("old", "new", "fraction"),
    [((80, 120), (40, 40), 1.0), ((120, 80), (40, 40), 0.875), ((90, 100), (32, 48), 0.8), ((7, 90), (14, 14), 0.875)],
)
def test_crop_is_resize_of_the_shorter_side_then_centre(old, new, fraction):
    pixels = random_pixels(*old)
    shown = prepare(pixels, Preprocessing(size_px=new, crop_fraction=fraction, interpolation="bilinear")).shown
    scale = max(new[0] / old[0], new[1] / old[1]) / fraction
    whole = naive_triangle(pixels, (round(old[0] * scale), round(old[1] * scale)))
    top, left = (whole.shape[0] - new[0]) // 2, (whole.shape[1] - new[1]) // 2
    np.testing.assert_allclose(shown, whole[top : top + new[0], left : left + new[1]], atol=1.01)


def test_crop_without_resize_takes_the_middle_pixels():
    pixels = random_pixels(10, 17)
    shown = prepare(pixels, Preprocessing(size_px=(10, 10))).shown
    np.testing.assert_array_equal(shown, pixels[:, 3:13])
    shown = prepare(random_pixels(20, 20), Preprocessing(size_px=(10, 10), crop_fraction=0.5)).shown
    np.testing.assert_array_equal(shown, random_pixels(20, 20)[5:15, 5:15])


def test_nearest_doubles_pixels():
    pixels = random_pixels(3, 4)
    shown = prepare(pixels, Preprocessing(size_px=(6, 8), resize="squash", interpolation="nearest")).shown
    np.testing.assert_array_equal(shown, pixels.repeat(2, 0).repeat(2, 1))


def test_a_very_wide_image_is_cropped_without_resizing_all_of_it():
    pixels = np.zeros((1, 20_000, 3), np.uint8)
    pixels[:, 9_990:10_010] = 200
    shown = prepare(pixels, Preprocessing(size_px=(224, 224), interpolation="bilinear")).shown
    assert (shown == 200).all()  # the middle pixel, enlarged


def test_pad_fills_with_the_mean_and_the_input_is_about_zero_there():
    mean, std, value_range = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (0.0, 1.0)
    wanted = Preprocessing(size_px=(20, 20), resize="pad", mean=mean, std=std, range=value_range, interpolation="nearest")
    pixels = random_pixels(10, 20)
    prepared = prepare(pixels, wanted)
    np.testing.assert_array_equal(prepared.shown[5:15], pixels)
    np.testing.assert_array_equal(prepared.shown[0, 0], np.rint(np.array(mean) * 255))
    assert np.abs(prepared.input[:5]).max() < 0.5 / 255 / min(std) + 1e-6
    tall = prepare(random_pixels(40, 4), wanted).shown
    assert (tall[:, :9] == tall[0, 0]).all()
    assert (tall[:, 11:] == tall[0, 0]).all()
    assert not (tall[:, 9:11] == tall[0, 0]).all()


def test_pad_of_a_bgr_network_maps_the_mean_back_to_the_right_channel():
    wanted = Preprocessing(size_px=(4, 8), channels="bgr", resize="pad", range=(0, 255), mean=(10, 20, 30))
    prepared = prepare(random_pixels(4, 4), wanted)
    np.testing.assert_array_equal(prepared.shown[0, 0], [30, 20, 10])
    np.testing.assert_array_equal(prepared.input[0, 0], [0, 0, 0])


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255), (1, 0)])
@pytest.mark.parametrize(("mean", "std"), [((0,), (1,)), ((0.5,), (0.25,)), ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))])
def test_range_mean_and_std_in_closed_form(value_range, mean, std):
    pixels = random_pixels(6, 6)
    low, high = value_range
    expected = (pixels / 255 * (high - low) + low - np.array(mean)) / np.array(std)
    for channels, order in (("rgb", slice(None)), ("bgr", slice(None, None, -1))):
        wanted = Preprocessing(size_px=(6, 6), channels=channels, range=value_range, mean=mean[order], std=std[order])
        prepared = prepare(pixels, wanted)
        np.testing.assert_allclose(prepared.input, expected[..., order], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(prepared.shown, pixels)


def test_efficientnet_lite_scaling():
    pixels = random_pixels(4, 4)
    prepared = prepare(pixels, Preprocessing(size_px=(4, 4), range=(0, 255), mean=(127,), std=(128,)))
    np.testing.assert_array_equal(prepared.input, (pixels.astype(np.float32) - 127) / 128)


def test_grey_is_itu_r_601_luma():
    pixels = random_pixels(16, 16)
    prepared = prepare(pixels, Preprocessing(size_px=(16, 16), channels="grey"))
    assert prepared.input.shape == prepared.shown.shape == (16, 16, 1)
    np.testing.assert_allclose(prepared.shown[..., 0], pixels @ [0.299, 0.587, 0.114], atol=0.51)


def test_grey_probes_are_repeated_for_colour_networks():
    pixels = random_pixels(5, 5, 1)
    np.testing.assert_array_equal(prepare(pixels, Preprocessing(size_px=(5, 5))).shown, pixels.repeat(3, -1))


def test_everything_wrong_with_mean_std_and_range_is_said_at_once():
    wanted = Preprocessing(size_px=(4, 4), mean=(0.0, 1.0), std=(0.0, 1.0, 1.0), range=(1, 1))
    with pytest.raises(ProbeError) as caught:
        prepare(random_pixels(4, 4), wanted)
    places = [problem.place for problem in caught.value.problems]
    assert places == ["preprocessing.mean", "preprocessing.std", "preprocessing.range"]
    with pytest.raises(ProbeError, match="3 numbers for 1 channel"):
        prepare(random_pixels(4, 4), Preprocessing(size_px=(4, 4), channels="grey", mean=(0, 0, 0)))
    with pytest.raises(ProbeError, match="not finite"):
        prepare(random_pixels(4, 4), Preprocessing(size_px=(4, 4), std=(float("nan"),)))


sides = st.integers(1, 40)


@settings(max_examples=150, deadline=None)
@given(
    height=sides,
    width=sides,
    source_channels=st.sampled_from([1, 3]),
    size_px=st.tuples(sides, sides),
    channels=st.sampled_from(["rgb", "bgr", "grey"]),
    resize=st.sampled_from(["crop", "squash", "pad"]),
    crop_fraction=st.floats(0.05, 1),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
)
def test_shape_type_and_range_hold_for_any_image(height, width, source_channels, size_px, channels, **rest):
    pixels = random_pixels(height, width, source_channels, seed=height * width)
    prepared = prepare(pixels, Preprocessing(size_px=size_px, channels=channels, range=(-1, 1), **rest))
    num_channels = 1 if channels == "grey" else 3
    assert prepared.input.shape == prepared.shown.shape == (*size_px, num_channels)
    assert prepared.input.dtype == np.float32
    assert prepared.shown.dtype == np.uint8
    assert np.abs(prepared.input).max() <= 1
    order = slice(None, None, -1) if channels == "bgr" else slice(None)
    np.testing.assert_allclose(prepared.input, prepared.shown[..., order] / 127.5 - 1, atol=1e-6)


@given(value=st.integers(0, 255), size_px=st.tuples(sides, sides), resize=st.sampled_from(["crop", "squash"]))
@settings(max_examples=40, deadline=None)
def test_a_uniform_image_stays_uniform(value, size_px, resize):
    pixels = np.full((13, 29, 1), value, np.uint8)
    assert (prepare(pixels, Preprocessing(size_px=size_px, channels="grey", resize=resize)).shown == value).all()
