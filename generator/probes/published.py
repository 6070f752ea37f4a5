"""Published datasets: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, from a folder of one's own or from their own addresses.

Without a folder the files are sought on this machine, and fetched into the cache if they are not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import CifarLabels, PublishedName, Split
from generator.errors import ProbeError, Problem
from generator.probes import fashion_mnist
from generator.probes.cifar import read_cifar
from generator.probes.download import Report, cache_folder, fetch, silent
from generator.probes.idx import encode_idx, read_idx

_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
_MNIST_URLS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
_ANOTHER = "name another folder, or leave `path` out to have the published files fetched"
_FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Published:
    """A dataset as its authors publish it. files: of each split, by name, with the MD5 sum of each. urls: folders that have
    them. folder: the name of its folder in the cache.

    unpacked: sha256 of files once unpacked, where it is known. system: a package's folder, where there is one. classes: of
    datasets whose files do not name them.
    """

    title: str
    origin: str
    licence: str
    urls: tuple[str, ...]
    files: Mapping[Split, Mapping[str, str]]
    folder: str
    classes: tuple[str, ...] = ()
    unpacked: Mapping[str, str] = field(default_factory=dict)
    system: Path | None = None


def _of(*files: fashion_mnist.RemoteFile) -> dict[str, str]:
    return {f"{file.name}.gz": file.md5 for file in files}


def _both(file: str, md5: str) -> dict[Split, dict[str, str]]:
    """One archive that holds both splits."""
    return {"train": {file: md5}, "test": {file: md5}}


PUBLISHED: Mapping[PublishedName, Published] = {
    "mnist": Published(
        "MNIST",
        "LeCun, Cortes and Burges",
        "CC BY-SA 3.0",
        _MNIST_URLS,
        {
            "train": {
                "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            },
            "test": {
                "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
            },
        },
        "mnist",
        tuple("0123456789"),
    ),
    "fashion_mnist": Published(
        "Fashion-MNIST",
        "Xiao, Rasul and Vollgraf 2017",
        "MIT",
        (fashion_mnist.BASE_URL,),
        {
            "train": _of(fashion_mnist.TRAIN_IMAGES, fashion_mnist.TRAIN_LABELS),
            "test": _of(fashion_mnist.TEST_IMAGES, fashion_mnist.TEST_LABELS),
        },
        "fashion-mnist",
        _FASHION_CLASSES,
        {f"{file.name}.gz": file.sha256 for file in fashion_mnist.FILES},
        fashion_mnist.SYSTEM_FOLDER,
    ),
    "cifar10": Published(
        "CIFAR-10",
        "Krizhevsky 2009",
        "not stated",
        (_CIFAR_URL,),
        _both("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        "cifar10",
    ),
    "cifar100": Published(
        "CIFAR-100",
        "Krizhevsky 2009",
        "not stated",
        (_CIFAR_URL,),
        _both("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        "cifar100",
    ),
}
#: Where the files of MNIST and its kin may be below the folder that is named; torchvision puts them deeper.
_FOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")


@dataclass(frozen=True)
class Images:
    """One split. images: uint8 `(n, h, w, 1 | 3)`. labels: int32 `(n,)`, indices into label_names. files: what was read."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    label_names: tuple[str, ...]
    provenance: str
    licence: str
    files: tuple[Path, ...]


def read_split(
    name: PublishedName,
    split: Split = "train",
    folder: Path | None = None,
    *,
    labels: CifarLabels = "fine",
    report: Report = silent,
) -> Images:
    """All images and labels of a split.

    folder: one's own copy: a folder with the published files, packed or not (for CIFAR the `.tar.gz` itself, or what is in it,
    in either format). They need not be the published ones: `provenance` says whether they are. labels: CIFAR-100's 100 fine or
    20 coarse classes. Raises `ProbeError`: which files to put where, if they are neither here nor to be had.
    """
    dataset = PUBLISHED[name]
    place = folder if folder is not None else _here(dataset, split) or _fetched(dataset, split, report)
    if name in ("cifar10", "cifar100"):
        archive = place / next(iter(dataset.files[split]))
        found = read_cifar(archive if archive.is_file() else place, name, split, labels)
        genuine = all(_md5(path) == dataset.files[split].get(path.name) for path in found.files)
    else:
        found = _read_idx(dataset, split, place)
        genuine = found.genuine
    return Images(
        found.images, found.labels, found.label_names, _provenance(dataset, split, genuine), dataset.licence, found.files
    )


