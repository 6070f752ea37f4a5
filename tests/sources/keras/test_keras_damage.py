"""Keras files that point elsewhere, claim too much, or were damaged: explained, never a traceback, a hang or a crash."""

from __future__ import annotations

import contextlib
import json
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor

import h5py
import pytest

from generator.errors import UserError, WeightsError
from generator.sources import keras_files
from tests.sources.keras.keras_saved import config_of, facts_of, loaded, with_config

# Keras's own way of saving its variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def linked(path, how):
    """An `.h5` whose kernel lies somewhere else."""
    with h5py.File(path, "a") as file:
        group = file["model_weights/conv/net/conv"] if "net" in file["model_weights/conv"] else file["model_weights/conv/conv"]
        values = group["kernel"][()]
        del group["kernel"]
        secret = path.parent / "secret.bin"
        secret.write_bytes(values.tobytes())
        if how == "external link":
            group["kernel"] = h5py.ExternalLink(str(path.parent / "other.h5"), "kernel")
        elif how == "soft link":
            group["kernel"] = h5py.SoftLink("/somewhere")
        elif how == "external storage":
            group.create_dataset("kernel", values.shape, "f4", external=[(str(secret), 0, values.nbytes)])
        elif how == "virtual":
            layout = h5py.VirtualLayout(values.shape, "f4")
            layout[...] = h5py.VirtualSource(str(path.parent / "other.h5"), "kernel", values.shape)
            group.create_virtual_dataset("kernel", layout)
        else:
            group.create_dataset("kernel", (10**6, 10**6), "f4", chunks=(100, 100))


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ("external link", "was not followed"),
        ("soft link", "was not followed"),
        ("external storage", "lies in another file"),
        ("virtual", "lies in another file"),
        ("size", "its arrays claim more than"),
    ],
)
def test_hdf5_that_points_elsewhere(good, tmp_path, how, rule):
    path = tmp_path / "a.h5"
    path.write_bytes((good / "model.h5").read_bytes())
    linked(path, how)
    with pytest.raises(WeightsError, match=rule):
        facts_of(path)


def test_hdf5_with_a_loop(good, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes((good / "model.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file["model_weights/loop"] = file["/"]
    assert facts_of(path).title == "net"


def test_archives_that_grow(good, tmp_path):
    with (
        zipfile.ZipFile(good / "model.keras") as archive,
        zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as copy,
    ):
        for entry in archive.namelist():
            copy.writestr(entry, bytes(10**8) if entry == "model.weights.h5" else archive.read(entry))
    with pytest.raises(WeightsError, match="it claims to unpack to 100,"):
        facts_of(tmp_path / "a.keras")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_anywhere(good, tmp_path, suffix):
    content = (good / f"model{suffix}").read_bytes()
    ends = range(0, len(content) - 1, max(1, len(content) // 25))
    assert _survivors([content[:end] for end in ends], tmp_path, suffix) == []


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_mutated_anywhere(good, tmp_path, suffix):
    """Among these are files at which the HDF5 library itself crashes."""
    content = (good / f"model{suffix}").read_bytes()
    mutants = []
    for seed in range(50 if suffix == ".h5" else 150):  # a checksum tells of damaged archives at once
        chance = random.Random(seed)  # noqa: S311
        mutated = bytearray(content)
        for _ in range(chance.choice([1, 3, 30])):
            mutated[chance.randrange(len(mutated))] = chance.choice([0, 255, chance.randrange(256)])
        mutants.append(bytes(mutated))
    for path in _survivors(mutants, tmp_path, suffix):
        _loads_or_explains(path)


def _survivors(contents, folder, suffix):
    """The files that still have facts; two at a time, as most of the time other processes look at them."""

    def still_there(number):
        path = folder / f"{number}{suffix}"
        path.write_bytes(contents[number])
        with contextlib.suppress(UserError):
            facts_of(path)
            return path
        return None

    with ThreadPoolExecutor(2) as threads:
        return [path for path in threads.map(still_there, range(len(contents))) if path is not None]


@pytest.mark.filterwarnings("ignore")  # Keras has much to say about such configs
def test_mutated_config(good, tmp_path, monkeypatch):
    monkeypatch.setattr(keras_files, "_root_attributes", lambda *_: {})  # the weights stay what they were
    text = json.dumps(config_of(good / "model.keras"))
    values = [
        "null",
        "-1",
        "1e999",
        "[]",
        "{}",
        '"x"',
        "true",
        "[[[]]]",
        "99999999999",
        '{"class_name": "Dense", "config": {}}',
    ]
    pieces = text.split(", ")
    for seed in range(100):
        chance = random.Random(seed)  # noqa: S311
        changed = list(pieces)
        where = chance.randrange(len(changed))
        key, colon, _ = changed[where].partition(": ")
        if colon:
            changed[where] = f"{key}: {chance.choice(values)}"
        else:
            changed[where] = chance.choice(values)
        _loads_or_explains(with_config(good / "model.keras", ", ".join(changed), tmp_path / "a.keras"))


def _loads_or_explains(path):
    with contextlib.suppress(UserError):
        loaded(path)
