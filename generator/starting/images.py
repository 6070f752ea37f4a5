"""What `--images` and `--dataset` name: files, a folder, class folders, a pattern, or an archive."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generator.config.datasets import FolderDataset, NpzDataset
from generator.config.schema import FolderProbes, NpzProbes
from generator.errors import ConfigError, Problem
from generator.probes import Probe, list_probes
from generator.probes.datasets import evenly, open_dataset
from generator.starting.paths import as_written


@dataclass(frozen=True)
class Images:
    """section: what `probes:` and `datasets:` both say of them, without a name. title: of their folder or file.

    classes: names of the class folders, sorted. note: what is left out, a sentence or nothing.
    """

    section: dict[str, Any]
    title: str
    num_images: int
    classes: tuple[str, ...] | None
    note: str = ""


def look_at(text: str, option: str, base: Path) -> Images:
    """The images that an option of the command line names; base: the folder of the configuration.

    Raises `UserError` where there are none. No image is decoded.
    """
    path = Path(text).expanduser()
    if not text or not (path.exists() or glob.glob(str(path), recursive=True)):
        way_out = "name a folder, a file, or a pattern in quotes, such as 'photos/*.jpg'"
        raise ConfigError(Problem(f"{option} {text}", "nothing is there", way_out))
    if path.suffix.lower() == ".npz":
        section = {"kind": "npz", "path": as_written(text, base)}
        dataset = open_dataset(NpzDataset(name="images", **section), base, {})
        return Images(section, path.name, len(dataset), dataset.info.labels)
    section, note = {"kind": "folder", "path": as_written(text, base)}, ""
    if path.is_file():
        section["path"] = glob.escape(section["path"])
    if path.is_dir():
        own, below = _image_files(path.iterdir()), _image_files(path.glob("*/*"))
        if not own and not below:
            rule = "the folder holds no images, nor do the folders in it"
            raise ConfigError(Problem(f"{option} {text}", rule, "name a folder of images, or of one folder for each class"))
        found = own or below
        if own and below:
            note = f"Of {text}, the {len(own)} images in it are taken, and not the {len(below)} in its folders."
        pattern = _pattern(path, found, deeper=not own)
        if pattern or glob.has_magic(section["path"]):
            section["path"] = f"{glob.escape(section['path'])}/{pattern or ('*' if own else '*/*')}"
        if not own:
            section["class_folders"] = True
    dataset = open_dataset(FolderDataset(name="images", **section), base, {})
    # Of `photos/*.jpg`, the folder.
    title = path.name if path.exists() else next((p.name for p in path.parents if not glob.has_magic(str(p))), "")
    return Images(section, title or text, len(dataset), dataset.info.labels, note)


def chosen_probes(images: Images, most: int, base: Path) -> list[str] | None:
    """Names of at most `most` of them, evenly from all classes; None if these are all. Raises `ProbeError` for files that are
    no images."""
    probes = probes_of(images, base)
    if len(probes) <= most:
        return None
    labels = [probe.info.label for probe in probes]
    numbers = None if None in labels else np.unique(labels, return_inverse=True)[1]
    return [probes[index].info.name for index in evenly(numbers, len(probes), most)]


def probes_of(images: Images, base: Path) -> Sequence[Probe]:
    probes = NpzProbes if images.section["kind"] == "npz" else FolderProbes
    return list_probes(probes(name="images", **images.section), base)


def _image_files(paths: Any) -> list[Path]:
    Image.init()
    return [path for path in paths if path.suffix.lower() in Image.EXTENSION and path.name[0] != "." and path.is_file()]


def _pattern(folder: Path, images: list[Path], *, deeper: bool) -> str:
    """Nothing where a folder holds images alone; else the pattern that leaves its other files out."""
    others = [p for p in folder.glob("*/*" if deeper else "*") if p.is_file() and p.name[0] != "." and p not in set(images)]
    if not others:
        return ""
    endings = Counter(path.suffix for path in images)
    return f"{'*/' if deeper else ''}*{endings.most_common(1)[0][0]}"
