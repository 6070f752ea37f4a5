"""Fashion-MNIST: where it may lie on this machine, how to fetch it, and its four arrays.

Xiao, Rasul, Vollgraf 2017, *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms* (MIT licence).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.errors import ProbeError, Problem
from generator.probes.download import Report, cache_folder, fetch
from generator.probes.idx import encode_idx, read_idx

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SYSTEM_PACKAGE = "dataset-fashion-mnist"
BASE_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


@dataclass(frozen=True)
class RemoteFile:
    """name: without `.gz`. num_bytes, md5: of the published `.gz` file. sha256: of the unpacked file, however it was packed."""

    name: str
    num_bytes: int
    md5: str
    sha256: str


TRAIN_IMAGES = RemoteFile(
    "train-images-idx3-ubyte",
    26_421_880,
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
)
TRAIN_LABELS = RemoteFile(
    "train-labels-idx1-ubyte",
    29_515,
    "25c81989df183df01b3e8a0aad5dffbe",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
)
TEST_IMAGES = RemoteFile(
    "t10k-images-idx3-ubyte",
    4_422_102,
    "bef4ecab320f06d8554ea6380940ec79",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
)
TEST_LABELS = RemoteFile(
    "t10k-labels-idx1-ubyte",
    5_148,
    "bb300cfdad3c16e7a12a480ee83cd310",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
NUM_TEST = 10_000
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


@dataclass(frozen=True)
class FashionMnist:
    """Images uint8 `(60000 | 10000, 28, 28)`, labels uint8 `(60000 | 10000,)` in 0-9; digests: sha256 of each unpacked file."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    digests: dict[str, str]
    name: str = "Fashion-MNIST"


def default_cache() -> Path:
    """Where a download is kept."""
    return cache_folder("fashion-mnist")


def obtain(folder: Path | None, report: Report) -> FashionMnist:
    """The data set from `folder` if named, else from wherever it lies on this machine, else downloaded into the cache.

    report: as for `download`. Raises `ProbeError` naming the ways out if none of that works.
    """
    found = find(folder)
    if found is None:
        found = default_cache()
        download(found, report)
    return load(found)


def find(folder: Path | None = None, system: Path = SYSTEM_FOLDER, cache: Path | None = None) -> Path | None:
    """The folder with all four files, packed or not: `folder` if named, else the system's or the cache; None if none has them.

    Raises `ProbeError` if the named folder misses any of them.
    """
    if folder is not None:
        missing = [file.name for file in FILES if _path(folder, file) is None]
        if missing:
            raise ProbeError(
                Problem(
                    str(folder),
                    f"no {', '.join(missing)} here (with or without .gz)",
                    ways_out("name the folder that has them"),
                )
            )
        return folder
    places = (system, cache or default_cache())
    return next((place for place in places if all(_path(place, file) for file in FILES)), None)


def load(folder: Path) -> FashionMnist:
    """The data set in `folder`. Raises `ProbeError` for each file that is missing, damaged or not Fashion-MNIST's."""
    found = _read(folder, FILES)
    return FashionMnist(*(array for array, _ in found.values()), {name: digest for name, (_, digest) in found.items()})


def load_one(folder: Path, file: RemoteFile) -> np.ndarray:
    """One of the arrays alone, as in `FashionMnist`. Raises as `load` does."""
    return _read(folder, (file,))[file.name][0]


def _read(folder: Path, files: tuple[RemoteFile, ...]) -> dict[str, tuple[np.ndarray, str]]:
    """Array and sha256 of each of `files`, by its name."""
    found, problems = {}, []
    for file in files:
        path = _path(folder, file) or folder / file.name
        try:
            array = read_idx(path)
        except ProbeError as error:
            problems.extend(error.problems)
            continue
        found[file.name] = array, hashlib.sha256(encode_idx(array)).hexdigest()
        if found[file.name][1] != file.sha256:
            rule = f"not Fashion-MNIST's: sha256 {found[file.name][1]}, expected {file.sha256}"
            problems.append(Problem(str(path), rule))
    if problems:
        raise ProbeError([*problems, Problem(str(folder), "not usable as Fashion-MNIST", ways_out("name another folder"))])
    return found


def download(cache: Path, report: Report, base_url: str = BASE_URL, files: tuple[RemoteFile, ...] = FILES) -> None:
    """Fetches the files that are not yet in the folder `cache`, each kept only once its checksum is right.

    report: called with the file's name, the bytes that have come and the bytes that it has. Raises `ProbeError` naming the
    ways out if a file does not come or comes damaged.
    """
    way_out = ways_out("name a folder that has the files")
    for file in files:
        if _path(cache, file) is None:  # `load` checks SHA-256 as well
            path = cache / f"{file.name}.gz"
            fetch([base_url + path.name], file.md5, path, report, way_out)


def ways_out(first: str) -> str:
    """How to come by the data, the first way in the caller's words."""
    return (
        f"{first} with --data, or install Debian's package {SYSTEM_PACKAGE}, or fetch the four .gz files from {BASE_URL}"
        f" into {default_cache()}"
    )


def _path(folder: Path, file: RemoteFile) -> Path | None:
    paths = (folder / f"{file.name}.gz", folder / file.name)
    return next((path for path in paths if path.is_file()), None)
