"""Which units are tried, and the paired interval against McNemar's statistic and resampled images."""

import math

import numpy as np
import pytest

from generator.network.ablation import Effects
from generator.records import LayerHealth, Removal, UnitFault
from generator.views.removals import NORMAL_95, Experiment, experiments, paired_interval, removals


def health(layer, removable=(), importance=None, num_units=10, dead=None):
    return LayerHealth(
        layer=layer,
        num_units=num_units,
        faults=[UnitFault(unit=unit, kind="silent", value=0.0) for unit in (removable if dead is None else dead)],
        clusters=[],
        opposites=[],
        rank=None,
        importance=importance,
        noise=None,
        noisy=[],
        removable=removable,
    )


def test_dead_units_go_by_layer_and_then_all_at_once():
    found = experiments([health("a", (1, 4)), health("b"), health("c", (0,))], (0.5,), ())
    assert found == [
        Experiment("a", "dead", {"a": (1, 4)}),
        Experiment("c", "dead", {"c": (0,)}),
        Experiment(None, "dead", {"a": (1, 4), "c": (0,)}),
    ]
    assert len(experiments([health("a", (1, 4)), health("b")], (0.5,), ())) == 1
    assert experiments([health("b")], (0.5,), ()) == []


def test_redundant_units_are_tried_apart_from_dead_ones():
    """A NaN or rare unit is at fault, but none of the two; a dead unit of the outputs may not go."""
    faults = [UnitFault(unit=unit, kind=kind, value=None) for unit, kind in ((1, "weightless"), (2, "nan"), (3, "rare"))]
    layer = health("a", (1, 3, 4), dead=()).model_copy(update={"faults": tuple(faults)})
    found = experiments([layer, health("b", (), dead=(5,))], (0.5,), ())
    assert found == [Experiment("a", "dead", {"a": (1,)}), Experiment("a", "redundant", {"a": (3, 4)})]


def test_the_weakest_are_the_least_important_and_no_number_is_tried_twice():
    importance = (0.3, 0.1, 0.0, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05)
    layers = [health("a", (0,), importance), health("out", (), importance)]
    found = experiments(layers, (0.01, 0.1, 0.19, 0.3, 0.5, 1.0), {"out"})
    assert [(e.layer, e.kind, e.units["a"]) for e in found] == [
        ("a", "dead", (0,)),
        ("a", "weakest", (2,)),
        ("a", "weakest", (2, 6, 7)),
        ("a", "weakest", (2, 6, 7, 8, 9)),
        ("a", "weakest", tuple(range(10))),
    ]


def test_shares_are_rounded_down_but_for_what_floats_lose():
    hundred = health("a", (), tuple(np.linspace(0, 1, 100)), 100)
    assert [len(e.units["a"]) for e in experiments([hundred], (0.29, 0.57, 0.295), ())] == [29, 57]


def effects(**arrays):
    return {"kept": [80], "lost": [10], "won": [4], "changed": [20], "shift": [0.25], "right": 90, **arrays}


def test_records_hold_what_was_counted():
    tried = [Experiment("a", "weakest", {"a": (3, 5)}), Experiment(None, "dead", {"a": (1,), "b": (0, 2)})]
    counted = Effects(
        kept=np.array([80, 90]),
        lost=np.array([10, 0]),
        won=np.array([4, 0]),
        changed=np.array([20, 0]),
        shift=np.array([1 / 3, 0]),
        right=90,
    )
    first, second = removals(tried, vars(counted), 120, 100)
    assert Removal.model_validate_json(first.model_dump_json()) == first
    assert (first.layer, first.kind, first.num_units, first.units, first.num_images) == ("a", "weakest", 2, (3, 5), 120)
    assert (first.before, first.accuracy, first.changed, first.shift) == (0.9, 0.84, pytest.approx(1 / 6, rel=1e-5), 0.333333)
    assert first.low < -0.06 < first.high
    assert (second.layer, second.num_units, second.units) == (None, 3, ())
    assert (second.accuracy, second.changed, second.shift) == (0.9, 0, 0)
    assert second.low < 0 < second.high


def test_without_labels_nothing_is_said_about_accuracy():
    given = {name: np.array(value) for name, value in effects(kept=[0], lost=[0], won=[0], right=0).items()}
    (found,) = removals([Experiment("a", "dead", {"a": (1,)})], given, 50, 0)
    assert (found.before, found.accuracy, found.low, found.high) == (None,) * 4
    assert (found.changed, found.shift) == (0.4, 0.25)


def test_outputs_that_are_no_numbers_tell_nothing_and_lengths_must_agree():
    given = {name: np.array(value) for name, value in effects(shift=[np.nan]).items()}
    tried = [Experiment("a", "dead", {"a": (1,)})]
    assert removals(tried, given, 100, 100) == ()
    with pytest.raises(ValueError, match="zip"):
        removals(tried * 2, given, 100, 100)


@pytest.mark.parametrize(("lost", "won", "number"), [(10, 4, 100), (0, 7, 200), (300, 290, 10_000), (50, 0, 60), (0, 0, 50)])
def test_the_interval_is_that_of_the_differences_of_single_images(lost, won, number):
    """Each image's change is -1, 0 or 1, and each of the four cells has half an image more: the interval is their mean's, and
    McNemar's statistic follows from it."""
    weights = np.array([lost + 0.5, won + 0.5, number - lost - won + 1])
    changes = np.array([-1.0, 1.0, 0.0])
    mean = np.average(changes, weights=weights)
    deviation = math.sqrt(np.average((changes - mean) ** 2, weights=weights))
    low, high = paired_interval(lost, won, number)
    middle, half = (low + high) / 2, (high - low) / 2
    assert middle == pytest.approx(mean, rel=1e-4, abs=1e-9)
    assert half == pytest.approx(NORMAL_95 * deviation / math.sqrt(number + 2), rel=1e-4)
    # z^2 / (1 + z^2 / n) of Wald's test is McNemar's (lost - won)^2 / (lost + won), since under no change only the sum counts.
    wald = (middle / (half / NORMAL_95)) ** 2
    mcnemar = (lost - won) ** 2 / (lost + won + 1)
    assert wald / (1 + wald / (number + 2)) == pytest.approx(mcnemar, rel=1e-3, abs=1e-9)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    draws = random.multinomial(400, [0.08, 0.05, 0.87], 2000)
    held = [low <= -0.03 <= high for low, high in (paired_interval(lost, won, 400) for lost, won, _ in draws.tolist())]
    assert 0.935 <= np.mean(held) <= 0.965


def test_the_interval_agrees_with_resampled_images():
    changes = np.repeat([-1, 1, 0], [60, 25, 915])
    means = np.random.default_rng(1).choice(changes, (4000, 1000)).mean(axis=1)
    np.testing.assert_allclose(paired_interval(60, 25, 1000), np.quantile(means, [0.025, 0.975]), atol=0.002)


def test_the_interval_stays_within_what_can_be():
    low, high = paired_interval(2, 0, 2)
    assert -1 == low < high
    low, high = paired_interval(0, 0, 50)
    assert low == -high < 0
    low, high = paired_interval(0, 2, 3)
    assert low < high <= 1
