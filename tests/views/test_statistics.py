import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from generator.views.statistics import finite_numbers, finite_or_none, measure


def naive(values: list[float]) -> tuple[float, float, float, float, str]:
    """Minimum, maximum, mean, share of zeros and state of one map, one number at a time."""
    low, high, total, zeros = math.inf, -math.inf, 0.0, 0
    nan = infinite = False
    for x in values:
        nan |= math.isnan(x)
        infinite |= math.isinf(x)
        zeros += x == 0
        low, high, total = min(low, x), max(high, x), total + x
    state = "zero" if zeros == len(values) else "constant" if low == high and len(values) > 1 else "ok"
    state = "nan" if nan else "infinite" if infinite else state
    return low, high, total / len(values), zeros / len(values), state


@given(
    st.sampled_from([np.float16, np.float32]).flatmap(
        lambda dtype: arrays(
            dtype,
            st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)),
            elements=st.sampled_from([0.0, 0.0, 1.5, -2.25, 7.0, 60000.0, np.nan, np.inf, -np.inf]),
        )
    )
)
def test_statistics_equal_naive_loops(maps):
    result = measure(maps)
    for c in range(maps.shape[2]):
        values = [float(x) for x in maps[..., c].ravel()]
        low, high, mean, zeros, state = naive(values)
        assert result.states[c] == state
        assert result.zero_fraction[c] == pytest.approx(zeros)
        if state not in ("nan", "infinite"):
            assert (result.minimum[c], result.maximum[c]) == (low, high)
            assert result.mean[c] == pytest.approx(mean, rel=1e-6)
        if state == "nan":
            assert np.isnan([result.minimum[c], result.maximum[c], result.mean[c]]).all()
        finite = [x for x in values if math.isfinite(x)]
        assert (result.lowest[c], result.highest[c]) == ((min(finite), max(finite)) if finite else (0.0, 0.0))
    assert result.signed == any(x < 0 for x in maps.ravel())


def test_sums_of_large_maps_neither_overflow_nor_drift():
    half = np.full((300, 300, 1), 60000.0, np.float16)
    assert measure(half).mean[0] == 60000 - 60000 % 32
    huge = np.full((40, 40, 1), 3e38, np.float32)
    assert measure(huge).mean[0] == pytest.approx(3e38, rel=1e-6)
    assert measure(huge).states == ["constant"]
    noise = np.random.default_rng(0).normal(5, 1, (224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(measure(noise).mean, noise.astype(np.float64).mean((0, 1)), rtol=1e-6)


def test_zeros_are_counted_over_many_blocks():
    maps = np.zeros((64, 65, 2), np.float32)
    maps[3, 3, 1] = 1
    np.testing.assert_allclose(measure(maps).zero_fraction, [1, 1 - 1 / (64 * 65)])
    assert measure(maps).states == ["zero", "ok"]


def test_the_record_has_no_number_where_there_is_none():
    record = measure(np.array([[[np.nan, np.inf, 1 / 3]]], np.float32)).record()
    assert record.minimum == [None, None, 0.333333]
    assert record.state == ["nan", "infinite", "ok"]
    assert type(record).model_validate_json(record.model_dump_json()) == record
    assert finite_or_none(-math.inf) is None


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_numbers_keep_six_digits(numbers):
    """The same as formatting each one, but for numbers that lie between two in float64's last digits."""
    found = finite_numbers(np.array(numbers))
    for number, ours in zip(numbers, found, strict=True):
        theirs = finite_or_none(number)
        assert (ours is None) == (theirs is None)
        assert ours is None or ours == theirs or abs(number - (ours + theirs) / 2) <= 1e-15 * abs(number)


@pytest.mark.parametrize("num_units", [1, 3, 500, 2000])
def test_several_positions_to_a_row_change_nothing(num_units):
    maps = np.random.default_rng(num_units).normal(size=(37, 29, num_units)).astype(np.float32)
    maps[maps < -1] = 0
    result = measure(maps)
    np.testing.assert_array_equal(result.minimum, maps.min((0, 1)))
    np.testing.assert_array_equal(result.maximum, maps.max((0, 1)))
    np.testing.assert_allclose(result.mean, maps.mean((0, 1), dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(result.zero_fraction, (maps == 0).mean((0, 1)))
