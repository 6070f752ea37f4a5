"""safetensors, msgpack and npz; files of no known format; weights that are not finite."""

from __future__ import annotations

import io
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from flax.serialization import msgpack_serialize, to_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save

from generator.errors import UserError, WeightsError
from generator.sources.weights import check_finite, checkpoint_format, read_checkpoint

TENSORS = {
    "conv/kernel": np.arange(54, dtype=np.float32).reshape(3, 3, 2, 3),
    "conv/bias": np.array([0.5, -1, 2], np.float16),
    "low": np.array([1.5, -3], ml_dtypes.bfloat16),
    "steps": np.array(7, np.int64),
    "none": np.zeros((0, 4), np.float32),
}


def npz_bytes(tensors, *, compressed=False):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **tensors)
    return buffer.getvalue()


def nested(tensors):
    tree = {}
    for name, array in tensors.items():
        *parents, last = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = array
    return tree


def npz_tensors():
    return {name: array for name, array in TENSORS.items() if name != "low"}  # npz has no bfloat16


WRITERS = {
    "safetensors": lambda: save(TENSORS),
    "msgpack": lambda: msgpack_serialize(nested(TENSORS)),
    "npz": lambda: npz_bytes(npz_tensors()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_round_trip_whatever_the_suffix(tmp_path, kind):
    path = tmp_path / "weights.dat"
    path.write_bytes(WRITERS[kind]())
    assert checkpoint_format(path) == kind
    found = read_checkpoint(path)
    expected = npz_tensors() if kind == "npz" else TENSORS
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape, found[name].tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_safetensors_come_in_the_order_of_their_names(tmp_path):
    names = [f"t{index:02}" for index in range(40)]
    (tmp_path / "weights").write_bytes(save({name: np.zeros(1) for name in reversed(names)}))
    assert list(read_checkpoint(tmp_path / "weights")) == names


@pytest.mark.parametrize("length", [0x0280, 0x0480, 0x4B50, 0x8B1F])
def test_safetensors_whose_length_looks_like_another_format(tmp_path, length):
    """The first bytes are the header's length; here they read as a pickle, a zip or a gzip archive."""
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(length)
    path = tmp_path / "weights"
    path.write_bytes(struct.pack("<Q", length) + header + np.array([1, 2], np.float32).tobytes())
    np.testing.assert_array_equal(read_checkpoint(path)["w"], [1, 2])


def test_npz_in_fortran_order_compressed_and_big_endian(tmp_path):
    path = tmp_path / "weights.npz"
    tensors = {"f": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "big": np.arange(3, dtype=">f4")}
    path.write_bytes(npz_bytes(tensors, compressed=True))
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found["f"], tensors["f"])
    np.testing.assert_array_equal(found["big"], [0, 1, 2])


def test_msgpack_of_jax_arrays_and_numbers(tmp_path):
    import jax.numpy as jnp

    path = tmp_path / "weights.msgpack"
    path.write_bytes(to_bytes({"params": {"a": [jnp.ones(2), jnp.zeros(3)]}, "step": 4}))
    found = read_checkpoint(path)
    assert {name: array.shape for name, array in found.items()} == {"params/a/0": (2,), "params/a/1": (3,), "step": ()}


@settings(max_examples=25, deadline=None)
@given(
    array=arrays.arrays(
        dtype=st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_]), shape=arrays.array_shapes(max_side=4)
    )
)
def test_any_array_survives_every_format(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("any") / "weights"
    for content in (save({"x": array}), msgpack_serialize({"x": array}), npz_bytes({"x": array}, compressed=True)):
        path.write_bytes(content)
        found = read_checkpoint(path)["x"]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.fixture(scope="module")
def whole_files(torch_files, tmp_path_factory):
    """One small file of each format, as bytes."""
    folder = tmp_path_factory.mktemp("whole")
    small = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.bias": np.ones(3, np.float32)}
    pth = {f"pth {legacy}": torch_files.write_arrays(folder / "a.pth", legacy, small).read_bytes() for legacy in (False, True)}
    arrays_files = {"safetensors": save(small), "msgpack": msgpack_serialize(small), "npz": npz_bytes(small)}
    return pth | arrays_files | {"npz compressed": npz_bytes(small, compressed=True)}


def test_a_file_cut_anywhere_is_an_error_with_a_place(whole_files, tmp_path):
    path = tmp_path / "cut"
    for kind, content in whole_files.items():
        path.write_bytes(content)
        assert set(read_checkpoint(path)) == {"a.weight", "a.bias"}, kind
        for length in range(len(content)):
            path.write_bytes(content[:length])
            with pytest.raises(WeightsError) as caught:
                read_checkpoint(path)
            assert all(problem.place == str(path) and problem.way_out for problem in caught.value.problems), (kind, length)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_cause_a_traceback(whole_files, tmp_path_factory, data):
    content = bytearray(whole_files[data.draw(st.sampled_from(sorted(whole_files)))])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "weights"
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except UserError:
        return
    assert sum(array.size for array in found.values()) <= len(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the weights file is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
        (b"<!DOCTYPE html><title>404</title>", "a web page, probably of a failed download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"hello world, this is text", "not a checkpoint of a known format"),
        (b"\x80", "cannot be read as msgpack: the checkpoint|holds no tensors"),
        (save({}), "holds no tensors"),
    ],
    ids=["empty", "hdf5", "html", "lfs", "text", "empty msgpack", "empty safetensors"],
)
def test_foreign_files_are_named(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(path)


def test_foreign_archives_missing_files_and_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"a zip archive \(readme.txt\)"):
        read_checkpoint(tmp_path / "notes.zip")
    with pytest.raises(WeightsError, match="there is no weights file here"):
        read_checkpoint(tmp_path / "absent.npz")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_checkpoint(tmp_path)


def test_claims_are_not_believed(tmp_path):
    """Headers that promise petabytes fail at once instead of allocating."""
    npy = io.BytesIO()
    np.lib.format.write_array_header_1_0(npy, {"descr": "<f8", "fortran_order": False, "shape": (2**47,)})
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(2**24))
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        archive.writestr("w.npy", npy.getvalue())
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", zeros.getvalue())
    header = b'{"w":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'
    (tmp_path / "claim.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (tmp_path / "claim.msgpack").write_bytes(b"\x81\xa1w\xc6\xff\xff\xff\xff")
    for name, reason in {"bomb.npz": "plausibly", "claim.npz": "", "claim.safetensors": "", "claim.msgpack": ""}.items():
        with pytest.raises(WeightsError, match=f"cannot be read as .*{reason}"):
            read_checkpoint(tmp_path / name)


def test_text_is_not_a_weight(tmp_path):
    np.savez(tmp_path / "text.npz", w=np.array(["a", "b"]))
    with pytest.raises(WeightsError, match="tensor 'w' holds <U1 instead of real numbers"):
        read_checkpoint(tmp_path / "text.npz")


def test_nan_and_infinity_are_named_with_their_tensors(tmp_path):
    bad = np.array([1, np.nan, np.inf, -np.inf, np.nan], np.float32)
    tensors = {"good": np.ones(3), "steps": np.arange(3), "bad": bad, "low": np.array([np.nan], ml_dtypes.bfloat16)}
    with pytest.raises(WeightsError) as caught:
        check_finite(tensors, tmp_path / "w.npz")
    first, second = caught.value.problems
    assert first.message == "tensor 'bad' holds 2 NaN and 2 infinite among 5 values"
    assert second.message == "tensor 'low' holds 1 NaN among 1 values"
    assert "earlier checkpoint" in second.way_out
    check_finite({name: tensors[name] for name in ("good", "steps")}, tmp_path / "w.npz")


def test_many_bad_tensors_are_counted(tmp_path):
    with pytest.raises(WeightsError, match="20 tensors in all"):
        check_finite({f"t{index}": np.array([np.inf]) for index in range(20)}, tmp_path / "w.npz")
