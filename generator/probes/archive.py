"""Images in a NumPy archive: `images`, and optionally `labels` and `label_names`."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from generator.config.schema import NpzProbes
from generator.errors import ProbeError, Problem
from generator.naming import unique_slugs
from generator.probes.probe import Probe
from generator.probes.selection import by_class
from generator.records import ProbeInfo

#: Unpacked. An archive is read as a whole, and a small file may claim any size.
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Images:
    """images: uint8 `(n, h, w, 1 | 3)`. labels: of each image, or None. classes: every label once, in the order of classes."""

    images: NDArray[np.uint8]
    labels: tuple[str, ...] | None
    classes: tuple[str, ...]


def list_npz(probe_set: NpzProbes, base: Path) -> tuple[Probe, ...]:
    """The images of an archive, class by class where it has labels. Raises `ProbeError` with all that is wrong with it."""
    path = base / probe_set.path
    try:
        with path.open("rb") as file:
            images = read_archive(file, str(path))
    except OSError as error:
        problem = Problem(f"probes[{probe_set.name}].path", f"{path} cannot be read ({error.strerror})", "correct the path")
        raise ProbeError(problem) from error
    if probe_set.per_class and images.labels is None:
        place = f"probes[{probe_set.name}].per_class"
        raise ProbeError(Problem(place, f"{path} has no labels", "add an array `labels`, or leave per_class out"))
    provenance = probe_set.provenance or path.name
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


def read_archive(file: BinaryIO, place: str) -> Images:
    """The archive's arrays, checked. Nothing in it is ever executed. Raises `ProbeError` with everything that is wrong."""
    try:
        with zipfile.ZipFile(file) as members:
            num_bytes = sum(member.file_size for member in members.infolist())
        if num_bytes > MAX_BYTES:
            message = f"unpacked it has {num_bytes / 1e9:.1f} GB, more than {MAX_BYTES / 1e9:.1f} GB"
            raise ProbeError(Problem(place, message, "keep the images you want to look at"))
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("images", "labels", "label_names") if name in archive.files}
            found = archive.files
    except zipfile.BadZipFile as error:
        raise ProbeError(Problem(place, "this is no .npz archive, or it is cut off", _WRITE)) from error
    except ValueError as error:
        message = f"an array cannot be read without running code ({error})" if "pickle" in str(error) else f"damaged ({error})"
        raise ProbeError(Problem(place, message, "save text as dtype=str and numbers as integers")) from error
    except ProbeError:
        raise
    except Exception as error:  # a damaged archive makes zipfile and zlib raise almost anything
        raise ProbeError(Problem(place, f"the archive is damaged ({error})", _WRITE)) from error
    if "images" not in arrays:
        raise ProbeError(Problem(place, f"there is no array `images` (found: {', '.join(found) or 'nothing'})", _WRITE))
    problems = [*_image_problems(arrays["images"], place), *_label_problems(arrays, place)]
    if problems:
        raise ProbeError(problems)
    labels, classes = _texts(arrays)
    images = arrays["images"]
    return Images(images[..., None] if images.ndim == 3 else images, labels, classes)


_WRITE = "write it with np.savez_compressed(path, images=..., labels=..., label_names=...)"


def _image_problems(images: NDArray, place: str) -> list[Problem]:
    place = f"{place}: images"
    problems = []
    if images.dtype != np.uint8:
        way_out = "scale to 0-255 and store images.round().astype(np.uint8)"
        problems.append(Problem(place, f"dtype is {images.dtype}, not uint8", way_out))
    shape = images.shape
    if images.ndim == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3):
        problems.append(Problem(place, f"shape {shape} has channels first", "store images.transpose(0, 2, 3, 1)"))
    elif images.ndim == 4 and shape[3] == 4:
        problems.append(Problem(place, f"shape {shape} has transparency", "blend it onto white and store three channels"))
    elif images.ndim not in (3, 4) or (images.ndim == 4 and shape[3] not in (1, 3)):
        problems.append(Problem(place, f"shape {shape} is neither (n, h, w) nor (n, h, w, 1 | 3)", "reorder the axes"))
    elif 0 in shape:
        problems.append(Problem(place, f"shape {shape} holds no pixels"))
    return problems


def _label_problems(arrays: dict[str, NDArray], place: str) -> list[Problem]:
    labels, names, images = arrays.get("labels"), arrays.get("label_names"), arrays["images"]
    problems = []
    if labels is None:
        return problems
    if labels.ndim != 1 or images.ndim == 0 or len(labels) != len(images):
        message = f"shape {labels.shape} for {len(images) if images.ndim else 0} images"
        problems.append(Problem(f"{place}: labels", message, "give one label an image"))
    if labels.dtype.kind not in "iuUS":
        problems.append(Problem(f"{place}: labels", f"dtype is {labels.dtype}", "give integers or text"))
    if names is not None and (names.ndim != 1 or names.dtype.kind not in "US"):
        problems.append(Problem(f"{place}: label_names", f"{names.ndim}-D of {names.dtype}", "give a list of texts"))
    elif names is not None and labels.dtype.kind in "iu" and labels.size and (labels.min() < 0 or labels.max() >= len(names)):
        message = f"{labels.min()} ... {labels.max()} for {len(names)} label_names"
        problems.append(Problem(f"{place}: labels", message, f"give numbers from 0 to {len(names) - 1}"))
    return problems


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
