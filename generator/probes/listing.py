"""A probe set of the config to its probes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from generator.config.schema import (
    CsvProbes,
    FolderProbes,
    IdxProbes,
    NpzProbes,
    PhotographsProbes,
    ProbeSetConfig,
    PublishedProbes,
    SyntheticProbes,
    ZooProbes,
)
from generator.errors import ProbeError, Problem
from generator.probes import datasets_files
from generator.probes.archive import Images, list_npz, probes_of
from generator.probes.datasets_files import Source
from generator.probes.download import Report, silent
from generator.probes.folder import list_csv, list_folder
from generator.probes.photographs import list_photographs
from generator.probes.probe import Probe
from generator.probes.shipped import list_shipped
from generator.probes.synthetic import list_synthetic


def list_probes(probe_set: ProbeSetConfig, base: Path, report: Report = silent) -> tuple[Probe, ...]:
    """The probes of a set, without decoding photographs; names are unique within the set.

    base: the folder that paths are relative to, the config's. report: as for `open_dataset`. Raises `ProbeError` with
    everything that is wrong.
    """
    match probe_set:
        case PhotographsProbes():
            return list_photographs(probe_set)
        case SyntheticProbes():
            return list_synthetic(probe_set)
        case FolderProbes():
            return list_folder(probe_set, base)
        case NpzProbes():
            return list_npz(probe_set, base)
        case CsvProbes():
            return list_csv(probe_set, base)
        case IdxProbes():
            return _of_arrays(probe_set, datasets_files.idx(probe_set, base), Path(probe_set.images).name.split(".")[0])
        case PublishedProbes():
            return _of_arrays(probe_set, datasets_files.published(probe_set, base, report), probe_set.dataset)
        case ZooProbes():
            return list_shipped(probe_set)


def _of_arrays(probe_set: IdxProbes | PublishedProbes, source: Source, stem: str) -> tuple[Probe, ...]:
    """The first `per_class` images of each class of a dataset that is held in arrays."""
    labels = None
    if source.labels is not None:
        labels = tuple(source.label_names[label] for label in source.labels)
    elif probe_set.per_class:
        place = f"probes[{probe_set.name}].per_class"
        raise ProbeError(Problem(place, "the images have no labels", "name the file with the labels, or leave per_class out"))
    images = Images(np.stack([source.read(index) for index in range(source.num_images)]), labels, source.label_names or ())
    return probes_of(
        images,
        probe_set.name,
        stem=stem,
        per_class=probe_set.per_class,
        provenance=source.provenance,
        licence=source.licence,
    )


def check_readable(probes: Iterable[Probe]) -> None:
    """Decodes every probe; raises one `ProbeError` with all that are damaged, truncated ones included."""
    problems = []
    for probe in probes:
        try:
            probe.read()
        except ProbeError as error:
            problems.extend(error.problems)
    if problems:
        raise ProbeError(problems)
