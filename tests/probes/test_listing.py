"""Probe sets: photographs, folders, archives and what ships with the zoo."""

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generator.config.schema import FolderProbes, NpzProbes, PhotographsProbes, SyntheticProbes, ZooProbes
from generator.errors import ProbeError
from generator.probes import check_readable, list_probes, shipped
from generator.probes.archive import read_archive
from generator.probes.photographs import PHOTOGRAPHS
from generator.probes.shipped import DATASETS


def folder(base, path="*", **rest):
    return list_probes(FolderProbes(name="mine", kind="folder", path=path, **rest), base)


def npz(base, **rest):
    return list_probes(NpzProbes(name="mine", kind="npz", path="a.npz", **rest), base)


def save_image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (value, 0, 0)).save(path, "PNG")


def problems_of(call, *arguments, **rest):
    with pytest.raises(ProbeError) as caught:
        call(*arguments, **rest)
    return [str(problem) for problem in caught.value.problems]


# photographs


def test_photographs_state_size_source_and_licence():
    probes = list_probes(PhotographsProbes(name="photographs", kind="photographs"), Path())
    assert len(probes) == len(PHOTOGRAPHS) >= 12
    for probe in probes:
        assert probe.read().shape == (probe.info.height_px, probe.info.width_px, probe.info.source_channels)
        assert probe.info.licence in ("CC0 1.0", "public domain", "no known copyright restrictions")
        assert probe.info.provenance
        assert len(probe.fingerprint) == 64
    assert len({probe.fingerprint for probe in probes}) == len(probes)
    cat = probes[0].info
    assert (cat.name, cat.label, cat.width_px, cat.height_px) == ("cat", "cat", 451, 300)


def test_photographs_keep_the_order_asked_for_and_unknown_ones_are_all_named():
    chosen = PhotographsProbes(name="p", kind="photographs", images=("rocket", "cat", "rocket"))
    assert [p.info.name for p in list_probes(chosen, Path())] == ["rocket", "cat"]
    unknown = PhotographsProbes(name="p", kind="photographs", images=("cats", "cat", "moon"))
    first, second = problems_of(list_probes, unknown, Path())
    assert first.startswith("probes[p].images: there is no photograph 'cats'; did you mean 'cat'?")
    assert "'moon'" in second


def test_listing_photographs_does_not_import_scikit_image():
    code = (
        "import sys; from pathlib import Path; from generator.probes import list_probes;"
        "from generator.config.schema import PhotographsProbes as P;"
        "list_probes(P(name='p', kind='photographs'), Path());"
        "print([m for m in ('skimage', 'jax', 'matplotlib') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the code above
    assert done.stdout.strip() == "[]"


def test_probes_can_travel_to_another_process():
    sets = [
        PhotographsProbes(name="p", kind="photographs", images=("coins",)),
        SyntheticProbes(name="s", kind="synthetic", size_px=16),
    ]
    for probe_set in sets:
        for probe in list_probes(probe_set, Path()):
            copy = pickle.loads(pickle.dumps(probe))  # noqa: S301 - our own bytes
            assert copy == probe
            np.testing.assert_array_equal(copy.read(), probe.read())


# folders


def test_folders_are_sorted_and_describe_their_files(tmp_path):
    for name in ("b.png", "A.png", "sub/c.png", ".hidden.png"):
        save_image(tmp_path / name)
    probes = folder(tmp_path, licence="CC BY 4.0", provenance="my camera")
    assert [p.info.name for p in probes] == ["a", "b"]
    info = probes[0].info
    assert (info.title, info.set, info.label, info.licence) == ("A", "mine", None, "CC BY 4.0")
    assert info.provenance == "my camera (A.png)"
    assert (info.width_px, info.height_px) == (6, 4)
    assert [p.info.name for p in folder(tmp_path, "**/*.png")] == ["a", "b", "c"]
    assert folder(tmp_path, "sub")[0].info.provenance == "sub/c.png"


def test_an_absolute_path_is_not_told_to_visitors(tmp_path):
    save_image(tmp_path / "a.png")
    (probe,) = folder(Path("/"), str(tmp_path / "*.png"))
    assert str(tmp_path) not in probe.info.model_dump_json()


def test_class_folders_label_their_images(tmp_path):
    for name in ("Ankle boot/2.png", "Ankle boot/10.png", "Ankle boot/1.png", "T-shirt/1.png"):
        save_image(tmp_path / "data" / name)
    for path in ("data", "data/*/*.png"):
        probes = folder(tmp_path, path, class_folders=True, per_class=2)
        assert [p.info.name for p in probes] == ["ankle-boot-1", "ankle-boot-10", "t-shirt-1"]
        assert [p.info.label for p in probes] == ["Ankle boot", "Ankle boot", "T-shirt"]


def test_strange_names_are_safe_and_unique(tmp_path):
    strange = ["<script>alert(1)<", "a b.c", "A B", "😀", "猫", "x" * 200, "x" * 201, "..a", "con", "..", "é"]
    for name in strange:
        save_image(tmp_path / f"{name}!.png")
        save_image(tmp_path / f"{name}?.png")
    probes = folder(tmp_path, "*.png")
    hidden = sum(name.startswith(".") for name in strange)
    assert len({p.info.name for p in probes}) == len(probes) == 2 * (len(strange) - hidden)
    assert all(p.info.name.replace("-", "").replace("_", "").isalnum() and p.info.name.isascii() for p in probes)
    assert "猫!" in {p.info.title for p in probes}


def test_folders_with_brackets_in_their_name(tmp_path):
    save_image(tmp_path / "photos [2024]" / "a.png")
    assert [p.info.name for p in folder(tmp_path, "photos [2024]")] == ["a"]


def test_two_files_of_one_stem_get_two_names(tmp_path):
    save_image(tmp_path / "a.png")
    save_image(tmp_path / "a.jpg")
    assert [p.info.name for p in folder(tmp_path)] == ["a", "a-2"]


def test_fingerprints_follow_the_bytes(tmp_path):
    save_image(tmp_path / "a.png", 1)
    before = folder(tmp_path)[0].fingerprint
    save_image(tmp_path / "a.png", 2)
    assert folder(tmp_path)[0].fingerprint != before


def test_all_bad_files_of_a_folder_are_named_at_once(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:-100])
    (tmp_path / "empty.jpg").write_bytes(b"")
    found = problems_of(folder, tmp_path)
    assert [text.split(":")[0] for text in found] == [str(tmp_path / name) for name in ("cut.png", "empty.jpg", "notes.txt")]


