import warnings

import matplotlib.colors
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from generator.render.norms import TileNorm

FLOATS = arrays(np.float32, (5, 4, 3), elements=st.floats(-1e4, 1e4, width=32))


def _index(norm, values):
    """What matplotlib's colormaps make of a norm's output: floor(256 x), clipped."""
    return np.clip(np.floor(np.asarray(norm(values.astype(np.float64))) * 256), 0, 255)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_unsigned_greys_are_those_of_matplotlib_tile_by_tile(dtype):
    maps = np.maximum(np.random.default_rng(1).normal(size=(14, 13, 20)), 0).astype(dtype)
    grey = TileNorm.symmetric(maps.max((0, 1)), signed=False).grey(maps)
    for c in range(20):
        norm = matplotlib.colors.Normalize(0, float(maps[..., c].max()))
        assert np.abs(grey[..., c] - _index(norm, maps[..., c])).max() <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_signed_greys_are_those_of_centred_norms(dtype):
    maps = np.random.default_rng(2).normal(size=(14, 13, 20)).astype(dtype)
    grey = TileNorm.symmetric(np.abs(maps).max((0, 1)), signed=True).grey(maps)
    for c in range(20):
        norm = matplotlib.colors.CenteredNorm(0, float(np.abs(maps[..., c]).max()))
        assert np.abs(grey[..., c] - _index(norm, maps[..., c])).max() <= 1


def test_any_bounds_and_the_shared_scale_equal_matplotlib():
    maps = np.random.default_rng(3).normal(1e4, 1.0, size=(9, 9, 4)).astype(np.float32)
    low, high = float(maps.min()), float(maps.max())
    norm = matplotlib.colors.Normalize(low, high)
    ours = TileNorm(low, high)
    assert np.abs(ours.grey(maps) - _index(norm, maps)).max() <= 1
    np.testing.assert_allclose(ours(maps), np.asarray(norm(maps.astype(np.float64))), atol=1e-12)
    np.testing.assert_allclose(ours.inverse(ours(maps)), maps, rtol=1e-12)


def test_blocks_join_without_a_seam(monkeypatch):
    maps = np.random.default_rng(4).normal(size=(50, 7, 6)).astype(np.float32)
    norm = TileNorm.symmetric(np.abs(maps).max((0, 1)), signed=True)
    whole = norm.grey(maps)
    monkeypatch.setattr("generator.render.norms.BLOCK", 100)
    np.testing.assert_array_equal(norm.grey(maps), whole)


@given(FLOATS, st.booleans())
def test_a_larger_value_is_never_darker_and_zero_stays_put(maps, signed):
    maps = maps if signed else np.abs(maps)
    grey = TileNorm.symmetric(np.abs(maps).max((0, 1)), signed).grey(maps)
    for c in range(maps.shape[2]):
        order = np.argsort(maps[..., c], axis=None, kind="stable")
        assert (np.diff(grey[..., c].ravel()[order].astype(int)) >= 0).all()
    assert (grey[maps == 0] == (128 if signed else 0)).all()
    normal = np.abs(maps) > 1e-30
    if not signed:
        assert (grey[(maps == maps.max((0, 1))) & normal] == 255).all()


@pytest.mark.parametrize(("signed", "zero", "top"), [(False, 0, 255), (True, 128, 255)])
def test_odd_maps_have_a_defined_look(signed, zero, top):
    maps = np.zeros((2, 2, 5), np.float32)
    maps[..., 1] = 3.0
    maps[0, 0, 2] = np.nan
    maps[0, 0, 3], maps[1, 1, 3], maps[0, 1, 3] = np.inf, -np.inf, 2.0
    limits = np.array([0.0, 3.0, 0.0, 2.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey = TileNorm.symmetric(limits, signed).grey(maps)
    assert (grey[..., 0] == zero).all()
    assert (grey[..., 1] == top).all()
    assert grey[0, 0, 2] == 0
    assert grey[0, 0, 3] == 255
    assert grey[1, 1, 3] == 0
    assert grey[0, 1, 3] == 255
    assert (grey[..., 4] == zero).all()


def test_tiny_and_huge_values_do_not_overflow():
    tiny = np.array([[[1e-44, 3e38]], [[0.0, -3e38]]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey = TileNorm.symmetric(np.array([1e-44, 3e38]), signed=True).grey(tiny)
    np.testing.assert_array_equal(grey[:, 0, 1], [255, 0])
    assert grey[1, 0, 0] == 128


def test_bounds_are_checked_and_readable():
    with pytest.raises(ValueError, match="vmin"):
        TileNorm([0.0, 2.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="finite"):
        TileNorm(0.0, np.inf)
    norm = TileNorm.symmetric(np.array([0.0, 2.0]), signed=True)
    assert norm.bounds == [(0.0, 0.0), (-2.0, 2.0)]
    assert str(norm.bounds[0][0]) == "0.0", "no minus zero on pages"
    assert isinstance(norm, matplotlib.colors.Normalize)
    assert norm.scaled()
