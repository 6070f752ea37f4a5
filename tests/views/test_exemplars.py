"""Pieces of images against the support of the gradient; masks and tiles against computations written out."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from generator.network.execute import Network, Tap
from generator.network.graph import Layer, ReceptiveField
from generator.records import DatasetImages, DatasetInfo, Exemplars
from generator.views import exemplars, pieces
from generator.views.exemplars import Wanted

INFO = DatasetInfo(name="d", title="D", kind="images", num_images=9, provenance="p", licence="l", labels=("a", "b"))
SIZE = (23, 31)


def conv(x, kernel, stride, padding):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=numbers)


def chain(params, x):
    """Same and valid, even and odd, strided: positive kernels, so that no gradient cancels."""
    x = conv(x, params["a"], 2, "SAME")
    x = conv(x, params["b"], 1, "VALID")
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
    x = conv(x, params["c"], 1, ((2, 1), (0, 2)))
    return jnp.einsum("nc,cd->nd", x.mean((1, 2)), params["d"])


@pytest.fixture(scope="module")
def network():
    shapes = {"a": (3, 3, 1, 1), "b": (2, 2, 1, 1), "c": (3, 3, 1, 1), "d": (1, 2)}
    return Network(chain, {name: jnp.ones(shape) for name, shape in shapes.items()}, (*SIZE, 1))


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_boxes_equal_the_support_of_the_gradient(network, name):
    layer = network.graph.by_name[name]
    tapped = network.tapped([Tap(name)])
    gradients = jax.jacobian(lambda x: tapped.function(tapped.constants, x)[0][0, :, :, 0])(jnp.ones((1, *SIZE, 1)))
    support = np.asarray(gradients)[:, :, 0, :, :, 0] > 0
    for row, column in np.ndindex(*layer.spatial):
        seen = support[row, column]
        top, left, height, width = pieces.box(layer, row * layer.spatial[1] + column, SIZE)
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        assert (top, top + height - 1) == (rows[0], rows[-1])
        assert (left, left + width - 1) == (columns[0], columns[-1])


def test_what_sees_nothing_but_padding_has_the_nearest_pixel():
    layer = layer_of(3, 1, -5, (20, 20))
    assert pieces.box(layer, 0, (9, 9)) == (0, 0, 1, 1)
    assert pieces.box(layer, 20 * 19 + 5, (9, 9)) == (8, 0, 1, 3)


def test_a_layer_without_positions_sees_everything(network):
    assert pieces.box(network.graph.by_name["d"], -1, SIZE) == (0, 0, 23, 31)
    assert pieces.square(network.graph.by_name["d"], -1, SIZE) == (-4, 0, 31)


def layer_of(size, stride, first, spatial=(8, 8), whole=False, name="conv"):
    field = ReceptiveField(size=(size, size), stride=(stride, stride), first=(first, first), whole=whole)
    return Layer(name=name, kind="conv", inputs=("input",), shape=(*spatial, 3), receptive_field=field)


def test_squares_hold_the_field_and_stay_in_the_image():
    layer, size = layer_of(7, 3, -2), (24, 30)
    for position in range(64):
        top, left, side = pieces.square(layer, position, size)
        box = pieces.box(layer, position, size)
        assert side == 7
        assert 0 <= top <= 24 - 7
        assert 0 <= left <= 30 - 7
        assert top <= box[0]
        assert left <= box[1]
        assert top + side >= box[0] + box[2]
        assert left + side >= box[1] + box[3]
    assert pieces.square(layer, 9, size) == (1, 1, 7)
    assert pieces.square(layer_of(25, 3, -2), 9, size) == (-3, 0, 30)  # larger than the image: all of it


def test_patches_are_the_pixels_and_grey_beyond():
    picture = np.random.default_rng(0).integers(0, 100, (5, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pieces.patch(picture, (1, 2, 3), 3), picture[1:4, 2:5])
    whole = pieces.patch(picture, (-1, 0, 8), 8)
    np.testing.assert_array_equal(whole[1:6], picture)
    assert (whole[[0, 6, 7]] == 128).all()
    assert pieces.patch(picture, (-1, 0, 8), 4).shape == (4, 4, 3)


def bilinear(values, row, column):
    """`values` at a real position, by the four corners around it; constant beyond the edges."""
    row, column = np.clip(row, 0, values.shape[0] - 1), np.clip(column, 0, values.shape[1] - 1)
    top, left = int(min(row, values.shape[0] - 2)), int(min(column, values.shape[1] - 2))
    down, across = row - top, column - left
    corners = values[top : top + 2, left : left + 2]
    return float(np.array([1 - down, down]) @ corners @ np.array([1 - across, across]))


def test_strength_is_the_map_interpolated_between_centres_of_fields():
    values = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    layer, size = layer_of(20, 3, -5), (40, 40)
    where = pieces.square(layer, 27, size)
    found = pieces.strength(layer, values, where, size)
    for i, j in np.ndindex(pieces.STRENGTH_POINTS, pieces.STRENGTH_POINTS):
        # centre of cell (i, j) in pixels, pixel p covering p - 0.5 ... p + 0.5
        pixel = [
            start + (k + 0.5) * where[2] / pieces.STRENGTH_POINTS - 0.5 for start, k in zip(where[:2], (i, j), strict=True)
        ]
        # position q's centre: -5 + 3 q + 9.5
        expected = bilinear(values, *((p - 4.5) / 3 for p in pixel)) / values.max()
        assert found[i, j] == pytest.approx(255 * np.clip(expected, 0, 1), abs=0.51)


def test_strength_is_full_where_nothing_stands_out():
    values = np.random.default_rng(1).random((8, 8))
    layer, size = layer_of(20, 3, -5), (40, 40)
    where = pieces.square(layer, 27, size)
    for still in (np.zeros((8, 8)), -values, values * np.nan):
        assert (pieces.strength(layer, still, where, size) == 255).all()
    assert (pieces.strength(layer_of(7, 3, -2), values, (0, 0, 7), size) == 255).all()  # two positions across
    assert (pieces.strength(layer, values, where, size) < 255).any()


def test_fields_of_the_whole_image_are_spread_over_it():
    values = np.zeros((4, 4))
    values[3, 0] = 1
    layer = layer_of(40, 0, 0, (4, 4), whole=True)
    found = pieces.strength(layer, values, pieces.square(layer, 12, (40, 40)), (40, 40))
    assert found[-1, 0] == 255
    assert found[0, 0] == found[-1, -1] == 0


def case(layer, look, channels=3, size=(40, 40)):
    """Two units of four: 3 highest, 1 lowest, 2 spread, one row of which has no image."""
    random = np.random.default_rng(2)
    pictures = {number: random.integers(1, 256, (*size, channels), dtype=np.uint8) for number in (2, 5, 6, 8)}
    spatial = layer.spatial
    maps = {n: {layer.name: random.random((*spatial, 3) if spatial else 3).astype(np.float32)} for n in pictures}
    images = np.array([[8, 2], [-1, 5], [-1, 8], [2, 6], [5, 5], [8, 2]], np.int32)
    values = np.zeros(images.shape, np.float32)
    for (row, column), image in np.ndenumerate(images):
        if image >= 0:
            values[row, column] = maps[image][layer.name][..., (0, 2)[column]].max()
    wanted = Wanted((0, 2), images, values, 3, 1)
    recalled = ((number, maps[number]) for number in sorted(pictures))
    found, thumbnails = exemplars.gather([layer], {layer.name: wanted}, recalled, pictures.__getitem__)
    drawn = exemplars.draw(layer, INFO, wanted, found[layer.name], look, (0.4, 0.6), size)
    return drawn, wanted, found[layer.name], thumbnails, pictures


@pytest.mark.parametrize("spatial", [(8, 8), (5, 3), None])
def test_positions_are_those_of_the_largest_value_the_first_of_equal_ones(spatial):
    random = np.random.default_rng(3)
    field = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))
    layer = Layer(name="l", kind="conv", inputs=("input",), shape=(*(spatial or ()), 3), receptive_field=field)
    maps = {n: {"l": random.integers(-2, 3, (*(spatial or ()), 3)).astype(np.float32)} for n in range(40)}  # many are equal
    images = random.permutation(40).astype(np.int32).reshape(20, 2)
    wanted = Wanted((2, 0), images, np.zeros((20, 2), np.float32), 20, 0)
    picture = np.zeros((12, 12, 1), np.uint8)
    found, _ = exemplars.gather([layer], {"l": wanted}, sorted(maps.items()), lambda number: picture)
    expected, tied = [], 0
    for column, unit in enumerate(wanted.units):
        for row in range(20):
            best, place = -np.inf, -1
            for index in np.ndindex(*(spatial or ())):
                if (value := maps[images[row, column]]["l"][(*index, unit)]) > best and spatial:
                    best, place = value, index[0] * spatial[1] + index[1]
                elif spatial and value == best:
                    tied += 1
            expected.append(place)
    assert found["l"].positions.tolist() == expected
    assert found["l"].positions.dtype == np.int32
    assert tied or not spatial


def test_the_record_names_every_tile():
    drawn, wanted, found, _, pictures = case(layer_of(7, 3, -2), "dim")
    record = drawn.record
    assert Exemplars.model_validate_json(record.model_dump_json()) == record
    first, second = record.units
    assert (first.unit, first.first, second.unit, second.first) == (0, 0, 2, 4)
    assert [[e.image for e in part] for part in (first.highest, first.lowest, first.spread)] == [[8], [2], [5, 8]]
    assert [e.image for e in (*second.highest, *second.lowest, *second.spread)] == [2, 5, 8, 6, 5, 2]
    assert sum(sheet.count for sheet in record.sheets) == 10
    assert record.look == "dim"
    for tile, (row, column) in enumerate(wanted.tiles()):
        exemplar = (*record.units[column].highest, *record.units[column].lowest, *record.units[column].spread)[
            tile - record.units[column].first
        ]
        assert exemplar.value == pytest.approx(float(wanted.values[row, column]), rel=1e-5)
        assert exemplar.position == divmod(int(found.positions[tile]), 8)
        top, left, height, width = exemplar.box
        piece = pictures[exemplar.image][top : top + height, left : left + width]
        where = pieces.square(layer_of(7, 3, -2), int(found.positions[tile]), (40, 40))
        inside = found.patches[tile][top - where[0] :, left - where[1] :][:height, :width]
        np.testing.assert_array_equal(inside, piece)


def decoded(drawn):
    (sheet,) = drawn.record.sheets
    whole = np.asarray(Image.open(io.BytesIO(drawn.files[sheet.file])).convert("RGB")).astype(int)
    height, width = sheet.tile_px
    return [whole[(i // sheet.columns) * height :, (i % sheet.columns) * width :][:height, :width] for i in range(sheet.count)]


def test_small_fields_are_enlarged_pixel_by_pixel_and_what_lies_beyond_is_dark():
    layer = layer_of(7, 3, -2)
    drawn, _, found, _, _ = case(layer, "dim")
    assert drawn.record.sheets[0].tile_px == (91, 91)
    for tile, (position, shown) in enumerate(zip(found.positions.tolist(), decoded(drawn), strict=True)):
        top, left, height, width = pieces.box(layer, position, (40, 40))
        where = pieces.square(layer, position, (40, 40))
        expected = np.rint(found.patches[tile] * 0.3)
        rows, columns = slice(top - where[0], top - where[0] + height), slice(left - where[1], left - where[1] + width)
        expected[rows, columns] = found.patches[tile][rows, columns]
        expected = expected.repeat(13, axis=0).repeat(13, axis=1)
        assert np.abs(shown - expected).mean() < 12  # lossy, and noise is the worst case


def test_large_fields_are_dimmed_where_the_map_is_weak():
    layer = layer_of(36, 4, -14)
    drawn, _, found, _, _ = case(layer, "dim", channels=1)
    assert drawn.record.sheets[0].tile_px == (72, 72)
    big = found.strengths.repeat(4, axis=1).repeat(4, axis=2)[:, :72, :72]
    assert (big > 0.7 * 255).any()
    for tile, position in enumerate(found.positions.tolist()):
        strengths = np.asarray(Image.fromarray(found.strengths[tile]).resize((36, 36), Image.Resampling.BILINEAR)) / 255
        shown = decoded(drawn)[tile][::2, ::2, 0]
        patch = found.patches[tile][..., 0]
        top, left, height, width = pieces.box(layer, position, (40, 40))
        where = pieces.square(layer, position, (40, 40))
        seen = np.zeros((36, 36), bool)
        seen[top - where[0] :, left - where[1] :][:height, :width] = True
        bright, dark = seen & (strengths > 0.62), ~seen | (strengths < 0.38)
        assert bright.any()
        assert abs((shown[bright] - patch[bright]).mean()) < 8
        assert abs((shown[dark] - 0.3 * patch[dark]).mean()) < 8


def test_heat_colours_grey_pieces_and_plain_leaves_them():
    drawn, _, found, _, _ = case(layer_of(36, 4, -14), "heat", channels=1)
    assert drawn.record.look == "heat"
    tile = decoded(drawn)[0]
    assert (np.ptp(tile, axis=-1) > 30).any()
    field = ReceptiveField(size=(40, 40), stride=(0, 0), first=(0, 0), whole=True)
    vector = Layer(name="head", kind="dense", inputs=("x",), shape=(3,), receptive_field=field)
    drawn, _, found, _, _ = case(vector, "heat", channels=1)
    assert drawn.record.look == "plain"
    assert drawn.record.units[0].highest[0].position is None
    assert drawn.record.units[0].highest[0].box == (0, 0, 40, 40)
    assert np.abs(decoded(drawn)[0][::2, ::2, 0] - found.patches[0][..., 0]).mean() < 10


def test_images_come_whole_by_number_with_their_labels():
    _, _, _, thumbnails, pictures = case(layer_of(7, 3, -2), "dim", size=(24, 32))
    assert sorted(thumbnails) == [2, 5, 6, 8]
    drawn = exemplars.draw_images(INFO, thumbnails, lambda i: f"no. {i}", lambda i: i % 2, lambda i: None)
    assert DatasetImages.model_validate_json(drawn.record.model_dump_json()) == drawn.record
    assert [(i.index, i.title, i.label, i.tile) for i in drawn.record.images][:2] == [
        (2, "no. 2", "a", 0),
        (5, "no. 5", "b", 1),
    ]
    assert drawn.record.sheets[0].tile_px == (24, 32)
    for image, shown in zip(drawn.record.images, decoded(drawn), strict=True):
        np.testing.assert_array_equal(shown, pictures[image.index])
    large = exemplars._reduced(np.zeros((300, 200, 3), np.uint8))
    assert large.shape == (96, 64, 3)


def test_same_pieces_same_bytes():
    for look in ("dim", "heat"):
        assert case(layer_of(20, 3, -5), look)[0].files == case(layer_of(20, 3, -5), look)[0].files
