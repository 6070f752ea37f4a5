"""Datasets in files: folders and lists of images, IDX, NumPy archives, published datasets, and what ships with the zoo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import CsvDataset, FolderDataset, IdxDataset, NpzDataset, PublishedDataset, ZooDataset
from generator.config.schema import IdxProbes, PublishedProbes, ZooProbes
from generator.errors import ProbeError, Problem, did_you_mean
from generator.probes import fashion_mnist
from generator.probes.archive import noted, open_archive
from generator.probes.download import Report
from generator.probes.folder import matching_files, readable
from generator.probes.idx import read_idx
from generator.probes.images import file_fingerprint, read_image
from generator.probes.published import read_split
from generator.probes.shipped import DATASETS, list_shipped
from generator.probes.tables import read_table


def _no_probe(_: int) -> None:
    return None


@dataclass(frozen=True)
class Source:
    """All images of a dataset, before a limit. labels: `(num_images,)` indices into label_names.

    fingerprint: sha256 of what the images of the given numbers come from. is_here: whether images can be read on this machine.
    """

    num_images: int
    read: Callable[[int], NDArray[np.uint8]]
    title: Callable[[int], str]
    fingerprint: Callable[[Sequence[int]], str]
    provenance: str
    licence: str
    labels: NDArray[np.integer] | None = None
    label_names: tuple[str, ...] | None = None
    probe: Callable[[int], str | None] = field(default=_no_probe)
    is_here: bool = True


def folder(config: FolderDataset, base: Path) -> Source:
    """The files that `config.path` matches, sorted by path; a folder stands for the files in it (`class_folders`: in its
    sub-folders). Hidden files are left out."""
    files = matching_files(config.path, config.class_folders, base, f"datasets[{config.name}]")
    folders = [readable(Path(file).parent.name or base.resolve().name) for file in files] if config.class_folders else None
    # An absolute path would tell every visitor of the site how its author's disk is laid out.
    provenance = config.provenance or (Path(config.path).name if Path(config.path).is_absolute() else config.path)
    return _image_files(files, folders, base, provenance, config.licence)


def table(config: CsvDataset, base: Path) -> Source:
    """The files that a CSV file lists, in its order."""
    path = base / config.path
    found = read_table(path, f"datasets[{config.name}]")
    return _image_files(found.files, found.labels, path.parent, config.provenance or path.name, config.licence)


def _image_files(files: Sequence[str], classes: Sequence[str] | None, base: Path, provenance: str, licence: str) -> Source:
    labels = names = None
    if classes is not None:
        names = tuple(sorted(set(classes)))
        numbers = {name: number for number, name in enumerate(names)}
        labels = np.array([numbers[name] for name in classes], np.int32)

    def fingerprint(kept: Sequence[int]) -> str:
        return _joined(f"{files[index]} {file_fingerprint(base / files[index])}" for index in kept)

    return Source(
        num_images=len(files),
        read=lambda index: read_image(base / files[index]),
        title=lambda index: readable(Path(files[index]).stem),
        fingerprint=fingerprint,
        provenance=provenance,
        licence=licence,
        labels=labels,
        label_names=names,
    )


def published(config: PublishedDataset | PublishedProbes, base: Path, report: Report) -> Source:
    """One split of MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100; fetched if it is neither named nor on this machine."""
    path = None if config.path is None else base / config.path
    found = read_split(config.dataset, config.split, path, labels=config.labels, report=report)
    stem = "training image" if config.split == "train" else "test image"
    return _arrays(
        found.images,
        found.labels,
        found.label_names,
        stem=stem,
        paths=found.files,
        provenance=found.provenance,
        licence=found.licence,
    )


def idx(config: IdxDataset | IdxProbes, base: Path) -> Source:
    """Images `(n, h, w)` or `(n, h, w, 1 | 3)` and labels `(n,)` of two IDX files; without names, classes are numbers."""
    place = _place(config)
    images, labels, names, problems = None, None, None, []
    try:
        images = read_idx(base / config.images)
        shape = images.shape
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and shape[3] not in (1, 3)) or 0 in shape:
            message = f"{base / config.images} holds {images.dtype} {shape}, not uint8 images (n, h, w)"
            problems.append(Problem(f"{place}.images", message, "name the file with the images"))
    except ProbeError as error:
        problems.extend(error.problems)
    if config.labels is not None:
        try:
            labels = read_idx(base / config.labels)
            problems.extend(_idx_label_problems(config, base, labels, images))
        except ProbeError as error:
            problems.extend(error.problems)
    if problems:
        raise ProbeError(problems)
    if labels is not None:
        labels = labels.astype(np.int32)
        names = config.label_names or tuple(map(str, range(int(labels.max(initial=0)) + 1)))
    paths = [base / name for name in (config.images, config.labels) if name]
    return _arrays(
        images if images.ndim == 4 else images[..., None],
        labels,
        names,
        stem="image",
        paths=paths,
        provenance=config.provenance or Path(config.images).name,
        licence=config.licence,
    )


def _place(config: IdxDataset | IdxProbes) -> str:
    return f"{'probes' if isinstance(config, IdxProbes) else 'datasets'}[{config.name}]"


def _idx_label_problems(config: IdxDataset | IdxProbes, base: Path, labels: NDArray, images: NDArray | None) -> list[Problem]:
    place, file = f"{_place(config)}.labels", base / config.labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return [
            Problem(place, f"{file} holds {labels.dtype} {labels.shape}, not one whole number an image", "name another file")
        ]
    problems = []
    if images is not None and len(labels) != len(images):
        problems.append(
            Problem(place, f"{file} has {len(labels):,} labels for {len(images):,} images", "name files of one set")
        )
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0:
        problems.append(Problem(place, f"{file} holds the class {low}", "classes count from 0"))
    if config.label_names is not None and high >= len(config.label_names):
        message = f"{len(config.label_names)} names for classes 0 ... {high}"
        problems.append(Problem(f"{_place(config)}.label_names", message, f"give {high + 1}"))
    elif config.label_names is None and high >= 1 << 16:
        problems.append(Problem(place, f"{file} holds the class {high:,}", "give label_names, one for each class"))
    return problems


def npz(config: NpzDataset, base: Path) -> Source:
    path = base / config.path
    images = open_archive(path, f"datasets[{config.name}]", config.split, config.layout)
    labels = names = None
    if images.labels is not None:
        names = tuple(dict.fromkeys(images.classes))
        numbers = {name: number for number, name in enumerate(names)}
        labels = np.array([numbers[label] for label in images.labels], np.int32)
    return _arrays(
        images.images,
        labels,
        names,
        stem=path.stem,
        paths=[path],
        provenance=noted(config.provenance or path.name, images.note),
        licence=config.licence,
    )


def shipped(config: ZooDataset) -> Source:
    """The images of a zoo model, class by class."""
    if config.model not in DATASETS:
        message = f"no images ship with a model {config.model!r}"
        raise ProbeError(Problem(f"datasets[{config.name}].model", message, did_you_mean(config.model, DATASETS)))
    probes = list_shipped(_probes(config))
    names = tuple(dict.fromkeys(probe.info.label for probe in probes))
    return Source(
        num_images=len(probes),
        read=lambda index: probes[index].read(),
        title=lambda index: probes[index].info.title,
        fingerprint=lambda kept: _joined(probes[index].fingerprint for index in kept),
        provenance=DATASETS[config.model].provenance,
        licence=DATASETS[config.model].licence,
        labels=np.array([names.index(probe.info.label) for probe in probes], np.int32),
        label_names=names,
    )


def test_set(config: ZooDataset) -> Source:
    """All test images of the dataset that a zoo model was made for; known by checksum where they are not here."""
    if config.model not in DATASETS:
        message = f"no test set is known for a model {config.model!r}"
        raise ProbeError(Problem(f"datasets[{config.name}].model", message, did_you_mean(config.model, DATASETS)))
    files = (fashion_mnist.TEST_IMAGES, fashion_mnist.TEST_LABELS)
    found = fashion_mnist.find()

    @cache
    def images() -> NDArray[np.uint8]:
        if found is None:
            way_out = fashion_mnist.ways_out("name another dataset")
            raise ProbeError(Problem(f"datasets[{config.name}]", "its images are not on this machine", way_out))
        return fashion_mnist.load_one(found, fashion_mnist.TEST_IMAGES)

    return Source(
        num_images=fashion_mnist.NUM_TEST,
        read=lambda index: images()[index][:, :, None],
        title=lambda index: f"test image {index}",
        fingerprint=lambda _: _joined(file.sha256 for file in files),
        provenance=DATASETS[config.model].provenance,
        licence=DATASETS[config.model].licence,
        labels=fashion_mnist.load_one(found, fashion_mnist.TEST_LABELS) if found else None,
        label_names=tuple(dict.fromkeys(probe.info.label for probe in list_shipped(_probes(config)))),
        is_here=found is not None,
    )


def _probes(config: ZooDataset) -> ZooProbes:
    return ZooProbes(name=config.name, kind="zoo", model=config.model)


def _arrays(
    images: NDArray[np.uint8], labels, names, *, stem: str, paths: Sequence[Path], provenance: str, licence: str
) -> Source:
    return Source(
        num_images=len(images),
        read=lambda index: images[index],
        title=lambda index: f"{stem} {index}",
        fingerprint=lambda _: _joined(map(file_fingerprint, paths)),
        provenance=provenance,
        licence=licence,
        labels=labels,
        label_names=names,
    )


def _joined(texts: Iterable[str]) -> str:
    """sha256 of texts, each on a line of its own."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
