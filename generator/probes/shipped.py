"""Test images that ship with the models of the zoo, as `generator/zoo/data/<model>/probes.npz`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from generator.config.schema import ZooProbes
from generator.errors import ProbeError, Problem, did_you_mean
from generator.probes.archive import probes_of, read_archive
from generator.probes.probe import Probe


@dataclass(frozen=True)
class _Dataset:
    provenance: str
    licence: str


DATASETS = {"fashion_cnn": _Dataset("Fashion-MNIST test set (Xiao, Rasul and Vollgraf 2017)", "MIT")}


def list_shipped(probe_set: ZooProbes) -> tuple[Probe, ...]:
    """The images of a model, class by class. Raises `ProbeError` for a model without any."""
    place = f"probes[{probe_set.name}].model"
    if probe_set.model not in DATASETS:
        message = f"no images ship with a model {probe_set.model!r}"
        raise ProbeError(Problem(place, message, did_you_mean(probe_set.model, DATASETS)))
    file = resources.files("generator") / "zoo" / "data" / probe_set.model / "probes.npz"
    if not file.is_file():
        raise ProbeError(Problem(place, f"{file} is missing", "install CNNscope again"))
    dataset = DATASETS[probe_set.model]
    with file.open("rb") as stream:
        images = read_archive(stream, str(file))
    return probes_of(
        images,
        probe_set.name,
        stem=probe_set.model,
        per_class=probe_set.per_class,
        provenance=dataset.provenance,
        licence=dataset.licence,
    )
