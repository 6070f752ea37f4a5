"""What has to be computed to tell which units of a model are dead or redundant, and how its classes differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from generator.build import digest
from generator.build.arrays import packed, unpacked
from generator.build.health_plan import health_tasks
from generator.build.measuring import NAMED, THUMBNAILS, Measuring, code
from generator.build.model_plan import ModelPlan
from generator.build.registry import RECORD, drawn_files
from generator.build.task import Files, Inputs, Task, Use
from generator.config.views import ClassesView
from generator.network.graph import Graph
from generator.probes.prepare import prepare


def findings_tasks(plan: ModelPlan, graph: Graph) -> Iterator[Task]:
    """Nothing for a model without a dataset."""
    views = plan.config.views
    if plan.measured_on is None or not (views.health or views.classes):
        return
    measuring = Measuring(plan, graph, plan.measured_on)
    yield _census_task(measuring)
    if views.health:
        yield from health_tasks(measuring, views.health)
    if views.classes and measuring.outputs_of_classes is not None:
        yield _classes_task(measuring, views.classes)
        yield _thumbnails_task(measuring)
        yield _images_task(measuring)


def _census_task(measuring: Measuring) -> Task:
    plan, num_images = measuring.plan, len(measuring.dataset)

    def run(_: Inputs) -> Files:
        from generator.network.census import census

        truth = measuring.truth(range(num_images))
        num_classes = len(plan.labels or ()) if truth else 0
        layers = list(measuring.files)
        with plan.network.using() as network:
            found, named = census(network, layers, measuring.read, num_images, labels=truth, num_classes=num_classes)
        made = {measuring.files[layer]: packed(one.arrays()) for layer, one in found.items()}
        return made if named is None else {**made, NAMED: packed(named.arrays())}

    parameters = {**measuring.looking(), "code": code(__name__, "generator.network.census", "generator.probes")}
    return Task(measuring.task_id("census"), parameters, lane="compute", run=measuring.or_shipped("census", run))


def _classes_task(measuring: Measuring, settings: ClassesView) -> Task:
    def run(inputs: Inputs) -> Files:
        from generator.views.classes import compare

        found = compare(
            measuring.info,
            measuring.plan.labels,
            {layer: unpacked(inputs.read("census", file)) for layer, file in measuring.files.items()},
            unpacked(inputs.read("census", NAMED)),
            outputs=measuring.graph.outputs,
            num_units=settings.num_units,
            num_pairs=settings.num_pairs,
        )
        return {RECORD: found.model_dump_json().encode()}

    parameters = {
        "settings": digest.of_json(settings.model_dump(mode="json")),
        "measured": digest.of_json(measuring.info.model_dump(mode="json")),
        "layers": digest.of_json([*measuring.layers]),
        "labels": digest.of_json(measuring.plan.labels),
        "code": code(__name__, "generator.views.classes"),
        "libraries": digest.of_libraries("numpy", "scipy"),
    }
    uses = {"census": Use(measuring.task_id("census"), (*measuring.files.values(), NAMED))}
    return Task(measuring.task_id("classes"), parameters, uses, run=run)


def _thumbnails_task(measuring: Measuring) -> Task:
    """The images that stand for cells of the confusion matrix, as the network sees them."""

    def run(inputs: Inputs) -> Files:
        numbers = np.unique(unpacked(inputs.read("census", NAMED))["examples"])
        pictures = {
            str(n): prepare(measuring.dataset.read(int(n)), measuring.plan.preprocessing).shown for n in numbers if n >= 0
        }
        return {THUMBNAILS: packed(pictures)}

    parameters = {**measuring.looking(), "code": code(__name__, "generator.probes")}
    uses = {"census": Use(measuring.task_id("census"), (NAMED,))}
    kind = "class_thumbnails"
    return Task(measuring.task_id(kind), parameters, uses, lane="compute", run=measuring.or_shipped(kind, run))


def _images_task(measuring: Measuring) -> Task:
    dataset, labels = measuring.dataset, measuring.plan.labels

    def run(inputs: Inputs) -> Files:
        from generator.views.exemplars import draw_images

        examples = unpacked(inputs.read("census", NAMED))["examples"]
        classes = {int(number): label for label, row in enumerate(examples) for number in row.ravel()}
        whole = {int(number): image for number, image in unpacked(inputs.read("thumbnails", THUMBNAILS)).items()}
        info = dataset.info.model_copy(update={"labels": labels})
        return drawn_files(draw_images(info, whole, dataset.title, classes.get, dataset.probe))

    parameters = {
        "dataset": digest.of_json(dataset.info.model_dump(mode="json")),
        "labels": digest.of_json(labels),
        "code": code(__name__, "generator.views.exemplars"),
        "libraries": digest.of_libraries("numpy", "pillow"),
    }
    uses = {
        "census": Use(measuring.task_id("census"), (NAMED,)),
        "thumbnails": Use(measuring.task_id("class_thumbnails"), (THUMBNAILS,)),
    }
    return Task(measuring.task_id("class_images"), parameters, uses, run=run)
