"""From stored artifacts to records whose pictures already point to files of the site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

from pydantic import TypeAdapter

from generator.build.model_plan import ModelPlan
from generator.build.registry import LAYER_VIEWS, MAP_VIEWS, RECORD
from generator.build.selection import pages_of_units
from generator.build.store import Artifact
from generator.network.graph import Graph
from generator.pages.content import ModelContent
from generator.records import (
    Classes,
    DatasetImages,
    Exemplars,
    FeatureVis,
    Health,
    Predictions,
    ProbePictures,
    Record,
    Responses,
    Tuning,
    Wires,
)
from generator.views.quirks import quirks

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Pictures:
    """Reads records and names their pictures by content. places: task and file of every picture met, by path in the site."""

    def __init__(self, artifacts: Mapping[str, Artifact]):
        self.artifacts = artifacts
        self.places: dict[str, tuple[str, str]] = {}

    def record(self, task: str, file: str, kind: type[AnyRecord]) -> AnyRecord:
        """The record `file` of `task`, its pictures renamed to paths from the site's root."""
        artifact = self.artifacts[task]
        names = {name: f"img/{value[:20]}{PurePath(name).suffix}" for name, value in artifact.files.items()}
        data = json.loads(artifact.read(file))
        for name in _relocate(data, names):
            self.places[names[name]] = (task, name)
        return kind.model_validate(data)

    def records(self, task: str, file: str, kind: type[AnyRecord]) -> dict[str, AnyRecord]:
        """The records by name in `file` of `task`, which have no pictures."""
        return TypeAdapter(dict[str, kind]).validate_json(self.artifacts[task].read(file))


def _relocate(data: Any, names: Mapping[str, str]) -> Iterable[str]:
    """Replace every picture's file name in place; returns the names that occurred."""
    found = []
    front = [data]
    while front:
        value = front.pop()
        if isinstance(value, list):
            front += value
        elif isinstance(value, dict):
            if isinstance(value.get("file"), str) and value["file"] in names:
                found.append(value["file"])
                value["file"] = names[value["file"]]
            front += value.values()
    return found


def model_content(model: ModelPlan, graph: Graph, featured: Mapping[str, Sequence[int]], pictures: Pictures) -> ModelContent:
    """What pages show of one model. featured: units by layer."""
    choice = model.choice(graph)
    layers = choice.layers
    view_tasks = list(model.view_tasks(graph))
    found = {}
    for view in (*LAYER_VIEWS, *MAP_VIEWS):
        tasks = [task for task in view_tasks if task.id.startswith(f"{view.name}:")]
        found[view.name] = [pictures.record(task.id, RECORD, view.record) for task in tasks]
    names = [probe.info.name for probe in model.probes]
    predicted = {name: pictures.record(model.task_id("predictions", name), RECORD, Predictions) for name in names}
    pages = pages_of_units(model, graph, featured)

    def by_layer(kind: str, record: type[AnyRecord]) -> dict[str, AnyRecord]:
        """Of those layers that have one."""
        tasks = {layer.name: model.task_id(kind, layer.name) for layer in layers}
        return {name: pictures.record(task, RECORD, record) for name, task in tasks.items() if task in pictures.artifacts}

    def one(kind: str, record: type[AnyRecord]) -> AnyRecord | None:
        """Of the model, if it has one."""
        task = model.task_id(kind)
        return pictures.record(task, RECORD, record) if task in pictures.artifacts else None

    tuning, exemplars = pictures.records(model.task_id("tuning"), RECORD, Tuning), by_layer("exemplars", Exemplars)
    health, classes = one("health", Health), one("classes", Classes)
    labels = {probe.info.name: probe.info.label for probe in model.probes}
    return ModelContent(
        info=model.info(graph),
        graph=graph,
        labels=model.labels,
        layers=tuple(layer.name for layer in layers),
        choice=choice.sentence,
        filters={record.layer: record for record in found["filters"]},
        feature_maps=found["feature_maps"],
        probes=tuple(pictures.record(model.probe_task(probe).id, RECORD, ProbePictures) for probe in model.probes),
        predictions={name: record for name, record in predicted.items() if record.top},
        feature_vis=by_layer("feature_vis", FeatureVis),
        exemplars=exemplars,
        responses=by_layer("responses", Responses),
        images=one("images", DatasetImages),
        health=health,
        classes=classes,
        class_images=one("class_images", DatasetImages),
        quirks=quirks(health, classes, predicted, labels, tuning, exemplars, [layer.name for layer in layers]),
        tuning=tuning,
        wires=pictures.records(model.task_id("wires"), RECORD, Wires),
        unit_pages=pages,
    )
