"""What has to be computed to tell which units of a model are dead or redundant, and what happens without them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from generator.build import digest
from generator.build.arrays import from_bytes, packed, unpacked
from generator.build.compute import weights_files
from generator.build.measuring import EFFECTS, FAULTS, IMPORTANCE, NAMED, Measuring, code
from generator.build.registry import RECORD
from generator.build.task import Files, Inputs, Task, Use
from generator.config.views import HealthView
from generator.network.graph import INPUT
from generator.probes.datasets import evenly
from generator.records import Health, LayerHealth


def health_tasks(measuring: Measuring, settings: HealthView) -> Iterator[Task]:
    tried = _tried(measuring, settings)
    yield _importance_task(measuring, settings, tried)
    yield _faults_task(measuring, settings)
    yield _removals_task(measuring, settings, tried)
    yield _health_task(measuring, settings, len(tried))


def _tried(measuring: Measuring, settings: HealthView) -> np.ndarray:
    """The images that removals are tried on; for those that came with the model only their number counts."""
    dataset = measuring.dataset
    known = dataset.is_here and measuring.outputs_of_classes is not None
    labels = np.array([dataset.label(number) for number in range(len(dataset))]) if known else None
    return evenly(labels, len(dataset), settings.tried_on)


def _judged(measuring: Measuring) -> list[str]:
    """Layers whose units may go one by one: others only pass on what those say, and outputs are the classes themselves."""
    return [name for name, layer in measuring.layers.items() if layer.has_kernel and name not in measuring.graph.outputs]


def _importance_task(measuring: Measuring, settings: HealthView, tried: np.ndarray) -> Task:
    judged = _judged(measuring) if settings.shares else []

    def run(_: Inputs) -> Files:
        from generator.network.ablation import importance

        if not judged:
            return {IMPORTANCE: packed({})}
        with measuring.plan.network.using() as network:
            found = importance(network, judged, lambda number: measuring.read(tried[number]), len(tried))
        return {IMPORTANCE: packed({str(judged.index(name)): one for name, one in found.items()})}

    parameters = {
        **measuring.looking(),
        "tried": digest.of_json([settings.tried_on, judged]),
        "code": code(__name__, "generator.network.ablation", "generator.probes"),
    }
    kind = "importance"
    return Task(measuring.task_id(kind), parameters, lane="compute", run=measuring.or_shipped(kind, run))


def _faults_task(measuring: Measuring, settings: HealthView) -> Task:
    """What is wrong with the units of each layer that has kernels: others repeat what those say."""
    weights = {name: files for name, files in weights_files(measuring.graph).items() if name in measuring.layers}
    layers = {name: measuring.layers[name] for name in weights}
    judged, outputs = _judged(measuring), measuring.graph.outputs

    def run(inputs: Inputs) -> Files:
        from generator.views.health import Thresholds, measure

        slopes = unpacked(inputs.read("importance", IMPORTANCE))
        found = []
        for name, layer in layers.items():
            kernels = tuple(from_bytes(inputs.read("network", file)) for file in weights[name])
            layer_health = measure(
                layer,
                unpacked(inputs.read("census", measuring.files[name])),
                len(measuring.dataset),
                kernels,
                sees_image=layer.inputs == (INPUT,),
                is_output=name in outputs,
                importance=slopes.get(str(judged.index(name))) if name in judged else None,
                thresholds=Thresholds(rare=settings.rare, alike=settings.alike),
            )
            found.append(layer_health.model_dump(mode="json"))
        return {FAULTS: json.dumps(found).encode()}

    parameters = {
        "layers": digest.of_json([layer.model_dump(mode="json") for layer in layers.values()]),
        "settings": digest.of_json([settings.rare, settings.alike, len(measuring.dataset)]),
        "code": code(__name__, "generator.views.health"),
        "libraries": digest.of_libraries("numpy"),
    }
    uses = {
        "census": Use(measuring.task_id("census"), tuple(measuring.files[name] for name in layers)),
        "importance": Use(measuring.task_id("importance"), (IMPORTANCE,)),
        "network": Use(measuring.task_id("network"), tuple(file for files in weights.values() for file in files)),
    }
    return Task(measuring.task_id("faults"), parameters, uses, run=run)


def _removals_task(measuring: Measuring, settings: HealthView, tried: np.ndarray) -> Task:
    def run(inputs: Inputs) -> Files:
        from generator.network.ablation import ablate
        from generator.views.removals import experiments

        wanted = [one.units for one in experiments(_faults(inputs), settings.shares, measuring.graph.outputs)]
        if not wanted:
            return {EFFECTS: packed({})}
        with measuring.plan.network.using() as network:
            read = lambda number: measuring.read(tried[number])  # noqa: E731
            found = ablate(network, wanted, read, len(tried), labels=measuring.truth(tried))
        return {EFFECTS: packed({name: np.asarray(value) for name, value in vars(found).items()})}

    parameters = {
        **measuring.looking(),
        "tried": digest.of_json([settings.tried_on, list(settings.shares)]),
        "code": code(__name__, "generator.network.ablation", "generator.views.removals", "generator.probes"),
    }
    uses = {"faults": Use(measuring.task_id("faults"), (FAULTS,))}
    return Task(measuring.task_id("removals"), parameters, uses, lane="compute", run=measuring.or_shipped("removals", run))


def _health_task(measuring: Measuring, settings: HealthView, num_tried: int) -> Task:
    labelled = measuring.outputs_of_classes is not None

    def run(inputs: Inputs) -> Files:
        from generator.views.health import Thresholds
        from generator.views.removals import experiments, removals

        found, effects = _faults(inputs), unpacked(inputs.read("removals", EFFECTS))
        wanted = experiments(found, settings.shares, measuring.graph.outputs)
        accuracy = None
        if labelled:
            confusion = unpacked(inputs.read("named", NAMED))["confusion"]
            accuracy = float(confusion.trace() / confusion.sum())
        record = Health(
            measured=measuring.info,
            thresholds=Thresholds(rare=settings.rare, alike=settings.alike).named(),
            accuracy=accuracy,
            layers=tuple(found),
            removals=removals(wanted, effects, num_tried, num_tried if labelled else 0) if wanted else (),
        )
        return {RECORD: record.model_dump_json().encode()}

    parameters = {
        "settings": digest.of_json(settings.model_dump(mode="json")),
        "measured": digest.of_json(measuring.info.model_dump(mode="json")),
        "outputs": digest.of_json([*measuring.graph.outputs]),
        "code": code(__name__, "generator.views.health", "generator.views.removals"),
    }
    uses = {
        "faults": Use(measuring.task_id("faults"), (FAULTS,)),
        "removals": Use(measuring.task_id("removals"), (EFFECTS,)),
        **({"named": Use(measuring.task_id("census"), (NAMED,))} if labelled else {}),
    }
    return Task(measuring.task_id("health"), parameters, uses, run=run)


def _faults(inputs: Inputs) -> list[LayerHealth]:
    return [LayerHealth.model_validate(one) for one in json.loads(inputs.read("faults", FAULTS))]
