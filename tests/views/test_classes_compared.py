"""Classes against loops over the answers to single images, which what `compare` gets was reduced from."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from generator.network.census import LayerCensus
from generator.records import Classes, Measured
from generator.views.classes import compare

LABELS = ("a", "b", "c", "d")
SIZES = (30, 12, 25, 0)
NUM = sum(SIZES)
TRUTH = np.repeat(range(4), SIZES)
MEASURED = Measured(dataset="D", num_images=NUM, num_labelled=NUM, positions=9)


def answers(seed, num_units):
    """Of rectified units `(NUM, num_units)`; 0 prefers b, 1 is dead, 2 answers to a single image, 3 to none but d's absence."""
    rng = np.random.default_rng(seed)
    found = np.maximum(rng.normal(0.3, 1, (NUM, num_units)) + rng.normal(0, 1, (4, num_units))[TRUTH], 0)
    found[:, 0] = np.where(TRUTH == 1, 5, 0.1) * rng.uniform(0.9, 1.1, NUM)
    found[:, 1], found[:, 2] = 0, np.arange(NUM) == 3
    return found


def reduced(found):
    means, squares = np.zeros((4, found.shape[1])), np.zeros((4, found.shape[1]))
    for label in set(TRUTH.tolist()):
        own = found[label == TRUTH]
        means[label], squares[label] = own.mean(axis=0), ((own - own.mean(axis=0)) ** 2).sum(axis=0)
    return {"class_sizes": np.array(SIZES), "class_means": means, "class_squares": squares}


ANSWERS = {"conv": answers(1, 6), "deep": answers(2, 9), "fc": answers(3, 4)}
LAYERS = {layer: reduced(found) for layer, found in ANSWERS.items()}
CONFUSION = np.array([[20, 6, 3, 1], [1, 11, 0, 0], [5, 0, 20, 0], [0, 0, 0, 0]])
EXAMPLES = np.full((4, 4, 4), -1)
EXAMPLES[0, 0], EXAMPLES[0, 1], EXAMPLES[0, 2, :3], EXAMPLES[0, 3, 0] = [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11], 12
EXAMPLES[1, 0, 0], EXAMPLES[2, 0] = 33, [50, 51, 52, 53]
NAMED = {"confusion": CONFUSION, "examples": EXAMPLES}


def made(layers=LAYERS, **settings):
    return compare(MEASURED, LABELS, layers, NAMED, outputs={"fc"}, **settings)


def test_the_arrays_are_those_of_a_census():
    assert set(LAYERS["conv"]) <= {field.name for field in dataclasses.fields(LayerCensus)}


def test_the_record_survives_json_and_counts_images():
    found = made()
    assert Classes.model_validate_json(found.model_dump_json()) == found
    assert found.accuracy == 51 / 67
    interval = stats.binomtest(51, 67).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    a, b, c, d = found.classes
    assert [one.num_images for one in found.classes] == list(SIZES)
    assert (a.recall, a.precision, b.recall, c.precision) == (20 / 30, 20 / 26, 11 / 12, 20 / 23)
    interval = stats.binomtest(20, 30).proportion_ci(method="wilson")
    assert (a.low, a.high) == pytest.approx((interval.low, interval.high))
    assert (d.recall, d.low, d.high, d.precision, d.own, d.units) == (None, None, None, 0, 0, ())


def test_images_come_by_turns_the_commonest_mistakes_first():
    a, b, *_ = made().classes
    assert a.hits == (1, 2, 3, 4)
    assert a.misses == (5, 9, 12, 6, 10, 7, 11, 8)
    assert (b.hits, b.misses) == ((), (33,))
    swapped = {(pair.first, pair.second): pair.swapped for pair in made().comparisons}
    assert swapped == {(0, 1): (5, 33, 6, 7, 8), (0, 2): (9, 50, 10, 51, 11, 52, 53), (1, 2): ()}


def by_hand(found, unit):
    """Best class, its mean, mean of the others' and selectivity, from single images."""
    means = {label: found[label == TRUTH, unit].mean() for label in (0, 1, 2)}
    best = max(means, key=means.get)
    others = sum(mean for label, mean in means.items() if label != best) / 2
    total = means[best] + others
    return best, means[best], others, (means[best] - others) / total if total else 0.0


def test_selective_units_equal_a_loop_over_images():
    expected = {label: [] for label in range(4)}
    for layer in ("conv", "deep"):
        for unit in range(ANSWERS[layer].shape[1]):
            best, mean, others, selectivity = by_hand(ANSWERS[layer], unit)
            own = ANSWERS[layer][best == TRUTH, unit]
            if mean - 1.96 * stats.sem(own) > others:
                expected[best].append((layer, unit, selectivity, mean, others))
    found = made(num_units=3, own_from=0.4)
    for one in found.classes:
        wanted = sorted(expected[one.index], key=lambda row: -row[2])
        got = [(u.layer, u.unit, u.selectivity, u.mean, u.others) for u in one.units]
        assert [row[:2] for row in got] == [row[:2] for row in wanted[:3]]
        np.testing.assert_allclose([row[2:] for row in got], [row[2:] for row in wanted[:3]], rtol=1e-5)
        assert one.own == sum(row[2] > 0.4 for row in wanted)
    assert found.classes[1].units[0].unit == 0
    means = {layer: np.mean([by_hand(all_, unit)[3] for unit in range(all_.shape[1])]) for layer, all_ in ANSWERS.items()}
    assert found.layer_selectivity == pytest.approx(means, abs=1e-6)
    assert list(found.layer_selectivity) == ["conv", "deep", "fc"]


