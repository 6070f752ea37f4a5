"""The record of a layer's answers, and class selectivity against its formula written out."""

import numpy as np
import pytest

from generator.records import DatasetInfo, Responses
from generator.views import responses

LABELLED = DatasetInfo(
    name="d", title="D", kind="images", num_images=10, provenance="p", licence="l", labels=("a", "b", "c", "d")
)


def by_hand(means: list[float]) -> float:
    known = [max(mean, 0.0) for mean in means if np.isfinite(mean)]
    if len(known) < 2:
        return 0.0
    best = max(known)
    others = (sum(known) - best) / (len(known) - 1)
    return (best - others) / (best + others) if best + others > 0 else 0.0


def test_selectivity_equals_the_formula():
    means = np.random.default_rng(0).normal(size=(50, 6))
    means[3], means[4, 1:], means[5, 2] = -1, np.nan, np.nan
    means[6], means[7] = 2.0, [0, 0, 5, 0, 0, 0]
    found = responses.selectivity(means)
    np.testing.assert_allclose(found, [by_hand(row) for row in means.tolist()], rtol=1e-12)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert found[[3, 4, 6, 7]].tolist() == [0, 0, 0, 1]


def arrays(num_classes):
    return {
        "mean": np.array([1.0, np.nan]),
        "std": np.array([0.25, np.inf]),
        "minimum": np.array([-1.0, 0.0]),
        "maximum": np.array([1 / 3, 2.0]),
        "active": np.array([0.5, 1.0]),
        "edges": np.array([0.0, 0.5, 1.0]),
        "counts": np.array([[4, 6], [10, 0]]),
        "class_means": np.full((2, num_classes), np.nan, np.float32),
    }


def test_numbers_that_do_not_exist_are_none_and_the_record_survives_json():
    found = responses.measure("conv", LABELLED, **arrays(0))
    assert Responses.model_validate_json(found.model_dump_json()) == found
    assert found.mean == [1.0, None]
    assert found.std == [0.25, None]
    assert found.maximum == [pytest.approx(1 / 3, rel=1e-5), 2.0]
    assert found.counts == [[4, 6], [10, 0]]
    assert (found.dataset, found.num_images, found.class_means, found.selectivity) == ("d", 10, None, None)


def test_classes_without_images_have_no_part():
    given = arrays(4)
    given["class_means"][0] = [3, np.nan, 1, np.nan]
    found = responses.measure("conv", LABELLED, **given)
    assert Responses.model_validate_json(found.model_dump_json()) == found
    assert found.class_means == [[3, None, 1, None], [None] * 4]
    assert found.selectivity == [0.5, 0]
