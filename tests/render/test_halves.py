"""Fast conversions against NumPy's own, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generator.render.halves import BLOCK, narrowed, widened

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = EVERY_HALF[np.isfinite(EVERY_HALF)]


def same_bits(ours: np.ndarray, theirs: np.ndarray) -> bool:
    kind = {2: np.uint16, 4: np.uint32}[theirs.itemsize]
    nan = np.isnan(theirs)
    return bool((np.isnan(ours) == nan).all() and (ours.view(kind)[~nan] == theirs.view(kind)[~nan]).all())


@pytest.mark.parametrize("halves", [EVERY_HALF, FINITE])
def test_every_half_widens(halves):
    assert same_bits(widened(halves), halves.astype(np.float32))


def test_every_half_and_the_numbers_around_the_middles_between_two_narrow():
    values = FINITE.astype(np.float32)
    middles = (np.sort(values)[1:] + np.sort(values)[:-1]) / 2  # ties
    for singles in (values, middles, np.nextafter(middles, np.float32(np.inf)), np.nextafter(middles, np.float32(-np.inf))):
        assert same_bits(narrowed(singles), singles.astype(np.float16))


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32)))
def test_any_single_narrows(singles):
    with np.errstate(over="ignore"):
        expected = singles.astype(np.float16)
    assert same_bits(narrowed(singles), expected)


def test_shapes_and_strides():
    maps = np.random.default_rng(0).normal(size=(7, BLOCK // 5, 3)).astype(np.float32).transpose(2, 0, 1)
    halves = maps.astype(np.float16)
    assert narrowed(maps).shape == maps.shape
    assert same_bits(narrowed(maps), np.ascontiguousarray(halves))
    assert same_bits(widened(halves), np.ascontiguousarray(halves.astype(np.float32)))
    assert widened(np.zeros((0, 3), np.float16)).shape == narrowed(np.zeros((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("number", [65519.99, 65520.0, 65536.0, 70_000.0, 100_000.0, 3e38, np.inf, -np.inf, np.nan, 0.0, -0.0])
def test_where_halves_end(number):
    singles = np.array([1.0, number, -number, 2.0**-20], np.float32)
    with np.errstate(over="ignore"):
        expected = singles.astype(np.float16)
    assert same_bits(narrowed(singles), expected)
    assert same_bits(widened(expected), expected.astype(np.float32))
