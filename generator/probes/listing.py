"""A probe set of the config to its probes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from generator.config.schema import FolderProbes, NpzProbes, PhotographsProbes, ProbeSetConfig, SyntheticProbes, ZooProbes
from generator.errors import ProbeError
from generator.probes.archive import list_npz
from generator.probes.folder import list_folder
from generator.probes.photographs import list_photographs
from generator.probes.probe import Probe
from generator.probes.shipped import list_shipped
from generator.probes.synthetic import list_synthetic


def list_probes(probe_set: ProbeSetConfig, base: Path) -> tuple[Probe, ...]:
    """The probes of a set, without decoding photographs; names are unique within the set.

    base: the folder that paths are relative to, the config's. Raises `ProbeError` with everything that is wrong.
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
        case ZooProbes():
            return list_shipped(probe_set)


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
