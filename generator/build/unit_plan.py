"""What has to be computed and drawn for the units of one model: wires, tuning, and images optimised for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from generator.build import digest
from generator.build.arrays import from_bytes, to_bytes
from generator.build.compute import weights_files
from generator.build.model_plan import INPUT, ModelPlan, drawing_digest
from generator.build.registry import RECORD, drawn_files
from generator.build.stimuli import answers_to_stimuli, stimuli_for
from generator.build.task import Files, Group, Inputs, Task, Use
from generator.build.visualise import LazyVisualiser
from generator.config.views import FeatureVisView
from generator.naming import unique_slugs
from generator.network.graph import Graph, Layer
from generator.records import FeatureVisSetup

#: Wires named on each side of a unit.
NUM_WIRES = 8

IMAGES, NUMBERS = "images.npy", "numbers.json"

#: Units of a layer, by its name.
Chosen = Mapping[str, Sequence[int]]


def structure_tasks(plan: ModelPlan, graph: Graph) -> Iterator[Task]:
    """What does not depend on which units are featured: wires and tuning."""
    yield _wires_task(plan, graph)
    yield _stimuli_task(plan, graph)
    yield _tuning_task(plan, graph)


def feature_vis_tasks(plan: ModelPlan, graph: Graph, chosen: Chosen) -> Iterator[Task]:
    """An image for every chosen unit, and a drawing of those of each layer."""
    settings = plan.config.views.feature_vis
    if not settings:
        return
    visualiser = LazyVisualiser(plan.network, settings, plan.preprocessing)
    for layer, units in chosen.items():
        tasks = [_visualise_task(plan, settings, visualiser, layer, unit) for unit in units]
        yield from tasks
        yield _feature_vis_task(plan, settings, layer, tasks)


def _wires_task(plan: ModelPlan, graph: Graph) -> Task:
    files = weights_files(graph)
    read = {layer: (kernel, scale) for layer, (kernel, scale, _) in files.items()}

    def run(inputs: Inputs) -> Files:
        from generator.views.wires import wires

        weights = {layer: tuple(from_bytes(inputs.read("network", file)) for file in names) for layer, names in read.items()}
        found = wires(graph, weights, NUM_WIRES, NUM_WIRES)
        return {RECORD: json.dumps({name: one.model_dump(mode="json") for name, one in found.items()}).encode()}

    parameters = {
        "graph": digest.of_json(graph.model_dump(mode="json")),
        "number": str(NUM_WIRES),
        "code": _code("generator.views.wires"),
        "libraries": digest.of_libraries("numpy"),
    }
    uses = {"network": Use(plan.task_id("network"), tuple(file for names in read.values() for file in names))}
    return Task(plan.task_id("wires"), parameters, uses, run=run)


def _stimuli_task(plan: ModelPlan, graph: Graph) -> Task:
    """Answers to the tuning stimuli, a file a layer."""
    files = _answer_files(plan.layers(graph))

    def run(_: Inputs) -> Files:
        with plan.network.using() as network:
            answers = answers_to_stimuli(network, list(files), plan.preprocessing)
        return {files[layer]: to_bytes(found) for layer, found in answers.items()}

    parameters = {
        **plan.computing(),
        "layers": digest.of_json(list(files)),
        "code": digest.of_code("generator.build.stimuli"),
        "preprocessing": digest.of_json(plan.preprocessing.model_dump(mode="json")),
    }
    return Task(plan.task_id("stimuli"), parameters, lane="compute", run=run)


def _tuning_task(plan: ModelPlan, graph: Graph) -> Task:
    files = _answer_files(plan.layers(graph))

    def run(inputs: Inputs) -> Files:
        from generator.views.tuning import tuning

        stimuli = stimuli_for(plan.preprocessing)
        curves = (stimuli.kind, stimuli.series, stimuli.angle_deg)
        found = {layer: tuning(layer, from_bytes(inputs.read("stimuli", file)), *curves) for layer, file in files.items()}
        return {RECORD: json.dumps({name: one.model_dump(mode="json") for name, one in found.items()}).encode()}

    parameters = {
        "layers": digest.of_json(list(files)),
        "preprocessing": digest.of_json(plan.preprocessing.model_dump(mode="json")),
        "code": _code("generator.views.tuning", "generator.build.stimuli"),
        "libraries": digest.of_libraries("numpy"),
    }
    uses = {"stimuli": Use(plan.task_id("stimuli"), tuple(files.values()))}
    return Task(plan.task_id("tuning"), parameters, uses, run=run)


def _visualise_task(plan: ModelPlan, settings: FeatureVisView, visualiser: LazyVisualiser, layer: str, unit: int) -> Task:
    made = settings.model_dump(mode="json", exclude={"select"})

    natural = settings.parameterisation == "maco"
    probes = [plan.task_id("probe", probe.info.name) for probe in plan.probes] if natural else []

    def run(works: Sequence[tuple[str, int]], inputs: Inputs) -> list[Files]:
        found, setup = visualiser.units(works, lambda: np.stack([from_bytes(inputs.read(name, INPUT)) for name in probes]))
        return [
            {
                IMAGES: to_bytes(one.images),
                NUMBERS: json.dumps(
                    {
                        "setup": setup.model_dump(mode="json"),
                        "excited": one.excited,
                        "start": one.start,
                        "reached": one.reached,
                        "lowest": one.lowest,
                    }
                ).encode(),
            }
            for one in found
        ]

    parameters = {
        **plan.computing(),
        "settings": digest.of_json(made),
        "preprocessing": digest.of_json(plan.preprocessing.model_dump(mode="json")),
        "code": digest.of_code("generator.build.visualise", "generator.build.compute"),
        "optax": digest.of_libraries("optax"),
    }
    uses = {name: Use(name, (INPUT,)) for name in probes}
    group = Group(plan.task_id("visualise", layer), visualiser.units_at_a_time, run)
    return Task.in_group(plan.task_id("visualise", layer, f"u{unit}"), parameters, uses, group, (layer, unit))


def _feature_vis_task(plan: ModelPlan, settings: FeatureVisView, layer: str, units: Sequence[Task]) -> Task:
    def run(inputs: Inputs) -> Files:
        from generator.views.feature_vis.draw import Visualised, draw

        found, setup = [], None
        for task in units:
            numbers = json.loads(inputs.read(task.id, NUMBERS))
            setup = FeatureVisSetup.model_validate(numbers.pop("setup"))
            found.append(Visualised(unit=task.work[1], images=from_bytes(inputs.read(task.id, IMAGES)), **numbers))
        return drawn_files(draw(layer, setup, found, settings.negative))

    parameters = {
        "layer": layer,
        "units": digest.of_json([task.work[1] for task in units]),
        "negative": str(settings.negative),
        "code": _code("generator.views.feature_vis.draw"),
        "libraries": digest.of_libraries("numpy", "pillow"),
    }
    uses = {task.id: Use(task.id, (IMAGES, NUMBERS)) for task in units}
    return Task(plan.task_id("feature_vis", layer), parameters, uses, run=run)


def _answer_files(layers: Sequence[Layer]) -> dict[str, str]:
    names = [layer.name for layer in layers]
    return {name: f"{stem}.npy" for name, stem in zip(names, unique_slugs(names), strict=True)}


def _code(*modules: str) -> str:
    return digest.combine({"modules": drawing_digest(*modules), "glue": digest.of_module(__name__)})
