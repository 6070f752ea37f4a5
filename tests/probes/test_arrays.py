"""Arrays of images in any type and order of axes, through archives, against plain loops."""

import numpy as np
import pytest

from generator.config.datasets import IdxDataset, NpzDataset
from generator.config.schema import IdxProbes, NpzProbes
from generator.errors import ProbeError
from generator.probes import list_probes
from generator.probes.arrays import to_uint8
from generator.probes.datasets import open_dataset
from generator.probes.idx import encode_idx

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (4, 6, 5, 3), np.uint8)
BYTES[0, 0, 0] = 0, 1, 255


def archive(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder


def dataset(folder, **rest):
    return open_dataset(NpzDataset(name="d", kind="npz", path="a.npz", **rest), folder, {})


def by_loop(array, convert):
    out = np.zeros(array.shape, np.uint8)
    for place in np.ndindex(*array.shape):
        out[place] = int(convert(array[place].item()))
    return out


@pytest.mark.parametrize(
    ("array", "convert", "note"),
    [
        (BYTES, lambda v: v, ""),
        (BYTES.astype(np.int64), lambda v: v, ""),
        (BYTES.astype(np.uint16), lambda v: v, ""),
        (BYTES.astype(">f4"), lambda v: v, "float32 in 0-255 rounded"),
        (BYTES / 255, lambda v: v * 255 + 0.5, "floats in 0-1"),
        ((BYTES / 255).astype(np.float16), lambda v: v * 255 + 0.5, "floats in 0-1"),
        (BYTES * 0.999, lambda v: v + 0.5, "float64 in 0-255 rounded"),
        (BYTES.astype(np.uint16) * 257, lambda v: v // 257, "16 bits scaled to 8"),
        (RANDOM.integers(0, 65536, (2, 3, 3), np.uint16), lambda v: v / 257 + 0.5, "16 bits scaled to 8"),
        (BYTES > 100, lambda v: 255 * v, "false and true"),
    ],
)
def test_values(tmp_path, array, convert, note):
    found = dataset(archive(tmp_path, images=array))
    expected = by_loop(array, convert)
    for index in range(len(found)):
        np.testing.assert_array_equal(np.squeeze(found.read(index)), expected[index])
    assert note in found.info.provenance
    assert ("(" in found.info.provenance) == bool(note)
    probe = list_probes(NpzProbes(name="p", kind="npz", path="a.npz"), tmp_path)[1]
    np.testing.assert_array_equal(np.squeeze(probe.read()), expected[1])
    assert note in probe.info.provenance


@pytest.mark.parametrize("channels", [1, 3])
def test_either_order_of_the_axes_is_recognised(channels):
    last = BYTES[..., :channels]
    for given in (last, np.ascontiguousarray(last.transpose(0, 3, 1, 2))):
        images, _, problems = to_uint8(given, None, "")
        assert problems == []
        np.testing.assert_array_equal(images, last)


def test_a_layout_that_is_stated_decides_where_the_shape_does_not(tmp_path):
    images = RANDOM.integers(0, 256, (2, 3, 5, 3), np.uint8)
    archive(tmp_path, images=images)
    np.testing.assert_array_equal(dataset(tmp_path).read(0), images[0])
    np.testing.assert_array_equal(dataset(tmp_path, layout="channels_last").read(0), images[0])
    first = dataset(tmp_path, layout="channels_first").read(0)
    assert first.shape == (5, 3, 3)
    assert all(first[y, x, c] == images[0, c, y, x] for c, y, x in np.ndindex(3, 5, 3))


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((2, 6, 5, 3), "channels_first", "is not (n, 1 | 3, h, w), as `layout` says"),
        ((2, 3, 6, 5), "channels_last", "is not (n, h, w, 1 | 3); reorder the axes"),
        ((2, 4, 6, 5), None, "has transparency"),
        ((2, 6, 5, 2), None, "is neither (n, h, w), (n, h, w, 1 | 3) nor (n, 1 | 3, h, w)"),
        ((2, 0, 5), None, "holds no pixels"),
        ((5,), None, "is neither"),
    ],
)
def test_shapes_that_are_no_images(shape, layout, expected):
    images, _, problems = to_uint8(np.zeros(shape, np.uint8), layout, "a.npz: images")
    assert images is None
    assert expected in str(problems[0])


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.0, 255.5], [0.0, np.nan], [0.0, np.inf], [-1, 3], [0, 256], [0, 70000]])
def test_values_of_an_unknown_range_are_refused(values):
    images, _, problems = to_uint8(np.array(values).reshape(1, 1, 2), None, "")
    assert images is None
    assert "scale them to 0-255" in str(problems[0])


def test_complex_numbers_and_texts_are_refused():
    for dtype in ("c8", "U3", "M8[s]"):
        assert "dtype is" in str(to_uint8(np.zeros((1, 2, 2), dtype), None, "")[2][0])


def test_the_halves_of_kerass_archives(tmp_path):
    arrays = {
        "x_train": BYTES[..., 0],
        "y_train": np.arange(4)[:, None],
        "x_test": BYTES[:2, ..., 1],
        "y_test": np.array([1, 0]),
    }
    archive(tmp_path, **arrays)
    train, test = dataset(tmp_path, split="train"), dataset(tmp_path, split="test")
    assert (len(train), len(test)) == (4, 2)
    assert [train.label(i) for i in range(4)] == [0, 1, 2, 3]
    np.testing.assert_array_equal(test.read(1)[..., 0], BYTES[1, ..., 1])
    probes = list_probes(NpzProbes(name="p", kind="npz", path="a.npz", split="test", per_class=1), tmp_path)
    assert [probe.info.name for probe in probes] == ["0-0", "1-0"]
    with pytest.raises(ProbeError, match=r"no array `images`.*write `split: test`"):
        dataset(tmp_path)
    archive(tmp_path, images=BYTES)
    with pytest.raises(ProbeError, match="no array `x_train`"):
        dataset(tmp_path, split="train")


def test_idx_files_as_probes(tmp_path):
    (tmp_path / "i.idx").write_bytes(encode_idx(BYTES[..., 0]))
    (tmp_path / "l.idx").write_bytes(encode_idx(np.array([1, 0, 1, 1], np.uint8)))
    section = IdxProbes(name="p", kind="idx", images="i.idx", labels="l.idx", label_names=("no", "yes"), per_class=2)
    probes = list_probes(section, tmp_path)
    assert [probe.info.name for probe in probes] == ["no-0", "yes-0", "yes-1"]
    for probe, index in zip(probes, (1, 0, 2), strict=True):
        np.testing.assert_array_equal(probe.read()[..., 0], BYTES[index, ..., 0])
    plain = list_probes(IdxProbes(name="p", kind="idx", images="i.idx"), tmp_path)
    assert [probe.info.name for probe in plain] == [f"i-{n}" for n in range(4)]
    with pytest.raises(ProbeError, match="name the file with the labels"):
        list_probes(IdxProbes(name="p", kind="idx", images="i.idx", per_class=1), tmp_path)
    with pytest.raises(ProbeError, match=r"probes\[p\].label_names"):
        list_probes(section.model_copy(update={"label_names": ("no",)}), tmp_path)
    assert len(open_dataset(IdxDataset(name="d", kind="idx", images="i.idx"), tmp_path, {})) == 4
