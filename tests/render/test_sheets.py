import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from generator.render import colormaps, sheets


def unpack(image: np.ndarray, sheet) -> np.ndarray:
    """The tiles of a decoded sheet, by the arithmetic that pages use."""
    height, width = sheet.tile_px
    return np.stack(
        [image[(i // sheet.columns) * height :, (i % sheet.columns) * width :][:height, :width] for i in range(sheet.count)]
    )


def decode(data: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 16), st.integers(1, 16))
def test_packing_is_a_bijection(count, height, width):
    tiles = np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)
    back, files = [], 0
    for grid in sheets.layout(count, height, width):
        whole = sheets.mosaic(tiles[grid.first : grid.first + grid.count], grid.rows, grid.columns)
        cells = whole.reshape(grid.rows, height, grid.columns, width).transpose(0, 2, 1, 3).reshape(-1, height, width)
        back.append(cells[: grid.count])
        assert not cells[grid.count :].any(), "empty cells are zero"
        files += 1
    np.testing.assert_array_equal(np.concatenate(back), tiles)
    assert files == -(-count // 256)


@given(st.integers(1, 3000), st.integers(1, 2048), st.integers(1, 2048))
def test_sheets_keep_to_their_limits_and_hold_every_tile_once(count, height, width):
    grids = sheets.layout(count, height, width)
    assert [g.first for g in grids] == [sum(g.count for g in grids[:i]) for i in range(len(grids))]
    assert sum(g.count for g in grids) == count
    for grid in grids:
        assert 0 < grid.count <= min(256, grid.rows * grid.columns)
        assert (grid.rows - 1) * grid.columns < grid.count, "no empty row"
        assert grid.rows * height <= 2048
        assert grid.columns * width <= 2048


def test_grids_are_near_square():
    (grid,) = sheets.layout(64, 112, 112)
    assert (grid.rows, grid.columns) == (8, 8)
    (grid,) = sheets.layout(64, 10, 40)
    assert (grid.rows, grid.columns) == (16, 4)


def test_a_tile_larger_than_a_sheet_is_refused():
    with pytest.raises(ValueError, match="2049 x 10"):
        sheets.layout(1, 2049, 10)


def test_gaps_are_zero_and_lie_between_tiles_only():
    whole = sheets.mosaic(np.full((3, 2, 2), 9, np.uint8), 2, 2, gap=1)
    np.testing.assert_array_equal(whole, [[9, 9, 0, 9, 9], [9, 9, 0, 9, 9], [0, 0, 0, 0, 0], [9, 9, 0, 0, 0], [9, 9, 0, 0, 0]])


def smooth_tiles(count: int, side: int) -> np.ndarray:
    """Blurred noise with strong edges: what feature maps look like."""
    import scipy.ndimage

    noise = np.random.default_rng(side).normal(size=(count, side, side))
    maps = np.maximum(scipy.ndimage.gaussian_filter(noise, (0, 1.2, 1.2)), 0)
    return (255 * maps / (maps.max((1, 2), keepdims=True) + 1e-9)).astype(np.uint8)


@pytest.mark.parametrize(
    ("side", "most", "mean"),
    [(1, 4, 3), (7, 4, 2.1), (14, 4, 2.1), (28, 4, 2.1), (56, 64, 4.5), (128, 64, 4.5), (150, 64, 4.5), (112, 64, 4.5)],
)
def test_decoded_grey_sheets_are_close(side, most, mean):
    tiles = smooth_tiles(20, side)
    (sheet,), files = sheets.grey_sheets("tile", tiles)
    image = decode(files[sheet.file], "L")
    assert image.shape == (sheet.height_px, sheet.width_px)
    error = np.abs(unpack(image, sheet).astype(int) - tiles)
    assert error.max() <= most
    assert error.mean() <= mean


def test_small_sheets_keep_zero_middle_and_top_exactly():
    tiles = np.array([0, 128, 255], np.uint8).repeat(28 * 28).reshape(3, 28, 28)
    (sheet,), files = sheets.grey_sheets("tile", tiles)
    np.testing.assert_array_equal(unpack(decode(files[sheet.file], "L"), sheet), tiles)


@pytest.mark.parametrize("step", [8, 16])
def test_rounded_greys_keep_their_order(step):
    rounded = sheets.round_greys(np.arange(256, dtype=np.uint8), step).astype(int)
    assert (np.diff(rounded) >= 0).all()
    assert np.abs(rounded - np.arange(256)).max() <= step / 2
    assert [rounded[0], rounded[128], rounded[255]] == [0, 128, 255]


@pytest.mark.parametrize("values", [[0, 128], [1, 128, 255], list(range(256)), [128]])
def test_palette_pictures_decode_to_the_colormap(values):
    indices = np.random.default_rng(5).choice(np.array(values, np.uint8), (300, 7, 7))
    colours = colormaps.lookup("RdBu_r", 255)
    made, files = sheets.index_sheets("filter", indices, colours)
    assert [s.count for s in made] == [256, 44]
    for sheet in made:
        tiles = unpack(decode(files[sheet.file], "RGBA"), sheet)
        part = indices[sheet.first : sheet.first + sheet.count]
        np.testing.assert_array_equal(tiles[..., 3], np.where(part == 0, 0, 255))
        np.testing.assert_array_equal(tiles[part > 0][:, :3], colours[part[part > 0] - 1])


def test_coarse_scales_are_symmetric_about_zero():
    levels = sheets.coarse(np.arange(256, dtype=np.uint8)).astype(int)
    assert levels[0] == 0
    assert levels[128] == 128
    np.testing.assert_array_equal(levels[1:128], 256 - levels[255:128:-1])
    assert len(set(levels[1:])) == sheets.COARSE_LEVELS
    assert np.abs(levels - np.arange(256)).max() <= 254 / (sheets.COARSE_LEVELS - 1) / 2 + 0.5


def test_colour_sheets_are_lossless():
    tiles = np.random.default_rng(6).integers(0, 256, (32, 3, 3, 3), dtype=np.uint8)
    (sheet,), files = sheets.colour_sheets("filter", tiles)
    np.testing.assert_array_equal(unpack(decode(files[sheet.file], "RGB"), sheet), tiles)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "mean"), [(32, 0), (33, 6), (96, 6)])
def test_photo_sheets_are_close_and_small_tiles_exact(side, channels, mean):
    tint = np.array([1.0, 0.8, 0.5])[:channels]  # as in images, colours vary less than light does
    tiles = (smooth_tiles(6, side)[..., None] * tint).astype(np.uint8)
    (sheet,), files = sheets.photo_sheets("piece", tiles)
    assert sheet.file == "piece-0.webp"
    shown = unpack(decode(files[sheet.file], "RGB"), sheet).astype(int)
    assert np.abs(shown - tiles).mean() <= mean
