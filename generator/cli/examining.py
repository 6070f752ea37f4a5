"""The command that measures what commonly goes wrong with a network and its input: doctor."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from generator.cli.galleries import arguments_of, gallery_of, names_network
from generator.errors import NetworkError

if TYPE_CHECKING:
    from generator.build.model_plan import ModelPlan
    from generator.doctor.examine import Examination, Images

#: Images of a dataset that are looked at; and of one that has no labels.
_LABELLED, _UNLABELLED = 200, 32


def doctor(options: argparse.Namespace) -> bool:
    """Prints what looks wrong; returns whether anything does."""
    console = Console(stderr=options.json, highlight=False, soft_wrap=True)
    gallery = gallery_of(options, lambda text: console.print(text, markup=False))
    found = {}
    for model in gallery.models:
        found[model.config.name] = _examined(model, _images(model))
        if not options.json:
            _print(console, model.config.name, found[model.config.name])
    if names_network(options) and any(one.findings for one in found.values()):
        arguments = shlex.join(arguments_of(options))
        console.print(f"`cnnscope init {arguments}` makes a configuration to write that into.", markup=False)
    if options.json:
        print(json.dumps({"models": [{"name": name, **asdict(one)} for name, one in found.items()]}))
    return any(one.findings for one in found.values())


def _print(console: Console, name: str, found: Examination) -> None:
    count = len(found.findings)
    wrong = f"{count} things look wrong" if count > 1 else "1 thing looks wrong" if count else "nothing looks wrong"
    right = f", of {found.num_labelled} with a known class {found.num_right} named rightly" if found.num_labelled else ""
    console.print(f"{name}: {wrong} ({found.num_images} images{right})", markup=False)
    for finding in found.findings:
        console.print(f"  {finding.check}: {finding.measured}\n    {finding.means}\n    {finding.fix}", markup=False)


def _examined(model: ModelPlan, images: Images) -> Examination:
    from generator import sources
    from generator.doctor.examine import examine

    loaded = sources.load(model.config.source, model.loaded.base)
    try:
        return examine(loaded, model.network.input_shape, model.preprocessing, model.facts.preprocessing, model.labels, images)
    except NetworkError as error:
        place = model.loaded.place("models", model.index, "source")
        raise NetworkError(replace(p, place=place) if p.place == "network" else p for p in error.problems) from error


def _images(model: ModelPlan) -> Images:
    """Images of the dataset that the model is measured on, many if these are labelled; the probes, too, if they are not."""
    from generator.doctor.examine import Images
    from generator.probes.datasets import evenly

    labels = list(model.labels or ())
    reads = [probe.read for probe in model.probes]
    truth = [labels.index(p.info.label) if p.info.label in labels else None for p in model.probes]
    here = [dataset for dataset in (model.measured_on, model.dataset) if dataset is not None and dataset.is_here]
    for dataset in here[:1]:
        names = dataset.info.labels if dataset.info.labels and set(dataset.info.labels) <= set(labels) else None
        if names:
            reads, truth = [], []  # of which the probes are often part
        known = np.array([dataset.label(number) for number in range(len(dataset))]) if names else None
        for number in evenly(known, len(dataset), _LABELLED if names else _UNLABELLED):
            reads.append(partial(dataset.read, int(number)))
            truth.append(labels.index(names[known[number]]) if names else None)
    return Images(lambda number: reads[number](), tuple(truth))