def test_a_unit_that_answers_to_one_image_is_nobodys_own():
    assert by_hand(ANSWERS["conv"], 2)[3] == 1
    assert all(unit.unit != 2 for one in made().classes for unit in one.units)


def test_comparisons_equal_tests_of_single_images():
    found = made(num_units=100)
    assert [(pair.first, pair.second) for pair in found.comparisons] == [(0, 2), (0, 1), (1, 2)]
    for pair in found.comparisons:
        rows = []
        for layer in ("conv", "deep"):
            for unit in range(ANSWERS[layer].shape[1]):
                a, b = (ANSWERS[layer][label == TRUTH, unit] for label in (pair.first, pair.second))
                if a.var() + b.var() > 0:
                    freedom = len(a) + len(b) - 2
                    pooled = np.sqrt((len(a) * a.var() + len(b) * b.var()) / freedom)
                    g = (1 - 3 / (4 * freedom - 1)) * (a.mean() - b.mean()) / pooled
                    rows.append((layer, unit, a.mean(), b.mean(), g, stats.ttest_ind(a, b, equal_var=False).pvalue))
        p = stats.false_discovery_control([row[-1] for row in rows])
        wanted = sorted(zip(rows, p, strict=True), key=lambda both: -abs(both[0][4]))
        assert (pair.num_tested, pair.num_significant) == (len(rows), (p < 0.05).sum())
        assert [(one.layer, one.unit) for one in pair.units] == [row[:2] for row, _ in wanted]
        got = [(one.mean_first, one.mean_second, one.effect) for one in pair.units]
        np.testing.assert_allclose(got, [row[2:5] for row, _ in wanted], rtol=2e-3)
        np.testing.assert_allclose([one.p for one in pair.units], [q for _, q in wanted], rtol=1e-5)
        assert all(one.low < one.effect < one.high for one in pair.units)
    assert [pair.first_as_second for pair in found.comparisons] == [3, 6, 0]
    assert [pair.second_as_first for pair in found.comparisons] == [5, 1, 0]


def test_only_the_most_confused_pairs_are_compared():
    assert [(pair.first, pair.second) for pair in made(num_pairs=1, num_units=2).comparisons] == [(0, 2)]
    assert made(num_pairs=0).comparisons == ()
    assert len(made(num_units=2).comparisons[0].units) == 2


def test_a_layer_that_repeats_an_earlier_one_is_counted_once():
    repeated = made({"conv": LAYERS["conv"], "pool": dict(LAYERS["conv"]), "deep": LAYERS["deep"], "fc": LAYERS["fc"]})
    assert repeated.classes == made().classes
    assert repeated.comparisons == made().comparisons
    assert "pool" in repeated.layer_selectivity


def test_units_without_numbers_or_variance_have_no_part():
    layer = {name: array.copy() for name, array in LAYERS["conv"].items()}
    layer["class_means"][:, 3] = layer["class_squares"][:, 3] = np.nan
    layer["class_means"][:, 4], layer["class_squares"][:, 4] = [1, 1 + 1e-9, 1, 0], 1e-20
    found = made({"conv": layer})
    assert Classes.model_validate_json(found.model_dump_json()) == found
    assert found.comparisons[0].num_tested == 4 - 1
    assert not {3, 4} & {unit.unit for pair in found.comparisons for unit in pair.units}


def test_no_layers_but_outputs():
    found = made({"fc": LAYERS["fc"]})
    assert [one.own for one in found.classes] == [0] * 4
    assert [(pair.num_tested, pair.units) for pair in found.comparisons] == [(0, ())] * 3


def test_arrays_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="4 classes"):
        made({"conv": {name: array[:3] for name, array in LAYERS["conv"].items()}})


def test_every_units_means_are_kept_unless_classes_are_too_many():
    found = made({layer: LAYERS[layer] for layer in ("conv", "deep")})
    assert {layer: len(rows) for layer, rows in found.means.items()} == {"conv": 6, "deep": 9}
    for layer, rows in found.means.items():
        for unit, (means, selectivity) in enumerate(zip(rows, found.selectivity[layer], strict=True)):
            assert selectivity == pytest.approx(by_hand(ANSWERS[layer], unit)[3], abs=1e-6)
            assert means[:3] == pytest.approx([ANSWERS[layer][one == TRUTH, unit].mean() for one in (0, 1, 2)], rel=1e-5)
            assert means[3] is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generator.views.classes.MOST_TABLED", 3)
        found = made({"conv": LAYERS["conv"]})
    assert (found.means, found.selectivity) == ({}, {})
