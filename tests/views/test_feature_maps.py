import io

import numpy as np
import pytest
from PIL import Image

from generator.network.graph import Layer, ReceptiveField
from generator.records import FeatureMaps
from generator.views import feature_maps

FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))


def draw(maps):
    layer = Layer(name="conv1", kind="conv", inputs=("input",), shape=maps.shape, receptive_field=FIELD)
    return feature_maps.draw(layer, "cat", "activation", maps)


def tiles(drawn, sheets) -> np.ndarray:
    found = []
    for sheet in sheets:
        image = np.asarray(Image.open(io.BytesIO(drawn.files[sheet.file])).convert("L"))
        height, width = sheet.tile_px
        for i in range(sheet.count):
            row, column = divmod(i, sheet.columns)
            found.append(image[row * height : (row + 1) * height, column * width : (column + 1) * width])
    return np.stack(found)


def test_every_channel_is_drawn_on_its_own_scale():
    maps = np.maximum(np.random.default_rng(0).normal(size=(14, 14, 300)), 0).astype(np.float16)
    maps *= np.linspace(0.1, 2, 300).astype(np.float16)
    drawn = draw(maps)
    record = drawn.record
    assert [s.count for s in record.tile_sheets] == [256, 44]
    assert not record.signed
    own = tiles(drawn, record.tile_sheets)
    values = maps.astype(np.float64).transpose(2, 0, 1)
    assert np.abs(own - 256 * values / values.max((1, 2), keepdims=True)).max() <= 5
    assert record.shared_bounds == (0, values.max())
    np.testing.assert_allclose(record.tile_bounds, np.stack([np.zeros(300), values.max((1, 2))], 1))


def test_one_negative_value_anywhere_puts_zero_in_the_middle_of_every_tile():
    maps = np.zeros((8, 8, 3), np.float32)
    maps[0, 0] = [4.0, 2.0, 0.0]
    maps[7, 7, 1] = -1.0
    record = draw(maps).record
    assert record.signed
    assert record.tile_bounds == [(-4, 4), (-2, 2), (0, 0)]
    assert record.shared_bounds == (-4, 4)
    own = tiles(draw(maps), record.tile_sheets)
    assert (own[:, 3, 3] == 128).all()
    assert own[0, 0, 0] == 255
    assert own[1, 7, 7] == 64


def test_the_strip_shows_the_strongest_in_order():
    maps = np.ones((4, 4, 20), np.float32) * np.arange(20) % 7
    maps[0, 0, 5] = np.nan
    maps[0, 0, 6] = np.inf
    drawn = draw(maps)
    record = drawn.record
    expected = sorted((c for c in range(20) if c != 5), key=lambda c: (-maps[..., c].max(), c))[:12]
    assert record.strongest == expected
    assert record.strongest[0] == 6
    assert (record.strip.first, record.strip.count) == (0, 12)
    own = tiles(drawn, record.tile_sheets)
    np.testing.assert_array_equal(tiles(drawn, [record.strip]), own[expected])


def test_odd_values_reach_neither_the_bounds_nor_the_other_tiles():
    maps = np.ones((4, 4, 4), np.float16)
    maps[0, 0] = [np.nan, np.inf, 2.0, 1.0]
    drawn = draw(maps)
    record = drawn.record
    assert record.statistics.state == ["nan", "infinite", "ok", "constant"]
    assert record.tile_bounds == [(0, 1), (0, 1), (0, 2), (0, 1)]
    assert record.shared_bounds == (0, 2)
    own = tiles(drawn, record.tile_sheets)
    assert own[0, 0, 0] == 0
    assert own[1, 0, 0] == 255
    assert FeatureMaps.model_validate_json(record.model_dump_json()) == record


def test_a_layer_without_positions_has_tiles_of_one_pixel_on_the_shared_scale():
    drawn = draw(np.array([0.0, 2.0, 4.0], np.float32))
    assert drawn.record.map_size == (1, 1)
    assert drawn.record.statistics.state == ["zero", "ok", "ok"]
    np.testing.assert_array_equal(tiles(drawn, drawn.record.tile_sheets).ravel(), [0, 128, 255])
    assert drawn.record.tile_bounds == [(0, 4)] * 3


def test_maps_wider_than_a_sheet_are_drawn_as_means_of_blocks():
    maps = np.random.default_rng(1).random((6, 4099, 2)).astype(np.float32)
    small = feature_maps.reduced(maps)
    assert small.shape == (6, 1367, 2)
    np.testing.assert_allclose(small[2, 5], maps[2, 15:18].mean(0), rtol=1e-6)
    np.testing.assert_allclose(small[2, -1], maps[2, 4098:].mean(0), rtol=1e-6)
    record = draw(maps).record
    assert record.map_size == (6, 4099)
    assert record.tile_sheets[0].tile_px == (6, 1367)
    assert record.shared_bounds[1] == maps.max()


def test_all_nan_and_wrong_shapes():
    drawn = draw(np.full((3, 3, 2), np.nan, np.float32))
    assert drawn.record.shared_bounds == (0, 0)
    assert not tiles(drawn, drawn.record.tile_sheets).any()
    with pytest.raises(ValueError, match=r"\(h, w, c\)"):
        draw(np.zeros((2, 2)))
