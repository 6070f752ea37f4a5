"""Every check finds its fault in arrays where it was planted, and nothing in healthy ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from generator.doctor.alternatives import alternatives
from generator.doctor.answers import in_company, look_at_outputs, random_numbers
from generator.doctor.labelled import better_by_labels, by_chance, in_another_order, interval, no_better_than_chance
from generator.doctor.layers import look_at_first_layer, look_at_kernels
from generator.doctor.normalisation import (
    Statistics,
    better_by_statistics,
    divergence,
    never_trained,
    normalised_by,
    statistics_of,
)
from generator.records import Preprocessing

RANDOM = np.random.default_rng(0)
PLAIN = Preprocessing(size_px=(8, 8))
IMAGENET = Preprocessing(size_px=(8, 8), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


LOGITS = RANDOM.normal(size=(20, 10)) * 4


# -- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outputs", [LOGITS, softmax(LOGITS), LOGITS[:, :1], LOGITS[:3], LOGITS.reshape(20, 2, 5), softmax(LOGITS / 40)]
)
def test_healthy_outputs(outputs):
    assert look_at_outputs(outputs, None) == []


def test_as_many_names_as_outputs():
    assert look_at_outputs(LOGITS, [*"abcdefghij"]) == []
    (finding,) = look_at_outputs(LOGITS, [*"abc"])
    assert finding.measured == "There are 3 names for 10 outputs."


def test_one_class_for_all():
    constant = LOGITS.copy()
    constant[:, 4] = 100
    (finding,) = look_at_outputs(constant, [*"abcdefghij"])
    assert finding.measured == "All 20 images are named 'e'."
    (finding,) = look_at_outputs(LOGITS[:1] + 1e-4 * LOGITS, None)
    assert "images hardly matter" in finding.measured
    assert look_at_outputs(constant[:5], None) == []  # too few to tell


def test_softmax_twice():
    (finding,) = look_at_outputs(softmax(softmax(LOGITS)), None)
    assert finding.check == "softmax"


def test_outputs_that_are_not_finite():
    broken = LOGITS.copy()
    broken[3, 2] = np.nan
    (finding,) = look_at_outputs(broken, [*"abc"])
    assert finding.measured == "The outputs of 1 of 20 images are not finite."


def test_company():
    assert in_company(LOGITS, LOGITS + 1e-4) == []
    assert in_company(LOGITS, LOGITS + 0.5)[0].check == "batch normalisation"
    assert random_numbers(0) == []
    assert "3 times" in random_numbers(3)[0].measured


# -- preprocessing ----------------------------------------------------------------------------------------------------


def test_alternatives_are_different_inputs():
    found = alternatives(PLAIN, PLAIN)
    assert [one.name for one in found] == [
        "pixels in 0-255",
        "pixels in -1 to 1",
        "pixels normalised with ImageNet's mean and deviation",
        "pixels in 0-255 less ImageNet's mean",
        "channels in the order BGR",
        "channels in the order BGR, pixels in 0-255",
        "channels in the order BGR, pixels in -1 to 1",
        "channels in the order BGR, pixels normalised with ImageNet's mean and deviation",
        "channels in the order BGR, pixels in 0-255 less ImageNet's mean",
    ]
    assert found[0].yaml == "preprocessing: {range: [0, 255]}"
    assert found[-1].preprocessing.mean == (103.53, 116.28, 123.675)
    halves = Preprocessing(size_px=(8, 8), mean=(0.5,), std=(0.5,))
    assert "pixels in -1 to 1" not in [one.name for one in alternatives(halves, halves)]
    own = alternatives(PLAIN, IMAGENET)[0]
    assert (own.name, own.preprocessing) == ("the preprocessing that comes with the network", IMAGENET)
    assert own.yaml == "preprocessing: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"
    grey = Preprocessing(size_px=(8, 8), channels="grey")
    assert [one.name for one in alternatives(grey, grey)] == ["pixels in 0-255", "pixels in -1 to 1"]


def rights(num_right: int, total: int = 100) -> np.ndarray:
    return np.arange(total) < num_right


@pytest.mark.parametrize(("stated", "other", "complains"), [(90, 90, False), (90, 92, False), (10, 80, True), (90, 70, False)])
def test_labels_need_a_margin(stated, other, complains):
    known = alternatives(PLAIN, PLAIN)
    found = better_by_labels(rights(stated), {"pixels in 0-255": rights(other)}, known)
    assert bool(found) == complains
    if complains:
        assert (
            "10 of 100 labelled images are named rightly as they are prepared now, and 80 with pixels in 0-255: 70"
            in found[0].measured
        )
        assert found[0].fix == "Write `preprocessing: {range: [0, 255]}`."


def test_equally_many_right_is_no_gain_whichever_they_are():
    known = alternatives(PLAIN, PLAIN)
    assert better_by_labels(rights(50), {"pixels in 0-255": ~rights(50)}, known) == []
    assert better_by_labels(rights(0, 5), {"pixels in 0-255": rights(5, 5)}, known) == []  # too few


def test_chance_is_counted_exactly():
    assert by_chance(3, 1) == pytest.approx((4 + 1) / 16)  # three or four heads of four coins
    assert by_chance(0, 0) == 1


def test_interval_holds_the_truth_nineteen_times_of_twenty():
    """Against simulation, for images of which one way names 70% rightly and the other 78%."""
    held = 0
    for _ in range(2000):
        gained, lost, _ = RANDOM.multinomial(150, [0.13, 0.05, 0.82])
        low, high = interval(gained, lost, 150)
        held += low <= 0.08 <= high
    assert 0.93 <= held / 2000 <= 0.975


# -- batch normalisation ----------------------------------------------------------------------------------------------


def kept(num_units: int = 6) -> dict[str, np.ndarray]:
    return {
        "layer1/bn/running_mean": RANDOM.normal(size=num_units),
        "layer1/bn/running_var": RANDOM.uniform(0.5, 2, num_units),
        "layer1/bn/weight": RANDOM.uniform(0.5, 2, num_units),
        "layer1/bn/bias": RANDOM.normal(size=num_units),
        "layer1/conv/weight": RANDOM.normal(size=(3, 3, 3, num_units)),
    }


@pytest.mark.parametrize(
    "names",
    [
        {"running_mean": "running_mean", "running_var": "running_var", "weight": "weight", "bias": "bias"},
        {"running_mean": "moving_mean", "running_var": "moving_variance", "weight": "gamma", "bias": "beta"},
        {"running_mean": "mean", "running_var": "var", "weight": "scale", "bias": "bias"},
    ],
)
def test_statistics_are_found_whatever_the_framework_calls_them(names):
    params = kept()
    renamed = {f"layer1/bn/{new}": params[f"layer1/bn/{old}"] for old, new in names.items()}
    (found,) = statistics_of(renamed)
    np.testing.assert_array_equal(found.mean, params["layer1/bn/running_mean"])
    np.testing.assert_array_equal(found.scale, params["layer1/bn/weight"])
    factor = found.scale / np.sqrt(found.var + 1e-3)
    assert normalised_by(factor, [found]) is found
    assert normalised_by(1.1 * factor, [found]) is None


def test_divergence_is_the_one_of_normal_distributions():
    """Against numerical integration of p log(p / q)."""
    one = Statistics("bn", np.zeros(1), np.ones(1), np.array([2.0]), np.array([0.5]))
    x = np.linspace(-60, 60, 400_001)
    mean, std = 3.0, 4.0
    p, q = (np.exp(-0.5 * ((x - m) / s) ** 2) / (s * math.sqrt(2 * math.pi)) for m, s in ((mean, std), (0.5, 2.0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nansum(p * np.log(p / q)) * (x[1] - x[0])
    assert divergence(np.array([mean]), np.array([std**2]), one) == pytest.approx(expected, rel=1e-3)
    assert divergence(np.array([0.5]), np.array([4.0]), one) == pytest.approx(0)


def test_another_way_is_proposed_where_it_fits_much_better():
    known = alternatives(PLAIN, PLAIN)
    (finding,) = better_by_statistics(5000.0, {"pixels in 0-255": 0.1, "pixels in -1 to 1": 90.0}, known, 12)
    assert "5,000 nats from what they got in training, with pixels in 0-255 0.1." in finding.measured
    assert better_by_statistics(0.3, {"pixels in 0-255": 0.0}, known, 12) == []
    assert better_by_statistics(2.0, {"pixels in 0-255": 1.9}, known, 12) == []
    (finding,) = better_by_statistics(50.0, {"pixels in 0-255": 40.0}, known, 12)
    assert "no usual one comes close" in finding.measured


def test_statistics_as_before_training():
    params = kept()
    assert never_trained(statistics_of(params)) == []
    assert never_trained([]) == []
    params["layer1/bn/running_mean"], params["layer1/bn/running_var"] = np.zeros(6), np.ones(6)
    assert "a mean of 0 and a variance of 1" in never_trained(statistics_of(params))[0].measured


# -- layers -----------------------------------------------------------------------------------------------------------


def test_kernels():
    healthy = {"a": RANDOM.normal(size=(3, 3, 3, 8)) / 5, "b": RANDOM.normal(size=(8, 4))}
    assert look_at_kernels(healthy) == []
    assert "The kernel of c is zero throughout." in look_at_kernels({**healthy, "c": np.zeros((3, 4))})[0].measured
    assert "(c: 1e+06)" in look_at_kernels({**healthy, "c": np.full((3, 1), 1e6)})[0].measured
    assert "All units of c have the same weights." in look_at_kernels({**healthy, "c": np.full((3, 4), 0.1)})[0].measured


def test_first_layer():
    maps = np.maximum(RANDOM.normal(size=(4, 8, 8, 16)), 0)
    assert look_at_first_layer("stem", "ReLU", maps) == []
    assert "16 of the 16 units of stem are zero for all 4 images." in look_at_first_layer("stem", "ReLU", 0 * maps)[0].measured
    bounded = np.minimum(40 * maps, 6)
    assert look_at_first_layer("stem", "ReLU", bounded) == []
    assert look_at_first_layer("stem", "ReLU6", np.minimum(maps, 6)) == []
    assert "at the bound of its ReLU6 (6)" in look_at_first_layer("stem", "ReLU6", np.minimum(40 * maps + 6, 6))[0].measured


# -- names of classes -------------------------------------------------------------------------------------------------

TRUTH = np.repeat(np.arange(4), 10)
NAMES = [*"abcd"]


def wrongly(named: np.ndarray, count: int) -> np.ndarray:
    """The same, but for `count` images or somewhat more, evenly spread."""
    changed = named.copy()
    changed[:: len(named) // count] = (changed[:: len(named) // count] + 1) % 4
    return changed


@pytest.mark.parametrize("order", [[1, 2, 3, 0], [0, 3, 2, 1]])
def test_names_in_another_order(order):
    """Named as the outputs say, where output k is the class `order[k]`."""
    outputs = np.argsort(order)[TRUTH]
    found = in_another_order(TRUTH, wrongly(outputs, 4), NAMES)
    right = int((np.array(order)[wrongly(outputs, 4)] == TRUTH).sum())
    assert f", {right} are." in found[0].measured
    renamed = json.dumps([NAMES[index] for index in order])
    assert found[0].fix == f"Write `labels: {renamed}`, if that is the order of the outputs."


@pytest.mark.parametrize("mistakes", [2, 4, 16])
def test_mistakes_are_no_other_order(mistakes):
    assert in_another_order(TRUTH, wrongly(TRUTH, mistakes), NAMES) == []


def test_an_order_is_found_where_one_class_is_mostly_taken_for_another():
    order = np.array([1, 2, 3, 0])
    outputs = np.argsort(order)[TRUTH]
    outputs[:6] = np.argsort(order)[1]
    (finding,) = in_another_order(TRUTH, outputs, NAMES)
    assert ", 34 are." in finding.measured
    assert json.dumps([NAMES[index] for index in order]) in finding.fix


def test_a_few_images_of_each_class_fit_any_order():
    truth = np.repeat(np.arange(10), 2)
    assert in_another_order(truth, (truth + 3) % 10, [*"abcdefghij"]) == []


def test_one_class_that_is_mostly_taken_for_another_is_no_other_order():
    named = TRUTH.copy()
    named[np.flatnonzero(TRUTH == 1)[:7]] = 2
    assert in_another_order(TRUTH, named, NAMES) == []


def test_guessing():
    random = np.random.default_rng(0).permutation(np.tile(np.arange(4), 10))
    assert in_another_order(TRUTH, random, NAMES) == []
    (finding,) = no_better_than_chance(TRUTH, random, NAMES)
    assert finding.measured.endswith("of 40 labelled images are named rightly, where guessing names 10; with no usual"
                                     " preprocessing they are more.")  # fmt: skip
    assert no_better_than_chance(TRUTH, wrongly(TRUTH, 10), NAMES) == []
    assert no_better_than_chance(TRUTH[::4], random[::4], NAMES) == []  # too few to tell
    assert no_better_than_chance(TRUTH, random, ()) == []


def test_two_classes_for_one_output_are_no_order():
    assert in_another_order(TRUTH, np.full(40, 2), NAMES) == []