def _here(dataset: Published, split: Split) -> Path | None:
    """The folder on this machine that has the split's files, if there is one."""
    places = [place for place in (dataset.system, cache_folder(dataset.folder)) if place is not None]
    return next((place for place in places if all((place / file).is_file() for file in dataset.files[split])), None)


def _fetched(dataset: Published, split: Split, report: Report) -> Path:
    cache = cache_folder(dataset.folder)
    for file, md5 in dataset.files[split].items():
        if not (cache / file).is_file():
            fetch([url + file for url in dataset.urls], md5, cache / file, report, _way_out(dataset, split))
    return cache


def _way_out(dataset: Published, split: Split) -> str:
    files = " and ".join(dataset.files[split])
    return f"put {files} from {dataset.urls[0]} into {cache_folder(dataset.folder)}, or name a folder that has them as `path`"


@dataclass(frozen=True)
class _Idx:
    """As `Images`. genuine: whether the files are those that were published."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    label_names: tuple[str, ...]
    files: tuple[Path, ...]
    genuine: bool


def _idx_files(dataset: Published, split: Split, folder: Path) -> dict[str, Path]:
    """Where the split's files are, by their published names; mirrors call them otherwise, or have unpacked them."""
    found, missing = {}, []
    for file in dataset.files[split]:
        plain = file.removesuffix(".gz")
        names = (file, plain, plain.replace("-idx", ".idx"), f"{plain.replace('-idx', '.idx')}.gz")
        paths = [folder / below / one for below in _FOLDERS for one in names]
        here = next((path for path in paths if path.is_file()), None)
        if here is None:
            missing.append(plain)
        else:
            found[file] = here
    if missing:
        rule = f"no {' and no '.join(missing)} here (with or without .gz)"
        raise ProbeError(Problem(str(folder), rule, _way_out(dataset, split)))
    return found


def _read_idx(dataset: Published, split: Split, folder: Path) -> _Idx:
    files = _idx_files(dataset, split, folder)
    arrays, problems = {}, []
    for file, path in files.items():
        try:
            arrays[file] = read_idx(path)
        except ProbeError as error:
            problems.extend(error.problems)
    if not problems:
        problems = _array_problems(dataset, list(arrays.values()), [str(path) for path in files.values()])
    if problems:
        raise ProbeError(problems)
    genuine = all(
        _md5(files[file]) == dataset.files[split][file] or _sha256(array) == dataset.unpacked.get(file)
        for file, array in arrays.items()
    )
    images, labels = arrays.values()
    return _Idx(images[..., None], labels.astype(np.int32), dataset.classes, tuple(files.values()), genuine)


def _array_problems(dataset: Published, arrays: list[np.ndarray], places: list[str]) -> list[Problem]:
    (images, labels), problems = arrays, []
    if images.dtype != np.uint8 or images.ndim != 3 or 0 in images.shape:
        rule = f"holds {images.dtype} {images.shape}, not uint8 images (n, h, w)"
        problems.append(Problem(places[0], rule, _ANOTHER))
    elif labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        rule = f"holds {labels.dtype} {labels.shape}, not one label for each of {len(images)} images"
        problems.append(Problem(places[1], rule, _ANOTHER))
    elif labels.min() < 0 or labels.max() >= len(dataset.classes):
        rule = f"labels go from {labels.min()} to {labels.max()}, and {dataset.title} has {len(dataset.classes)} classes"
        problems.append(Problem(places[1], rule, _ANOTHER))
    return problems


def _provenance(dataset: Published, split: Split, genuine: bool) -> str:
    of = f"{dataset.title} {'training' if split == 'train' else 'test'} set ({dataset.origin})"
    return f"{of}, checksums as published" if genuine else f"local files in the form of the {of}"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _sha256(array: np.ndarray) -> str:
    """Of the unpacked file that holds the array."""
    return hashlib.sha256(encode_idx(array)).hexdigest()
