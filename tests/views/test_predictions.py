import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from generator.records import Predictions
from generator.views.predictions import predictions


@given(arrays(np.float32, st.integers(2, 30), elements=st.floats(-80, 80, width=32)))
def test_scores_are_the_softmax_of_the_best_classes(outputs):
    result = predictions(outputs)
    assert result.scores == "probability"
    assert [p.index for p in result.top] == sorted(range(len(outputs)), key=lambda i: (-outputs[i], i))[:5]
    already = outputs.min() >= 0 and outputs.max() <= 1 and abs(outputs.sum(dtype=float) - 1) <= 1e-3
    expected = outputs.astype(float) if already else scipy.special.softmax(outputs.astype(float))
    np.testing.assert_allclose([p.score for p in result.top], expected[[p.index for p in result.top]], rtol=1e-9)


def test_probabilities_are_left_as_they_are_and_labels_are_used():
    result = predictions(np.array([0.1, 0.7, 0.2], np.float32), labels=["cat", "dog"])
    assert [(p.label, round(p.score, 6)) for p in result.top] == [("dog", 0.7), ("class 2", 0.2), ("cat", 0.1)]


def test_large_outputs_do_not_overflow():
    result = predictions(np.array([1e4, -1e4, 9e3]))
    assert [p.index for p in result.top] == [0, 2, 1]
    assert result.top[0].score == 1


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_have_no_probabilities(odd):
    result = predictions(np.array([odd, 2.0, 3.0]))
    assert result.scores == "output"
    assert [(p.index, p.score) for p in result.top] == [(2, 3.0), (1, 2.0)]
    assert Predictions.model_validate_json(result.model_dump_json()) == result


def test_a_single_output_is_shown_raw():
    result = predictions(np.array([0.3]))
    assert (result.scores, result.top[0].score) == ("output", 0.3)
    assert predictions(np.full(4, np.nan)).top == ()
