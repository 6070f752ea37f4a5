"""Datasets: what they list, what they read, and that nothing else decides it."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from generator.config.datasets import CropsDataset, FolderDataset, IdxDataset, NpzDataset, ZooDataset
from generator.config.schema import FolderProbes, SyntheticProbes
from generator.errors import ProbeError
from generator.probes import list_probes
from generator.probes.datasets import evenly, open_dataset
from generator.probes.datasets_crops import square
from generator.probes.idx import encode_idx


def opened(config, base, probes=None):
    return open_dataset(config, base, probes or {})


def folder(base, **rest):
    return opened(FolderDataset(name="d", kind="folder", **{"path": "pictures", **rest}), base)


def problems_of(call, *arguments, **rest):
    with pytest.raises(ProbeError) as caught:
        call(*arguments, **rest)
    return [str(problem) for problem in caught.value.problems]


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (5, 3), value).save(path, "PNG")


@pytest.fixture
def pictures(tmp_path):
    """Class folders `b` (three), `a` (two) and `c` (one); pixel values count from 1 in the order of paths."""
    names = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png", "c/1.png"]
    for value, name in enumerate(names, 1):
        save(tmp_path / "pictures" / name, value)
    return tmp_path


def test_class_folders_label_their_images_by_sorted_name(pictures):
    dataset = folder(pictures, class_folders=True, provenance="mine", licence="CC0", title="My pictures")
    assert dataset.info.labels == ("a", "b", "c")
    assert [dataset.label(i) for i in range(len(dataset))] == [0, 0, 1, 1, 1, 2]
    assert [int(dataset.read(i)[0, 0, 0]) for i in range(6)] == [1, 2, 3, 4, 5, 6]
    assert dataset.read(0).shape == (3, 5, 1)
    assert dataset.title(4) == "3"
    assert (dataset.info.title, dataset.info.provenance, dataset.info.licence) == ("My pictures", "mine", "CC0")
    assert (dataset.info.kind, dataset.info.num_images, dataset.probe(0)) == ("images", 6, None)


def test_patterns_need_no_classes(pictures):
    dataset = folder(pictures, path="pictures/**/1.png")
    assert [int(dataset.read(i)[0, 0, 0]) for i in range(len(dataset))] == [1, 3, 6]
    assert dataset.info.labels is None
    assert dataset.label(0) is None
    assert "no file matches 'pictures/*.jpg'" in problems_of(folder, pictures, path="pictures/*.jpg")[0]


def test_a_folders_fingerprint_is_of_the_kept_files_and_of_nothing_else(pictures):
    first = folder(pictures, class_folders=True)
    assert first.fingerprint == folder(pictures, class_folders=True).fingerprint
    assert first.fingerprint != folder(pictures, class_folders=True, limit=3).fingerprint
    assert first.fingerprint != folder(pictures, path="pictures/*/*").fingerprint  # labels count
    few = folder(pictures, path="pictures/a").fingerprint
    save(pictures / "pictures/c/1.png", 99)
    assert first.fingerprint != folder(pictures, class_folders=True).fingerprint
    assert few == folder(pictures, path="pictures/a").fingerprint


def test_damaged_files_are_found_when_they_are_read(pictures):
    (pictures / "pictures" / "a" / "1.png").write_bytes(b"no image")
    dataset = folder(pictures, class_folders=True)
    assert "a/1.png" in problems_of(dataset.read, 0)[0]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70))
def test_a_limit_takes_evenly_from_all_classes(labels, limit):
    kept = evenly(np.array(labels), len(labels), limit)
    assert len(kept) == min(limit, len(labels))
    assert (np.diff(kept) > 0).all()
    had, taken = Counter(labels), Counter(labels[i] for i in kept)
    # Water filling: no class may have two more than another that still has images left.
    for label in had:
        for other in had:
            assert taken[label] - taken[other] <= 1 or taken[other] == had[other]


def test_a_limit_spreads_over_a_class():
    np.testing.assert_array_equal(evenly(None, 100, 4), [12, 37, 62, 87])
    np.testing.assert_array_equal(evenly(np.array([0] * 6 + [1] * 2), 8, 4), [1, 4, 6, 7])


def write_idx(base, num=7, packed=False):
    images = np.arange(num * 6, dtype=np.uint8).reshape(num, 2, 3)
    labels = (np.arange(num) % 3).astype(np.uint8)
    for name, array in (("images", images), ("labels", labels)):
        content = encode_idx(array)
        (base / name).write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return images, labels


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, packed):
    images, labels = write_idx(tmp_path, packed=packed)
    config = IdxDataset(name="d", kind="idx", images="images", labels="labels", label_names=("x", "y", "z"), limit=4)
    dataset = opened(config, tmp_path)
    assert dataset.info.labels == ("x", "y", "z")
    assert dataset.info.num_images == len(dataset) == 4
    # Two of class 0 (images 0, 3, 6), one of each other class, from its middle.
    kept = [int(dataset.title(i).split()[1]) for i in range(4)]
    assert Counter(labels[kept].tolist()) == {0: 2, 1: 1, 2: 1}
    for i, index in enumerate(kept):
        np.testing.assert_array_equal(dataset.read(i), images[index, :, :, None])
        assert dataset.label(i) == labels[index]
    unnamed = opened(IdxDataset(name="d", kind="idx", images="images", labels="labels"), tmp_path)
    assert unnamed.info.labels == ("0", "1", "2")
    assert opened(IdxDataset(name="d", kind="idx", images="images"), tmp_path).label(0) is None


def test_what_is_wrong_with_idx_files_is_said_at_once(tmp_path):
    write_idx(tmp_path)
    few = IdxDataset(name="d", kind="idx", images="images", labels="labels", label_names=("x",))
    assert problems_of(opened, few, tmp_path) == ["datasets[d].label_names: 1 names for classes 0 ... 2; give 3"]
    swapped = IdxDataset(name="d", kind="idx", images="labels", labels="images")
    first, second = problems_of(opened, swapped, tmp_path)
    assert "datasets[d].images" in first
    assert "datasets[d].labels" in second
    (tmp_path / "labels").write_bytes(encode_idx(np.zeros(3, np.uint8)))
    assert "3 labels for 7 images" in problems_of(opened, few, tmp_path)[0]
    missing = IdxDataset(name="d", kind="idx", images="no", labels="nor")
    assert len(problems_of(opened, missing, tmp_path)) == 2


def test_archives(tmp_path):
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([1, 0, 1, 2]), label_names=np.array(["dog", "cat", "bird"]))
    dataset = opened(NpzDataset(name="d", kind="npz", path="a.npz"), tmp_path)
    assert dataset.info.labels == ("dog", "cat", "bird")
    assert [dataset.label(i) for i in range(4)] == [1, 0, 1, 2]
    np.testing.assert_array_equal(dataset.read(2), images[2])
    np.savez(tmp_path / "a.npz", images=images[..., 0], labels=np.array([b"z", b"y", b"z", b"z"]))
    dataset = opened(NpzDataset(name="d", kind="npz", path="a.npz"), tmp_path)
    assert dataset.info.labels == ("y", "z")
    assert [dataset.label(i) for i in range(4)] == [1, 0, 1, 1]
    assert dataset.read(0).shape == (2, 2, 1)


def test_images_that_ship_with_a_model():
    dataset = opened(ZooDataset(name="d", kind="zoo", model="fashion_cnn", limit=20), Path())
    assert len(dataset) == 20
    assert len(dataset.info.labels) == 10
    assert Counter(dataset.label(i) for i in range(20)) == dict.fromkeys(range(10), 2)
    assert dataset.read(0).shape == (28, 28, 1)
    for i in range(20):
        assert dataset.title(i).startswith(dataset.info.labels[dataset.label(i)])
    assert "did you mean 'fashion_cnn'" in problems_of(opened, ZooDataset(name="d", kind="zoo", model="fashion"), Path())[0]


# crops


@pytest.fixture
def sets(pictures):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(pictures / "own.png")
    return {
        "s": list_probes(SyntheticProbes(name="s", kind="synthetic", images=("dots", "noise", "star"), size_px=32), pictures),
        "own": list_probes(FolderProbes(name="own", kind="folder", path="own.png"), pictures),
    }


def crops(sets, *probes, **rest):
    return opened(CropsDataset(name="d", kind="crops", probes=probes, **rest), Path(), sets)


def test_crops_are_squares_of_their_probes(sets):
    dataset = crops(sets, "own", "s/noise", per_image=20, scales=(0.25, 0.75))
    assert len(dataset) == 40
    assert dataset.info.kind == "crops"
    assert [dataset.probe(i) for i in (0, 19, 20, 39)] == ["own", "own", "noise", "noise"]
    assert dataset.title(21) == f"{sets['s'][1].info.title}, piece 2"
    whole = sets["own"][0].read()
    sides = []
    for i in range(20):
        piece = dataset.read(i)
        top, left, side = square(0, "own", i, (30, 50), (0.25, 0.75))
        assert piece.shape == (side, side, 3)
        np.testing.assert_array_equal(piece, whole[top : top + side, left : left + side])
        sides.append(side)
    assert min(sides) >= 7
    assert max(sides) <= 23
    assert len(set(sides)) > 5


def test_a_piece_depends_on_seed_probe_and_number_alone(sets):
    alone, among = crops(sets, "own", per_image=5), crops(sets, "s", "own", per_image=9)
    for i in range(5):
        np.testing.assert_array_equal(alone.read(i), among.read(27 + i))
    other = crops(sets, "own", per_image=5, seed=1)
    assert any(alone.read(i).shape != other.read(i).shape for i in range(5))
    size, scales = (100, 100), (0.1, 1.0)
    assert square(0, "own", 0, size, scales) != square(0, "other", 0, size, scales)
    prints = {crops(sets, "own", **rest).fingerprint for rest in ({}, {"seed": 1}, {"scales": (0.3, 1.0)}, {"per_image": 3})}
    assert len(prints) == 4


def test_sides_are_log_uniform_and_places_cover_the_image():
    found = np.array([square(3, "p", i, (100, 200), (0.1, 1.0)) for i in range(4000)])
    top, left, side = found.T
    assert side.min() >= 10
    assert side.max() <= 100
    # Half of all sides lie below the geometric mean.
    assert abs((side < 100 * 0.1**0.5).mean() - 0.5) < 0.03
    assert (top >= 0).all()
    assert (top + side <= 100).all()
    assert (left + side <= 200).all()
    assert abs((left / (200 - side)).mean() - 0.5) < 0.02
    assert ((top + side == 100) & (side < 95)).any()


def test_a_set_and_a_probe_of_it_count_once_and_unknown_ones_are_all_named(sets):
    assert len(crops(sets, "s", "s/dots", per_image=2)) == 6
    first, second = problems_of(crops, sets, "s/dot", "t")
    assert "no probe 'dot' in the set 's'; did you mean 'dots'?" in first
    assert "no probe set 't'" in second
