"""Image files of one's own, by glob or listed in a CSV file."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from generator.config.schema import CsvProbes, FolderProbes
from generator.errors import ProbeError, Problem
from generator.naming import unique_slugs
from generator.probes.images import Header, file_fingerprint, read_header, read_image
from generator.probes.probe import Probe
from generator.probes.selection import by_class
from generator.probes.tables import read_table
from generator.records import ProbeInfo


def list_folder(probe_set: FolderProbes, base: Path) -> tuple[Probe, ...]:
    """The files that `probe_set.path` matches, sorted by path; `**` goes down any number of folders.

    A path that is a folder stands for the files in it (with `class_folders`: in its sub-folders). Hidden files are left out.
    Raises `ProbeError` where nothing matches, and with every file that is no image.
    """
    if probe_set.per_class and not probe_set.class_folders:
        place = f"probes[{probe_set.name}].per_class"
        raise ProbeError(Problem(place, "without class folders there are no classes", "set class_folders: true"))
    files = matching_files(probe_set.path, probe_set.class_folders, base, f"probes[{probe_set.name}]")
    folders = [readable(Path(file).parent.name or base.resolve().name) for file in files] if probe_set.class_folders else None
    return _listed(probe_set, base, files, folders)


def list_csv(probe_set: CsvProbes, base: Path) -> tuple[Probe, ...]:
    """The files that a CSV file lists, class by class where it has labels. Raises `ProbeError` with all that is wrong."""
    path = base / probe_set.path
    table = read_table(path, f"probes[{probe_set.name}]")
    if probe_set.per_class and table.labels is None:
        place = f"probes[{probe_set.name}].per_class"
        raise ProbeError(Problem(place, f"{path} has no labels", "add a column `label`, or leave per_class out"))
    return _listed(probe_set, path.parent, table.files, table.labels)


def _listed(
    probe_set: FolderProbes | CsvProbes, base: Path, files: Sequence[str], labels: Sequence[str] | None
) -> tuple[Probe, ...]:
    """A probe for each file, or for the first of each class."""
    kept = [index for index, _ in by_class(labels, probe_set.per_class)] if labels else range(len(files))
    files, classes = [files[i] for i in kept], [labels[i] if labels else None for i in kept]
    headers = _headers(files, base)
    stems = [readable(Path(file).stem) for file in files]
    titles = [f"{label} {stem}" if label else stem for stem, label in zip(stems, classes, strict=True)]
    names = unique_slugs(title.replace(".", "-").replace("/", "-") for title in titles)
    return tuple(
        _probe(probe_set, base, file, name, title, label, header)
        for file, name, title, label, header in zip(files, names, titles, classes, headers, strict=True)
    )


def readable(name: str) -> str:
    """Names of files may be any bytes; those that are no UTF-8 become U+FFFD where a person reads them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def matching_files(pattern: str, class_folders: bool, base: Path, place: str) -> list[str]:
    """Files that `pattern` matches, sorted, relative to `base` (or absolute, as the pattern is); hidden ones are left out.

    A folder stands for the files in it (with `class_folders`: in its sub-folders). Raises `ProbeError`, naming `place`, where
    nothing matches.
    """
    sought = pattern
    if (base / sought).is_dir():
        sought = str(Path(glob.escape(sought)) / ("*/*" if class_folders else "*"))
    files = sorted(f for f in glob.glob(sought, root_dir=base, recursive=True) if (base / f).is_file())
    if not files:
        way_out = f"it is looked up from {base}; name a folder or a pattern such as photos/*.jpg"
        raise ProbeError(Problem(f"{place}.path", f"no file matches {pattern!r}", way_out))
    return files


def _headers(files: list[str], base: Path) -> list[Header]:
    headers, problems = [], []
    for file in files:
        try:
            headers.append(read_header(base / file))
        except ProbeError as error:
            problems.extend(error.problems)
    if problems:
        raise ProbeError(problems)
    return headers


def _probe(
    probe_set: FolderProbes | CsvProbes,
    base: Path,
    file: str,
    name: str,
    title: str,
    label: str | None,
    header: Header,
) -> Probe:
    # An absolute path would tell every visitor of the site how its author's disk is laid out.
    shown = readable(Path(file).name if Path(file).is_absolute() else Path(file).as_posix())
    origin = f"{probe_set.provenance} ({shown})" if probe_set.provenance else shown
    info = ProbeInfo(
        name=name,
        title=title,
        set=probe_set.name,
        provenance=f"{origin}; {header.note}" if header.note else origin,
        licence=probe_set.licence,
        label=label,
        width_px=header.width_px,
        height_px=header.height_px,
        source_channels=header.channels,
    )
    path = base / file
    return Probe(info, file_fingerprint(path), partial(read_image, path))
