"""Images in a NumPy archive: `images`, and optionally `labels` and `label_names`; or `x_train`, `y_train`, `x_test` and
`y_test`, as Keras has them in its `mnist.npz`."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import Layout, Split
from generator.config.schema import NpzProbes
from generator.errors import ProbeError, Problem
from generator.naming import unique_slugs
from generator.probes.arrays import to_uint8
from generator.probes.probe import Probe
from generator.probes.selection import by_class
from generator.probes.unpacking import plausible_bytes
from generator.records import ProbeInfo


@dataclass(frozen=True)
class Images:
    """images: uint8 `(n, h, w, 1 | 3)`. labels: of each image, or None. classes: every label once, in the order of classes.

    note: what was done to the values.
    """

    images: NDArray[np.uint8]
    labels: tuple[str, ...] | None
    classes: tuple[str, ...]
    note: str = ""


def list_npz(probe_set: NpzProbes, base: Path) -> tuple[Probe, ...]:
    """The images of an archive, class by class where it has labels. Raises `ProbeError` with all that is wrong with it."""
    path = base / probe_set.path
    images = open_archive(path, f"probes[{probe_set.name}]", probe_set.split, probe_set.layout)
    if probe_set.per_class and images.labels is None:
        place = f"probes[{probe_set.name}].per_class"
        raise ProbeError(Problem(place, f"{path} has no labels", "add an array `labels`, or leave per_class out"))
    provenance = noted(probe_set.provenance or path.name, images.note)
    return probes_of(
        images, probe_set.name, stem=path.stem, per_class=probe_set.per_class, provenance=provenance, licence=probe_set.licence
    )


def probes_of(
    images: Images, set_name: str, *, stem: str, per_class: int | None, provenance: str, licence: str
) -> tuple[Probe, ...]:
    """A probe for each image, named by class and number within it (`ankle-boot-0`), or by `stem` and index."""
    if images.labels is None:
        kept = [(index, index) for index in range(len(images.images))]
        kinds = [stem] * len(kept)
    else:
        order = sorted(range(len(images.labels)), key=lambda i: images.classes.index(images.labels[i]))
        kept = [(order[i], number) for i, number in by_class([images.labels[i] for i in order], per_class)]
        kinds = [images.labels[index] for index, _ in kept]
    titles = [f"{kind} {number}" for kind, (_, number) in zip(kinds, kept, strict=True)]
    names = unique_slugs(title.replace(".", "-").replace("/", "-") for title in titles)
    return tuple(
        _probe(
            images.images[index].copy(),  # a view would keep the whole archive in memory
            ProbeInfo(
                name=name,
                title=title,
                set=set_name,
                provenance=f"{provenance}, image {index}",
                licence=licence,
                label=images.labels[index] if images.labels else None,
                width_px=images.images.shape[2],
                height_px=images.images.shape[1],
                source_channels=images.images.shape[3],
            ),
        )
        for (index, _), name, title in zip(kept, names, titles, strict=True)
    )


def noted(provenance: str, note: str) -> str:
    """Where images come from, and what was done to them."""
    return f"{provenance} ({note})" if note else provenance


def open_archive(path: Path, place: str, split: Split | None, layout: Layout | None) -> Images:
    """`read_archive` of a file; `place` is what names it."""
    try:
        with path.open("rb") as file:
            return read_archive(file, str(path), split, layout)
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})"
        raise ProbeError(Problem(f"{place}.path", message, "correct the path")) from error


def read_archive(file: BinaryIO, place: str, split: Split | None = None, layout: Layout | None = None) -> Images:
    """The archive's arrays, checked. Nothing in it is ever executed. Raises `ProbeError` with everything that is wrong.

    split: reads `x_train` and `y_train`, or `x_test` and `y_test`. layout: of images with four axes, as `to_uint8` has it.
    """
    arrays, found = _arrays(file, place, split)
    key = f"x_{split}" if split else "images"
    if "images" not in arrays:
        halves = {name.removeprefix("x_") for name in found} & {"train", "test"}
        way_out = f"write `split: {min(halves)}`" if halves and not split else _WRITE
        raise ProbeError(
            Problem(place, f"there is no array `{key}` (found: {', '.join(found[:12])[:200] or 'nothing'})", way_out)
        )
    images, note, problems = to_uint8(arrays["images"], layout, f"{place}: {key}")
    labels_key = f"y_{split}" if split else "labels"
    problems += _label_problems(arrays, place, labels_key)
    if problems or images is None:
        raise ProbeError(problems)
    labels, classes = _texts(arrays)
    return Images(images, labels, classes, note)


def _arrays(file: BinaryIO, place: str, split: Split | None) -> tuple[dict[str, NDArray], list[str]]:
    """`images`, `labels` and `label_names` as far as they are there, and the names of all arrays."""
    names = {"images": f"x_{split}", "labels": f"y_{split}"} if split else {"images": "images", "labels": "labels"}
    names["label_names"] = "label_names"
    try:
        with zipfile.ZipFile(file) as members:
            num_bytes = sum(member.file_size for member in members.infolist())
        most = plausible_bytes(file.seek(0, 2))
        if num_bytes > most:
            message = f"unpacked it has {num_bytes:,} bytes, more than the {most:,} that a file of its size may have"
            raise ProbeError(Problem(place, message, "keep the images you want to look at, saved with np.savez"))
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[stored] for name, stored in names.items() if stored in archive.files}
            found = archive.files
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # NumPy gives bytes for what has another form
            raise ProbeError(Problem(place, "an entry in it is no NumPy array", _WRITE))
    except zipfile.BadZipFile as error:
        raise ProbeError(Problem(place, "this is no .npz archive, or it is cut off", _WRITE)) from error
    except ValueError as error:
        message = (
            f"an array cannot be read without running code ({str(error)[:200]})"
            if "pickle" in str(error)
            else f"damaged ({str(error)[:200]})"
        )
        raise ProbeError(Problem(place, message, "save text as dtype=str and numbers as integers")) from error
    except ProbeError:
        raise
    except Exception as error:  # a damaged archive makes zipfile and zlib raise almost anything
        raise ProbeError(Problem(place, f"the archive is damaged ({str(error)[:200]})", _WRITE)) from error
    if arrays.get("labels", np.empty(0)).ndim == 2 and arrays["labels"].shape[1] == 1:
        arrays["labels"] = arrays["labels"][:, 0]  # a column, as Keras's CIFAR-10 has it
    return arrays, found


_WRITE = "write it with np.savez_compressed(path, images=..., labels=..., label_names=...)"


def _label_problems(arrays: dict[str, NDArray], place: str, key: str) -> list[Problem]:
    labels, names, images = arrays.get("labels"), arrays.get("label_names"), arrays["images"]
    problems = []
    if labels is None:
        return problems
    if labels.ndim != 1 or images.ndim == 0 or len(labels) != len(images):
        message = f"shape {labels.shape} for {len(images) if images.ndim else 0} images"
        problems.append(Problem(f"{place}: {key}", message, "give one label an image"))
    if labels.dtype.kind not in "iuUS":
        problems.append(Problem(f"{place}: {key}", f"dtype is {labels.dtype}", "give integers or text"))
    problems += [
        Problem(f"{place}: {shown}", "it holds characters that are none", "save text as dtype=str")
        for shown, texts in ((key, labels), ("label_names", names))
        if texts is not None and not _is_text(texts)
    ]
    if names is not None and (names.ndim != 1 or names.dtype.kind not in "US"):
        problems.append(Problem(f"{place}: label_names", f"{names.ndim}-D of {names.dtype}", "give a list of texts"))
    elif names is not None and labels.dtype.kind in "iu" and labels.size and (labels.min() < 0 or labels.max() >= len(names)):
        message = f"{labels.min()} ... {labels.max()} for {len(names)} label_names"
        problems.append(Problem(f"{place}: {key}", message, f"give numbers from 0 to {len(names) - 1}"))
    return problems


def _is_text(array: NDArray) -> bool:
    """Whether all characters are code points of Unicode, which Python insists on; bytes are decoded with care."""
    if array.dtype.kind != "U" or array.dtype.itemsize == 0:
        return True
    points = np.ascontiguousarray(array).reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    return not bool(((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))).any())


def _texts(arrays: dict[str, NDArray]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The label of each image as text, and all labels in the order of their classes."""
    if "labels" not in arrays:
        return None, ()
    labels = arrays["labels"]
    if labels.dtype.kind in "US":
        texts = _decoded(labels)
        return texts, tuple(sorted(set(texts)))
    if "label_names" in arrays:
        names = _decoded(arrays["label_names"])
        return tuple(names[i] for i in labels), names
    return tuple(str(i) for i in labels), tuple(str(i) for i in np.unique(labels))


def _decoded(texts: NDArray) -> tuple[str, ...]:
    return tuple(t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in texts)


def _probe(pixels: NDArray[np.uint8], info: ProbeInfo) -> Probe:
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return Probe(info, digest, partial(np.copy, pixels))
