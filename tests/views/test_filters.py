import io

import numpy as np
import pytest
from PIL import Image

from generator.network.graph import INPUT, ChannelSource, Layer, ReceptiveField
from generator.records import Filters
from generator.render import colormaps
from generator.views import filters

FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))
COLOURS = colormaps.lookup(colormaps.WEIGHTS, 255).astype(int)


def draw(kernel, num_sources, source="conv0", num_strongest=4, bias=None):
    kernel = np.asarray(kernel, np.float32)
    units = kernel.shape[-1]
    layer = Layer(name="conv1", kind="conv", inputs=(source,), shape=(4, 4, units), receptive_field=FIELD)
    sources = [ChannelSource(layer=source, channel=i) for i in range(num_sources)]
    return filters.draw(layer, kernel, np.ones(units), np.zeros(units) if bias is None else bias, sources, num_strongest)


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def tiles(drawn, sheets, mode="RGBA"):
    found = []
    for sheet in sheets:
        image = np.asarray(Image.open(io.BytesIO(drawn.files[sheet.file])).convert(mode))
        height, width = sheet.tile_px
        for i in range(sheet.count):
            row, column = divmod(i, sheet.columns)
            found.append(image[row * height : (row + 1) * height, column * width : (column + 1) * width])
    return np.stack(found).astype(int)


def expected_colour(weight, limit):
    return COLOURS[int(np.rint(127 * np.clip(weight / limit, -1, 1))) + 127]


def test_first_layers_are_colour_tiles_with_zero_at_128():
    kernel = normal(3, 3, 3, 32)
    kernel[1, 1, :, 7] = 0
    drawn = draw(kernel, 3, INPUT)
    record = drawn.record
    limit = float(np.abs(kernel).max())
    assert (record.look, record.bounds) == ("colour", (-limit, limit))
    shown = tiles(drawn, record.sheets, "RGB")
    np.testing.assert_allclose(shown, 128 + 127 * kernel.transpose(3, 0, 1, 2) / limit, atol=0.51)
    np.testing.assert_array_equal(shown[7, 1, 1], [128, 128, 128])


@pytest.mark.parametrize(("shape", "sources", "source", "look"), [
    ((3, 3, 3, 4), 3, INPUT, "colour"),
    ((3, 3, 1, 4), 1, INPUT, "grey"),
    ((3, 3, 4, 4), 4, INPUT, "spatial"),
    ((3, 3, 1, 6), 3, INPUT, "depthwise"),
    ((3, 3, 3, 4), 3, "conv0", "spatial"),
    ((5, 5, 1, 8), 8, "conv0", "depthwise"),
    ((1, 1, 1, 8), 8, "conv0", "depthwise"),
    ((3, 3, 2, 8), 4, "conv0", "spatial"),
    ((1, 1, 6, 8), 6, "conv0", "matrix"),
    ((1, 1, 3, 8), 6, "conv0", "matrix"),
    ((6, 8), 6, "conv0", "matrix"),
    ((3, 8), 3, INPUT, "matrix"),
])  # fmt: skip
def test_looks(shape, sources, source, look):
    drawn = draw(normal(*shape), sources, source)
    record = drawn.record
    assert (record.look, record.kernel_shape, record.num_units) == (look, shape, shape[-1])
    assert (record.matrix is not None) == (look == "matrix")
    assert bool(record.sheets) == (look != "matrix")
    assert bool(record.strongest_sheets) == (look == "spatial")
    named = {s.file for s in record.sheets + record.strongest_sheets} | {record.chart.file}
    assert set(drawn.files) == named | ({record.matrix.file} if record.matrix else set())
    assert Filters.model_validate_json(record.model_dump_json()) == record


def test_depthwise_tiles_carry_the_colours_of_their_weights():
    kernel = normal(3, 3, 1, 5)
    drawn = draw(kernel, 5)
    shown = tiles(drawn, drawn.record.sheets)
    for unit in range(5):
        for row in range(3):
            for column in range(3):
                want = expected_colour(kernel[row, column, 0, unit], drawn.record.bounds[1])
                np.testing.assert_array_equal(shown[unit, row, column], [*want, 255])
    assert [[(s.layer, s.channel) for s in one] for one in drawn.record.strongest] == [[("conv0", i)] for i in range(5)]


def test_spatial_tiles_hold_every_slice_between_transparent_gaps():
    kernel = normal(3, 2, 7, 4)
    drawn = draw(kernel, 7)
    shown = tiles(drawn, drawn.record.sheets)
    columns = (shown.shape[2] + 1) // 3
    seen = np.zeros(shown.shape[1:3], bool)
    for channel in range(7):
        row, column = channel // columns * 4, channel % columns * 3
        seen[row : row + 3, column : column + 2] = True
        want = expected_colour(kernel[1, 1, channel, 2], drawn.record.bounds[1])
        np.testing.assert_array_equal(shown[2, row + 1, column + 1, :3], want)
    np.testing.assert_array_equal(shown[..., 3] == 255, np.broadcast_to(seen, shown.shape[:3]))