def test_truncated_jpegs_are_all_found_before_a_build(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "JPEG")
        (tmp_path / name).write_bytes(file.getvalue() if name == "b.jpg" else file.getvalue()[:900])
    probes = folder(tmp_path)
    found = problems_of(check_readable, probes)
    assert [Path(text.split(":")[0]).name for text in found] == ["a.jpg", "c.jpg"]
    check_readable(probes[1:2])


def test_nothing_found_and_per_class_without_classes(tmp_path):
    (text,) = problems_of(folder, tmp_path, "photos/*.png")
    assert "no file matches 'photos/*.png'" in text
    assert str(tmp_path) in text
    (text,) = problems_of(folder, tmp_path, per_class=3)
    assert "class_folders: true" in text


# archives


def test_npz_by_class(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    names = np.array(["T-shirt/top", "Ankle boot"])
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([1, 0, 1, 1, 0, 0]), label_names=names)
    probes = npz(tmp_path, per_class=2, licence="MIT")
    assert [p.info.name for p in probes] == ["t-shirt-top-0", "t-shirt-top-1", "ankle-boot-0", "ankle-boot-1"]
    assert [p.info.label for p in probes] == ["T-shirt/top"] * 2 + ["Ankle boot"] * 2
    for probe, index in zip(probes, (1, 4, 0, 2), strict=True):
        np.testing.assert_array_equal(probe.read()[..., 0], images[index])
        assert (probe.info.height_px, probe.info.width_px, probe.info.source_channels) == (5, 4, 1)
        assert f"image {index}" in probe.info.provenance
    assert len(npz(tmp_path)) == 6


