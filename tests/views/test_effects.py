"""Effect sizes, tests and intervals against SciPy, closed forms and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from generator.views.effects import adjusted, hedges, unbiasing, welch, wilson

RNG = np.random.default_rng(0)


def summary(group):
    return group.mean(axis=0), group.std(axis=0, ddof=1), len(group)


def test_welch_equals_scipy_for_many_units_at_once():
    a, b = RNG.normal(0, 1, (17, 40)), RNG.normal(0.4, np.linspace(0.1, 5, 40), (31, 40))
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    np.testing.assert_allclose(welch(*summary(a), *summary(b)), expected, rtol=1e-10)
    np.testing.assert_allclose(welch(*summary(b), *summary(a)), expected, rtol=1e-10)


@pytest.mark.parametrize("method", [welch, lambda *given: hedges(*given)[0]])
def test_what_cannot_be_told_is_nan(method):
    assert np.isnan(method(1, 0, 5, 2, 0, 5))
    assert np.isnan(method(1, np.nan, 1, 2, 1, 5))
    assert np.isnan(method(1, 1, 5, 2, 0.5, 1))
    assert np.isnan(method(1, 1, 5, 2, 1, 0))
    assert np.isfinite(method(1, 0, 5, 2, 1, 5))
    # Squares that are no numbers any more are no reason to fail.
    method(1e30, 1e-200, 5, 2, 1e-160, 5)


def test_hedges_equals_the_formula_written_out():
    a, b = RNG.normal(3, 2, 9), RNG.normal(1, 1, 14)
    g, low, high = hedges(*summary(a), *summary(b))
    pooled = math.sqrt((sum((a - a.mean()) ** 2) + sum((b - b.mean()) ** 2)) / 21)
    exact = math.gamma(21 / 2) / (math.sqrt(21 / 2) * math.gamma(20 / 2))
    assert g == pytest.approx(exact * (a.mean() - b.mean()) / pooled, rel=1e-12)
    error = math.sqrt(23 / (9 * 14) + g**2 / (2 * 23))
    assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * error, rel=1e-12)
    assert (high + low) / 2 == pytest.approx(g, rel=1e-12)
    assert hedges(*summary(b), *summary(a))[0] == pytest.approx(-g)


def test_the_exact_factor_is_as_near_hedges_approximation_as_he_says():
    freedom = np.arange(3, 300)
    np.testing.assert_allclose(unbiasing(freedom), 1 - 3 / (4 * freedom - 1), atol=0.007)
    assert np.isfinite(unbiasing(1e7))


@pytest.mark.parametrize("effect", [0.0, 0.8, 2.0])
def test_hedges_has_no_bias_and_its_interval_holds_the_truth(effect):
    """20 000 draws of two groups; 12 and 20 members."""
    a, b = RNG.normal(effect * 3, 3, (12, 20_000)), RNG.normal(0, 3, (20, 20_000))
    g, low, high = hedges(*summary(a), *summary(b))
    assert g.mean() == pytest.approx(effect, abs=0.015)
    assert ((low <= effect) & (effect <= high)).mean() == pytest.approx(0.95, abs=0.015)


def test_adjusted_equals_scipy_and_leaves_what_was_not_tested():
    p = np.concatenate([RNG.random(30), RNG.random(10) * 1e-4, [0.0, 1.0, 0.5, 0.5]])
    expected = stats.false_discovery_control(p, method="bh")
    np.testing.assert_allclose(adjusted(p), expected, rtol=1e-12)
    gaps = np.full(2 * len(p), np.nan)
    gaps[::2] = p
    found = adjusted(gaps)
    np.testing.assert_allclose(found[::2], expected, rtol=1e-12)
    assert np.isnan(found[1::2]).all()
    assert adjusted(np.zeros(0)).shape == (0,)


def test_wilson_equals_scipy_and_ends_at_none_and_all():
    successes, n = np.array([0, 1, 7, 50, 99, 100]), 100
    low, high = wilson(successes, n)
    for place, number in enumerate(successes):
        expected = stats.binomtest(int(number), n).proportion_ci(method="wilson")
        assert (low[place], high[place]) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert (low[0], high[-1]) == (0, 1)
    assert np.isnan(wilson(0, 0)).all()