def test_strongest_inputs_against_sorting_by_hand():
    kernel = normal(3, 3, 9, 6)
    kernel[..., 4, 2] = kernel[..., 3, 2]
    drawn = draw(kernel, 9)
    slices = tiles(drawn, drawn.record.strongest_sheets)
    assert drawn.record.num_strongest == 4
    for unit in range(6):
        norms = [float(np.linalg.norm(kernel[:, :, i, unit].astype(float))) for i in range(9)]
        order = sorted(range(9), key=lambda i: (-norms[i], i))[:4]
        assert [s.channel for s in drawn.record.strongest[unit]] == order
        np.testing.assert_allclose([s.weight for s in drawn.record.strongest[unit]], [norms[i] for i in order], rtol=1e-5)
        for place, channel in enumerate(order):
            want = expected_colour(kernel[2, 0, channel, unit], drawn.record.bounds[1])
            np.testing.assert_array_equal(slices[unit * 4 + place, 2, 0, :3], want)


def test_groups_name_inputs_of_their_own_group():
    drawn = draw(normal(3, 3, 4, 6), 12, num_strongest=4)
    for unit, inputs in enumerate(drawn.record.strongest):
        assert {s.channel for s in inputs} == {unit // 2 * 4 + i for i in range(4)}


def test_matrices_have_a_row_a_filter_signed_weights_and_a_clipped_scale():
    kernel = np.linspace(-1, 1, 40 * 30, dtype=np.float32).reshape(40, 30)
    kernel[5, 9] = 100.0
    drawn = draw(kernel, 40)
    record = drawn.record
    assert (record.matrix.height_px, record.matrix.width_px) == (30, 40)
    assert record.bounds[1] == pytest.approx(float(np.quantile(np.abs(kernel), 0.995)))
    assert (record.strongest[9][0].channel, record.strongest[9][0].weight) == (5, 100.0)
    assert record.strongest[0][0].weight == -1.0
    shown = np.asarray(Image.open(io.BytesIO(drawn.files["matrix.png"])).convert("RGB")).astype(int)
    np.testing.assert_array_equal(shown[9, 5], COLOURS[-1])
    step = 127 / 7
    for unit, channel in [(0, 0), (29, 39), (3, 20), (17, 11)]:
        level = round(127 * max(-1, min(1, kernel[channel, unit] / record.bounds[1])) / step) * step
        np.testing.assert_array_equal(shown[unit, channel], COLOURS[round(level) + 127])


def test_matrices_beyond_a_sheet_keep_the_largest_of_each_block():
    matrix = np.zeros((3, 4100), np.float32)
    matrix[1, 7], matrix[1, 8], matrix[2, 4099] = 0.5, -0.75, 2.0
    small = filters.reduced(matrix)
    assert small.shape == (3, 1367)
    assert (small[1, 2], small[2, 1366], np.count_nonzero(small)) == (-0.75, 2.0, 2)
    assert filters.reduced(matrix[:, :2048]).shape == (3, 2048)


def test_a_large_matrix_stays_within_its_bytes():
    drawn = draw(normal(1280, 1000), 1280)
    assert sum(map(len, drawn.files.values())) < 720_000


@pytest.mark.parametrize("shape", [(3, 3, 3, 4), (3, 3, 5, 4), (5, 4)])
def test_nan_and_infinite_weights_have_a_defined_look(shape):
    kernel = normal(*shape)
    kernel[..., 0] = np.nan
    kernel[(0,) * (kernel.ndim - 1) + (1,)] = np.inf
    source = INPUT if shape[-2] == 3 else "conv0"
    drawn = draw(kernel, shape[-2], source, bias=np.array([np.nan, 0, 1, np.inf]))
    record = drawn.record
    assert record.norms[0] is None
    assert record.norms[1] is None
    assert record.norms[2] == pytest.approx(float(np.linalg.norm(kernel[..., 2])), rel=1e-5)
    assert record.bias == [None, 0, 1, None]
    assert np.isfinite(record.bounds).all()
    assert record.strongest[0] == []
    if record.look == "colour":
        assert (tiles(drawn, record.sheets, "RGB")[0] == filters.NAN_COLOUR).all()
    elif record.look == "spatial":
        assert (tiles(drawn, record.sheets)[0, ..., 3] == 0).all()
    assert Filters.model_validate_json(record.model_dump_json()) == record


def test_zero_kernels_are_the_middle_of_the_scale():
    drawn = draw(np.zeros((3, 3, 1, 4)), 4)
    assert drawn.record.bounds == (0, 0)
    assert (tiles(drawn, drawn.record.sheets)[..., :3] == COLOURS[127]).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        draw(normal(3, 3, 4, 6), 10)
    with pytest.raises(ValueError, match="a kernel must be"):
        draw(normal(3, 4, 6), 4)
