"""Planted units come out with the angle and hue they were made for, through the real stimuli and the real network code."""

import cmath
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.network.execute import Network, Tap
from generator.probes.tuning_stimuli import tuning_stimuli
from generator.records import Tuning
from generator.views.tuning import largest, tuning

NUMBERS = ("NHWC", "HWIO", "NHWC")
SIDE = 7


def gabor(angle_deg, period, colour=(1, 1, 1), phase=0.0):
    """An edge (phase 90) or bar detector `(SIDE, SIDE, 3)`; `angle_deg` of its stripes, counter-clockwise from horizontal."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    angle = math.radians(angle_deg)
    across = columns * math.sin(angle) + rows * math.cos(angle)
    envelope = np.exp(-(rows**2 + columns**2) / (2 * 1.8**2))
    wave = envelope * np.cos(2 * np.pi * across / period + math.radians(phase))
    wave -= envelope * wave.sum() / envelope.sum()
    return wave[..., None] * np.array(colour, float)


def centre_surround():
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    small, large = (np.exp(-(rows**2 + columns**2) / (2 * sd**2)) for sd in (0.9, 1.8))
    return (small / small.sum() - large / large.sum())[..., None] * np.ones(3)


def dot(*colour):
    kernel = np.zeros((SIDE, SIDE, 3))
    kernel[SIDE // 2, SIDE // 2] = colour
    return kernel


UNITS = {
    "edge 45": gabor(45, 6, phase=90),
    "edge 135": gabor(135, 6, phase=-90),
    "bar 100": gabor(100, 5),
    "edge 20, coarse": gabor(20, 12, phase=90),
    "red over green edge 60": gabor(60, 6, colour=(1, -1, 0), phase=90),
    "red-green": dot(1, -1, 0),
    "green-red": dot(-1, 1, 0),
    "blue-yellow": dot(-0.5, -0.5, 1),
    "luma": dot(0.299, 0.587, 0.114),
    "darkness": dot(-0.299, -0.587, -0.114),
    "isotropic": centre_surround(),
    "zero": np.zeros((SIDE, SIDE, 3)),
}


@pytest.fixture(scope="module", params=["linear", "rectified", "strided"])
def measured(request):
    """The tuning of every planted unit, by name."""

    def apply(params, images):
        stride = 2 if request.param == "strided" else 1
        x = jax.lax.conv_general_dilated(images, params["kernel"], (stride, stride), "SAME", dimension_numbers=NUMBERS)
        x = x + params["bias"]
        return jax.nn.relu(x) if request.param == "rectified" else x

    kernel = np.stack(list(UNITS.values()), axis=-1).astype(np.float32)
    bias = np.linspace(-0.1, 0.4, len(UNITS)).astype(np.float32)
    stimuli = tuning_stimuli(64, grey=False)
    net = Network(apply, {"kernel": kernel, "bias": bias}, (64, 64, 3))
    tapped = net.tapped([Tap("kernel")], batch=len(stimuli.images))
    (maps,) = tapped(stimuli.images.astype(np.float32) / 127.5 - 1)
    found = tuning("kernel", np.asarray(largest(maps)), stimuli.kind, stimuli.series, stimuli.angle_deg)
    assert Tuning.model_validate_json(found.model_dump_json()) == found
    fields = zip(found.orientation, found.angle_deg, found.colour, found.hue_deg, strict=True)
    return dict(zip(UNITS, fields, strict=True))


@pytest.mark.parametrize(("unit", "angle"), [("edge 45", 45), ("edge 135", 135), ("bar 100", 100), ("edge 20, coarse", 20)])
def test_edges_come_out_at_their_angle(measured, unit, angle):
    selectivity, found, colour, _ = measured[unit]
    assert abs((found - angle + 90) % 180 - 90) < 5
    assert selectivity > 0.3
    assert colour is None or colour < 0.15


@pytest.mark.parametrize(("unit", "hue"), [("red-green", 330), ("green-red", 150), ("blue-yellow", 240)])
def test_colour_opponents_come_out_with_their_hue(measured, unit, hue):
    orientation, _, selectivity, found = measured[unit]
    assert abs((found - hue + 180) % 360 - 180) < 3
    cosines = [max(0.0, math.cos(math.radians(30 * i))) for i in range(12)]
    assert selectivity == pytest.approx(sum(c * c for c in cosines) / sum(cosines), abs=0.005)
    assert orientation < 0.05


def test_an_edge_that_only_colour_shows_has_an_angle_and_an_axis(measured):
    orientation, angle, selectivity, hue = measured["red over green edge 60"]
    assert abs((angle - 60 + 90) % 180 - 90) < 5
    assert orientation > 0.3
    assert min(abs((hue - end + 180) % 360 - 180) for end in (150, 330)) < 5
    cosines = [math.cos(math.radians(30 * i)) for i in range(12)]
    expected = sum(abs(c) * (2 * c * c - 1) for c in cosines) / sum(map(abs, cosines))
    assert selectivity == pytest.approx(expected, abs=0.005)


def test_isotropic_units_select_nothing(measured):
    for unit in ("isotropic", "luma", "darkness"):
        assert measured[unit][0] < 0.05
    assert measured["isotropic"][2] < 0.12  # it weighs blue more than luma does, and so sees hues a little
    assert measured["luma"][2:] == measured["darkness"][2:] == (None, None)  # what it answers to hues is their rounding


def test_blind_units_have_none(measured):
    assert measured["zero"] == (None, None, None, None)


def test_constant_dead_and_broken_units_have_none():
    stimuli = tuning_stimuli(16, grey=False)
    responses = np.zeros((157, 5), np.float32)
    responses[:, 1] = 7.3
    responses[:, 2] = 1e4 + np.random.default_rng(0).uniform(-0.04, 0.04, 157)  # rounding of float32
    responses[5, 3], responses[:, 4] = np.nan, -np.inf
    found = tuning("a", responses, stimuli.kind, stimuli.series, stimuli.angle_deg)
    assert found.orientation == found.angle_deg == found.colour == found.hue_deg == [None] * 5


def test_models_that_see_grey_have_no_colour():
    stimuli = tuning_stimuli(16, grey=True)
    found = tuning("a", np.random.default_rng(0).random((73, 3)), stimuli.kind, stimuli.series, stimuli.angle_deg)
    assert found.colour is None
    assert found.hue_deg is None
    assert None not in found.orientation


def by_hand(answers, stimuli):
    """One unit's numbers by loops over the stimuli."""

    def curves(*kinds):
        found = {}
        for answer, own, series, angle in zip(answers, stimuli.kind, stimuli.series, stimuli.angle_deg, strict=True):
            if own in kinds:
                found.setdefault(series, {}).setdefault(angle, []).append(answer)
        means = [{angle: sum(a) / len(a) for angle, a in curve.items()} for curve in found.values()]
        return max(means, key=lambda curve: max(curve.values()))

    def mean(curve, times):
        total = sum(a * cmath.exp(1j * times * math.radians(angle)) for angle, a in curve.items())
        return total / sum(curve.values())

    bars, hues = curves("grating", "coloured_grating"), curves("hue")
    double, single, twice = mean(bars, 2), mean(hues, 1), mean(hues, 2)
    colour, hue = abs(single), math.degrees(cmath.phase(single))
    if abs(twice) > colour:
        colour, hue = abs(twice), math.degrees(cmath.phase(twice)) / 2
        hue += 180 if math.cos(math.radians(hue) - cmath.phase(single)) < 0 else 0
    coloured = max(*hues.values(), *curves("coloured_grating").values())
    colour *= min(1, coloured / max(curves("grating").values()))
    return abs(double), math.degrees(cmath.phase(double)) / 2 % 180, colour, hue % 360