def test_npz_without_labels_and_with_text_labels(tmp_path):
    images = np.zeros((2, 5, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    assert [(p.info.name, p.info.label) for p in npz(tmp_path)] == [("a-0", None), ("a-1", None)]
    assert "no labels" in problems_of(npz, tmp_path, per_class=1)[0]
    for labels in (np.array(["b", "a"]), np.array([b"b", b"a"])):
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        assert [p.info.name for p in npz(tmp_path)] == ["a-0", "b-0"]
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([10, 9]))
    assert [p.info.label for p in npz(tmp_path)] == ["9", "10"]


def test_npz_fingerprints_are_of_the_image_alone(tmp_path):
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    np.savez(tmp_path / "a.npz", images=images)
    before = [p.fingerprint for p in npz(tmp_path)]
    images[1] += 1
    np.savez(tmp_path / "a.npz", images=images)
    after = [p.fingerprint for p in npz(tmp_path)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    np.savez(tmp_path / "a.npz", images=images.reshape(3, 2, 8))
    assert npz(tmp_path)[0].fingerprint != before[0]


GREY = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "messages"),
    [
        ({"images": GREY + np.float32(255.5)}, ["float32 from 255.5 to 255.5 is neither 0 ... 1 nor 0 ... 255"]),
        ({"images": GREY - np.float32(1)}, ["from -1 to -1"]),
        ({"images": GREY + np.float32(np.nan)}, ["not finite"]),
        ({"images": np.zeros((4, 8, 8, 2), np.uint8)}, ["nor (n, 1 | 3, h, w)"]),
        ({"images": np.zeros((4, 8, 8, 4), np.uint8)}, ["transparency"]),
        ({"images": np.zeros((8, 8), np.uint8)}, ["neither (n, h, w)"]),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, ["no pixels"]),
        ({"x": GREY}, ["no array `images` (found: x)"]),
        ({"images": GREY, "labels": np.zeros(3, int)}, ["shape (3,) for 4 images"]),
        ({"images": GREY, "labels": np.zeros(4)}, ["dtype is float64"]),
        (
            {"images": GREY, "labels": np.array([0, 1, 0, -1]), "label_names": np.array(["a", "b"])},
            ["-1 ... 1 for 2 label_names"],
        ),
        ({"images": GREY, "labels": np.zeros(4, int), "label_names": np.zeros(2)}, ["give a list of texts"]),
        ({"images": GREY.astype(int) + 256, "labels": np.zeros(4)}, ["is not 0 ... 255", "dtype is float64"]),
        ({"images": np.uint8(1), "labels": np.zeros(1, int)}, ["neither (n, h, w)", "for 0 images"]),
    ],
)
def test_bad_archives_say_everything_that_is_wrong(tmp_path, arrays, messages):
    np.savez(tmp_path / "a.npz", **arrays)
    found = problems_of(npz, tmp_path)
    assert len(found) == len(messages)
    for text, message in zip(found, messages, strict=True):
        assert message in text
        assert text.startswith(str(tmp_path / "a.npz"))


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_archives_with_code_are_refused_and_never_run(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.array([Trap()] * 4, object))
    (text,) = problems_of(npz, tmp_path)
    assert "without running code" in text
    assert not Trap.sprung


def test_damaged_archives(tmp_path):
    path = tmp_path / "a.npz"
    assert "cannot be read" in problems_of(npz, tmp_path)[0]
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8), labels=np.arange(9))
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        problems_of(npz, tmp_path)
    path.write_bytes(whole[:200] + b"\x00" * 50 + whole[250:])
    problems_of(npz, tmp_path)
    np.save(tmp_path / "b.npy", GREY)
    (tmp_path / "b.npy").rename(path)
    assert "no .npz archive" in problems_of(npz, tmp_path)[0]


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_archives_that_unpack_to_too_much_are_refused(monkeypatch, write):
    file = io.BytesIO()
    write(file, images=np.zeros((9, 100, 100), np.uint8))
    monkeypatch.setattr("generator.probes.unpacking._SMALL_BYTES", 10_000)
    if write is np.savez:
        assert read_archive(file, "a.npz").images.shape == (9, 100, 100, 1)
        monkeypatch.setattr("generator.probes.unpacking.MAX_BYTES", 50_000)
    assert "unpacked it has 90" in problems_of(read_archive, file, "a.npz")[0]


# what ships with the zoo


def test_images_of_a_zoo_model(tmp_path, monkeypatch):
    model = tmp_path / "zoo" / "data" / "fashion_cnn"
    model.mkdir(parents=True)
    np.savez(model / "probes.npz", images=GREY, labels=np.array([0, 1, 0, 1]), label_names=np.array(["Bag", "Coat"]))
    monkeypatch.setattr(shipped.resources, "files", lambda package: tmp_path)
    probes = list_probes(ZooProbes(name="fashion", kind="zoo", model="fashion_cnn", per_class=1), Path())
    assert [p.info.name for p in probes] == ["bag-0", "coat-0"]
    assert probes[0].info.licence == "MIT"
    assert probes[0].info.provenance.startswith("Fashion-MNIST test set")


def test_zoo_models_without_images_are_named():
    (text,) = problems_of(list_probes, ZooProbes(name="z", kind="zoo", model="fashion-cnn"), Path())
    assert "did you mean 'fashion_cnn'?" in text
    assert set(DATASETS) == {"fashion_cnn"}
