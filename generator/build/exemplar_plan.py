"""What has to be computed and drawn to find the images of a dataset that excite the units of one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from generator.build import digest
from generator.build.arrays import packed, unpacked
from generator.build.model_plan import ModelPlan, drawing_digest
from generator.build.registry import drawn_files
from generator.build.task import Files, Inputs, Task, Use
from generator.config.views import ExemplarsView
from generator.naming import unique_slugs
from generator.network.graph import Graph, Layer
from generator.probes.datasets import Dataset
from generator.probes.prepare import prepare

IMAGES = "images.npz"


def survey_tasks(plan: ModelPlan, graph: Graph) -> Iterator[Task]:
    """One pass of the dataset through the network, and what each layer's units make of it."""
    settings, dataset = plan.config.views.exemplars, plan.dataset
    if not settings or dataset is None:
        return
    files = _files(plan, graph)
    yield _survey_task(plan, settings, dataset, files)
    yield from (_responses_task(plan, dataset, layer, file) for layer, file in files.items())


def exemplar_tasks(plan: ModelPlan, graph: Graph, shown: Mapping[str, Sequence[int]]) -> Iterator[Task]:
    """Exemplars of the units that are `shown`, by layer: their maps once more, then a drawing a layer."""
    settings, dataset = plan.config.views.exemplars, plan.dataset
    if not settings or dataset is None or not shown:
        return
    layers = {layer.name: layer for layer in plan.layers(graph)}
    files = {name: file for name, file in _files(plan, graph).items() if name in shown}
    yield _recall_task(plan, settings, dataset, layers, files, shown)
    for name, file in files.items():
        yield _exemplars_task(plan, settings, dataset, layers[name], file, shown[name])
    yield _images_task(plan, dataset)


def _files(plan: ModelPlan, graph: Graph) -> dict[str, str]:
    """The file of each layer, in the survey and in what follows."""
    names = [layer.name for layer in plan.layers(graph)]
    return {name: f"{stem}.npz" for name, stem in zip(names, unique_slugs(names, [IMAGES.removesuffix(".npz")]), strict=True)}


def _survey_task(plan: ModelPlan, settings: ExemplarsView, dataset: Dataset, files: Mapping[str, str]) -> Task:
    def run(_: Inputs) -> Files:
        from generator.network.survey import survey
        from generator.network.tally import Picks

        labels = [dataset.label(index) for index in range(len(dataset))] if dataset.info.labels else None
        with plan.network.using() as network:
            found = survey(
                network,
                list(files),
                lambda index: prepare(dataset.read(index), plan.preprocessing).input,
                len(dataset),
                picks=Picks(settings.highest, settings.lowest, settings.spread),
                labels=labels,
                num_classes=len(dataset.info.labels or ()),
            )
        return {files[layer]: packed(one.arrays()) for layer, one in found.items()}

    parameters = {
        **_looking(plan, dataset),
        "layers": digest.of_json(list(files)),
        "picks": digest.of_json([settings.highest, settings.lowest, settings.spread]),
        "code": digest.combine({"modules": digest.of_code("generator.network.survey", "generator.probes"), "glue": _glue()}),
    }
    return Task(plan.task_id("survey"), parameters, lane="compute", run=run)


def _responses_task(plan: ModelPlan, dataset: Dataset, layer: str, file: str) -> Task:
    def run(inputs: Inputs) -> Files:
        from generator.render.drawn import Drawn
        from generator.views.responses import measure

        arrays = unpacked(inputs.read("survey", file))
        names = ("mean", "std", "minimum", "maximum", "active", "edges", "counts", "class_means")
        return drawn_files(Drawn(measure(layer, dataset.info, **{name: arrays[name] for name in names})))

    parameters = {
        "layer": layer,
        "dataset": _description(dataset),
        "code": _code("generator.views.responses"),
        "libraries": digest.of_libraries("numpy"),
    }
    return Task(plan.task_id("responses", layer), parameters, {"survey": Use(plan.task_id("survey"), (file,))}, run=run)