def test_the_numbers_are_those_of_a_loop_over_stimuli():
    stimuli = tuning_stimuli(16, grey=False)
    rng = np.random.default_rng(3)
    answers = rng.random((157, 40)) ** 3 * np.where(np.array(stimuli.kind) == "grating", 1.3, 1)[:, None]
    answers[0] = 0
    found = tuning("a", answers - 5, stimuli.kind, stimuli.series, stimuli.angle_deg)
    fields = [found.orientation, found.angle_deg, found.colour, found.hue_deg]
    for unit in range(40):
        expected = by_hand(answers[:, unit], stimuli)
        assert [values[unit] for values in fields] == pytest.approx(expected, rel=2e-5)


def test_what_a_unit_is_silenced_by_is_no_answer():
    stimuli = tuning_stimuli(16, grey=False)
    angle = np.deg2rad(stimuli.angle_deg)
    is_bar = np.array(stimuli.kind) == "grating"
    responses = np.where(is_bar, np.cos(2 * angle - np.deg2rad(2 * 30)), 0)[:, None]
    found = tuning("a", responses, stimuli.kind, stimuli.series, stimuli.angle_deg)
    assert found.angle_deg[0] == pytest.approx(30, abs=1e-3)
    assert found.orientation[0] == pytest.approx(math.pi / 4, abs=0.03)


def test_largest_leaves_the_borders_out():
    maps = np.random.default_rng(0).random((3, 9, 8, 2)).astype(np.float32)
    maps[:, [0, 1, 7, 8]] += 10
    maps[:, :, [0, 1, 6, 7]] += 10
    expected = [[max(maps[n, r, c, u] for r in range(2, 7) for c in range(2, 6)) for u in range(2)] for n in range(3)]
    np.testing.assert_array_equal(largest(maps), expected)
    np.testing.assert_array_equal(largest(jnp.asarray(maps)), expected)
    np.testing.assert_array_equal(largest(maps[:, :1, :1]), maps[:, 0, 0])
    np.testing.assert_array_equal(largest(maps[:, 0, 0]), maps[:, 0, 0])


def test_stimuli_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        tuning("a", np.zeros((3, 2)), ["plain", "hue"], np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="do not fit"):
        tuning("a", np.zeros((2, 2)), ["hue", "hue"], np.zeros(2), np.zeros(2))
