"""The IDX reader against files put together by hand, cut short at every byte, and forged."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generator.errors import ProbeError
from generator.probes.idx import encode_idx, read_idx

#: Two 2 x 3 images, written out by hand.
IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(12))
arrays = hnp.arrays(
    st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4),
)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "file-idx"
    path.write_bytes(content)
    return path


def test_reads_a_file_written_by_hand(tmp_path):
    values = read_idx(written(tmp_path, IMAGES))
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, np.arange(12).reshape(2, 2, 3))


def test_numbers_are_big_endian(tmp_path):
    content = bytes([0, 0, 0x0B, 1]) + struct.pack(">Ihh", 2, -2, 300) + b""
    values = read_idx(written(tmp_path, content))
    assert values.dtype == np.int16
    assert values.dtype.isnative
    assert values.tolist() == [-2, 300]


def test_packed_is_told_by_content_not_by_name(tmp_path):
    np.testing.assert_array_equal(read_idx(written(tmp_path, gzip.compress(IMAGES))), np.arange(12).reshape(2, 2, 3))


@given(values=arrays, packed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_round_trip(tmp_path_factory, values, packed):
    content = encode_idx(values)
    path = written(tmp_path_factory.mktemp("idx"), gzip.compress(content) if packed else content)
    result = read_idx(path)
    assert result.dtype == values.dtype
    assert result.shape == values.shape
    assert result.tobytes() == values.tobytes()


@pytest.mark.parametrize("length", range(len(IMAGES)))
def test_cut_short_anywhere(tmp_path, length):
    with pytest.raises(ProbeError, match="truncated"):
        read_idx(written(tmp_path, IMAGES[:length]))


@pytest.mark.parametrize("length", range(2, len(gzip.compress(IMAGES))))
def test_packed_file_cut_short_anywhere(tmp_path, length):
    with pytest.raises(ProbeError, match=r"damaged gzip file|truncated"):
        read_idx(written(tmp_path, gzip.compress(IMAGES)[:length]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "starts with 89 50"),
        (bytes([0, 0, 0x0A, 1, 0, 0, 0, 0]), "type code 0x0a"),
        (bytes([0, 0, 8, 0]), "0 dimensions"),
        (bytes([0, 0, 8, 33]) + bytes(132), "33 dimensions"),
        (IMAGES + b"\0", "more are there"),
        (gzip.compress(IMAGES + bytes(5_000_000), mtime=0), "more are there"),
        (gzip.compress(IMAGES, mtime=0)[:-8] + bytes(8), "damaged gzip"),
    ],
)
def test_foreign_and_damaged_files(tmp_path, content, message):
    with pytest.raises(ProbeError, match=message) as caught:
        read_idx(written(tmp_path, content))
    assert caught.value.problems[0].place == str(tmp_path / "file-idx")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("sizes", [b"\0\0\0\1\0\0\0\1\x40\0\0\0", b"\xff" * 12])
def test_a_forged_size_allocates_nothing(tmp_path, pack, sizes):
    path = written(tmp_path, pack(bytes([0, 0, 8, 3]) + sizes + bytes(100)))
    tracemalloc.start()
    with pytest.raises(ProbeError, match="truncated: 100 are there"):
        read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ProbeError, match="no such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(ProbeError, match="cannot be read"):
        read_idx(tmp_path)


def test_encoding_refuses_what_the_format_lacks():
    with pytest.raises(ValueError, match="0-dimensional"):
        encode_idx(np.uint8(1))
    with pytest.raises(ValueError, match="complex"):
        encode_idx(np.zeros(2, complex))