def _recall_task(
    plan: ModelPlan,
    settings: ExemplarsView,
    dataset: Dataset,
    layers: Mapping[str, Layer],
    files: Mapping[str, str],
    shown: Mapping[str, Sequence[int]],
) -> Task:
    """Cuts the exemplars' patches out of their images, with the units' maps on them, which the survey did not keep."""

    def run(inputs: Inputs) -> Files:
        from generator.network.survey import recall
        from generator.views.exemplars import gather

        wanted = {name: _wanted(settings, inputs.read("survey", file), shown[name]) for name, file in files.items()}
        numbers = sorted({int(n) for one in wanted.values() for n in np.unique(one.images) if n >= 0})
        chosen = [layers[name] for name in files]

        pictures: dict[int, np.ndarray] = {}  # of the few images that are read and not yet cut

        def read(index: int) -> np.ndarray:
            prepared = prepare(dataset.read(index), plan.preprocessing)
            pictures[index] = prepared.shown
            return prepared.input

        with plan.network.using() as network:
            pieces, whole = gather(chosen, wanted, recall(network, list(files), read, numbers), pictures.pop)
        made = {files[name]: packed(vars(piece)) for name, piece in pieces.items()}
        return {**made, IMAGES: packed({str(number): image for number, image in whole.items()})}

    parameters = {
        **_looking(plan, dataset),
        "units": digest.of_json({name: list(shown[name]) for name in files}),
        "code": digest.combine(
            {
                "modules": digest.of_code("generator.network.survey", "generator.views.exemplars", "generator.probes"),
                "glue": _glue(),
            }
        ),
        "libraries": digest.of_libraries("numpy", "pillow"),
    }
    uses = {"survey": Use(plan.task_id("survey"), tuple(files.values()))}
    return Task(plan.task_id("recall"), parameters, uses, lane="compute", run=run)


def _exemplars_task(
    plan: ModelPlan, settings: ExemplarsView, dataset: Dataset, layer: Layer, file: str, units: Sequence[int]
) -> Task:
    def run(inputs: Inputs) -> Files:
        from generator.network.tally import Picks
        from generator.views.exemplars import Pieces, draw

        wanted = _wanted(settings, inputs.read("survey", file), units)
        pieces = Pieces(**unpacked(inputs.read("recall", file)))
        quantiles = Picks(settings.highest, settings.lowest, settings.spread).quantiles
        return drawn_files(draw(layer, dataset.info, wanted, pieces, settings.look, quantiles, plan.preprocessing.size_px))

    parameters = {
        "layer": digest.of_json(layer.model_dump(mode="json")),
        "units": digest.of_json(list(units)),
        "settings": digest.of_json(settings.model_dump(mode="json")),
        "dataset": _description(dataset),
        "size": digest.of_json(plan.preprocessing.size_px),
        "code": _code("generator.views.exemplars"),
        "libraries": digest.of_libraries("numpy", "pillow", "matplotlib"),
    }
    uses = {"survey": Use(plan.task_id("survey"), (file,)), "recall": Use(plan.task_id("recall"), (file,))}
    return Task(plan.task_id("exemplars", layer.name), parameters, uses, run=run)


def _images_task(plan: ModelPlan, dataset: Dataset) -> Task:
    def run(inputs: Inputs) -> Files:
        from generator.views.exemplars import draw_images

        whole = {int(number): image for number, image in unpacked(inputs.read("recall", IMAGES)).items()}
        return drawn_files(draw_images(dataset.info, whole, dataset.title, dataset.label, dataset.probe))

    parameters = {
        "images": dataset.fingerprint,
        "dataset": _description(dataset),
        "code": _code("generator.views.exemplars", "generator.probes.datasets"),
        "libraries": digest.of_libraries("numpy", "pillow"),
    }
    return Task(plan.task_id("images"), parameters, {"recall": Use(plan.task_id("recall"), (IMAGES,))}, run=run)


def _wanted(settings: ExemplarsView, survey: bytes, units: Sequence[int]):
    from generator.views.exemplars import Wanted

    arrays = unpacked(survey)
    columns = np.array(units)
    picked = (arrays[name][:, columns] for name in ("images", "values"))
    return Wanted(units, *picked, num_highest=settings.highest, num_lowest=settings.lowest)


def _looking(plan: ModelPlan, dataset: Dataset) -> dict[str, str]:
    """Digests of what decides which images the network computes, and what it makes of them."""
    return {
        **plan.computing(),
        "images": dataset.fingerprint,
        "preprocessing": digest.of_json(plan.preprocessing.model_dump(mode="json")),
    }


def _description(dataset: Dataset) -> str:
    return digest.of_json(dataset.info.model_dump(mode="json"))


def _glue() -> str:
    return digest.of_module(__name__)


def _code(*modules: str) -> str:
    return digest.combine({"modules": drawing_digest(*modules), "glue": _glue()})
