"""What a gallery is started with: a network, its images, and all that had to be guessed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from generator import sources
from generator.config.sources import SourceConfig
from generator.errors import ConfigError, Problem
from generator.naming import slug
from generator.network.graph import Graph
from generator.probes.shipped import DATASETS
from generator.sources import SourceFacts
from generator.starting.images import Images, chosen_probes, look_at
from generator.starting.networks import Named, source_of
from generator.starting.paths import as_written

#: Probes that are shown of one's own images; images from which on these serve as a dataset too.
MOST_PROBES, ENOUGH_FOR_DATASET = 12, 32
#: Kinds of pictures that ship, by their section in `probes:`.
_PHOTOGRAPHS = ["cat", "coffee", "rocket", "astronaut", "coins", "horse", "retina", "hubble"]
_STIMULI = ["grating-0", "grating-45", "grating-90", "edge-diagonal", "zone-plate", "dots", "checkerboard", "noise"]


@dataclass(frozen=True)
class Start:
    """source: as below `source:`. probe_sets: as below `probes:`. probes: which of them, as the model names them.

    dataset: as below `datasets:`; num_images: of it, 0 where it needs no limit. classes: names of the class folders.
    labels: what stands below `labels:`, a file or class names; num_labels: how many there are, or the source has.
    guesses, label_guesses: a sentence each. notes: likewise, of what does not fit.
    """

    about: str
    source: dict[str, Any]
    facts: SourceFacts
    probe_sets: tuple[dict[str, Any], ...]
    probes: tuple[str, ...]
    dataset: dict[str, Any]
    num_images: int
    classes: tuple[str, ...] | None
    labels: str | tuple[str, ...] | None
    num_labels: int | None
    guesses: tuple[str, ...]
    label_guesses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return slug(self.facts.title)


def start(named: Named, images: str | None, dataset: str | None, labels: str | None, base: Path) -> Start:
    """Everything but the size, which needs the network's graph.

    images, dataset, labels: as on the command line. base: the folder of the configuration. Raises `UserError` with what is
    wrong. The network is described, not loaded.
    """
    source, guesses = source_of(named, base)
    facts = sources.describe(TypeAdapter(SourceConfig).validate_python(source), base)
    many = look_at(dataset, "--dataset", base) if dataset is not None else None
    shown = look_at(images, "--images", base) if images is not None else None
    probe_sets, probes = _probes(shown or many, source, facts, base)
    many = many or (shown if shown and shown.num_images >= ENOUGH_FOR_DATASET else None)
    section, num_images = _dataset(many, probe_sets, probes)
    given = None if labels is None else as_written(labels, base)
    return Start(
        about=Path(named.text).name,
        source=source,
        facts=facts,
        probe_sets=probe_sets,
        probes=probes,
        dataset=section,
        num_images=num_images,
        classes=many.classes if many else shown.classes if shown else None,
        labels=given,
        num_labels=_num_lines(labels) if labels is not None else len(facts.labels) if facts.labels else None,
        guesses=(*guesses, *facts.guesses),
        notes=tuple(dict.fromkeys(found.note for found in (shown, many) if found and found.note)),
    )


def _probes(
    images: Images | None, source: dict[str, Any], facts: SourceFacts, base: Path
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    if images is not None:
        names = chosen_probes(images, MOST_PROBES, base)
        return ({"name": "images", **images.section},), ("images",) if names is None else tuple(f"images/{n}" for n in names)
    if source["kind"] == "zoo" and source["name"] in DATASETS:
        return ({"name": "images", "kind": "zoo", "model": source["name"], "per_class": 2},), ("images",)
    stimuli = {"name": "stimuli", "kind": "synthetic", "images": _STIMULI, "size_px": max(16, min(facts.input_shape[:2]))}
    stimuli["size_px"] = min(stimuli["size_px"], 1024)
    if facts.input_shape[2] == 1:
        return (stimuli,), ("stimuli",)
    photographs = {"name": "photographs", "kind": "photographs", "images": _PHOTOGRAPHS}
    return (photographs, stimuli), ("photographs", "stimuli")


def _dataset(
    images: Images | None, probe_sets: tuple[dict[str, Any], ...], probes: tuple[str, ...]
) -> tuple[dict[str, Any], int]:
    """What stands below `datasets:`, and how many images there are before a limit; 0 where they are pieces of the probes."""
    if images is not None:
        return {"name": "dataset", "title": images.title, **images.section}, images.num_images
    if probe_sets[0]["kind"] == "zoo":
        return {"name": "dataset", "kind": "zoo", "model": probe_sets[0]["model"]}, 0
    pieces = probes[:1] if probe_sets[0]["kind"] == "photographs" else probes
    return {"name": "dataset", "kind": "crops", "probes": list(pieces), "per_image": 64}, 0


def _num_lines(labels: str) -> int:
    try:
        lines = Path(labels).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        rule = f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
        raise ConfigError(Problem(f"--labels {labels}", rule, "give a text file with a class a line")) from error
    return sum(bool(line.strip()) for line in lines)


def num_classes(graph: Graph) -> int | None:
    """How many classes a network tells apart; None for one whose output is no vector."""
    shape = graph.by_name[graph.outputs[0]].shape if graph.outputs and graph.outputs[0] in graph.by_name else ()
    return shape[0] if len(shape) == 1 and shape[0] > 1 else None


def with_classes(begun: Start, graph: Graph) -> Start:
    """With class names from folders, where these fit the network. Raises `ConfigError` for labels that do not."""
    outputs = num_classes(graph)
    if isinstance(begun.labels, str) and outputs and begun.num_labels != outputs:
        rule = f"{begun.num_labels} names for a network with {outputs} outputs"
        raise ConfigError(Problem(f"--labels {begun.labels}", rule, "give one for each output, in their order"))
    if begun.classes and begun.num_labels is None and len(begun.classes) == outputs:
        guess = f"the {outputs} folders are the classes, in the order of the alphabet, as there are {outputs} outputs"
        return replace(begun, labels=begun.classes, label_guesses=(guess,))
    if begun.classes and begun.facts.labels and not begun.labels and not set(begun.classes) <= set(begun.facts.labels):
        note = "The folders' names are none of the network's classes, so that accuracy is not measured: rename them."
        return replace(begun, notes=(*begun.notes, note))
    if begun.classes and begun.num_labels is None and outputs:
        note = f"{len(begun.classes)} folders for {outputs} outputs: the classes stay without names; give --labels."
        return replace(begun, notes=(*begun.notes, note))
    return begun
