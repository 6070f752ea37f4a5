"""A gallery from its configuration to its site: the whole flow in order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from generator import probes
from generator.build import digest, exemplar_plan, findings_plan, selection, site, unit_plan
from generator.build.compute import GRAPH
from generator.build.content import Pictures, model_content
from generator.build.model_plan import ModelPlan, plan_model
from generator.build.registry import FINDINGS, LAYER_VIEWS, MAP_VIEWS, RECORD, UNIT_VIEWS
from generator.build.run import Runner, Status, statuses
from generator.build.selection import Choice, Featured, NotMeasured, pages_of_units
from generator.build.store import Artifact, DamagedArtifact, Store
from generator.build.task import Files, Inputs, Task, Use
from generator.build.together import together
from generator.config.datasets import DatasetConfig
from generator.config.load import LoadedConfig
from generator.config.schema import ProbeSetConfig
from generator.network.graph import Graph
from generator.pages.assets import assets, templates_digest
from generator.pages.content import GalleryContent, Page
from generator.pages.outline import outline
from generator.pages.rendering import render
from generator.probes import Probe
from generator.probes.datasets import Dataset, open_dataset
from generator.probes.download import Report, silent
from generator.records import ColorTable

OUTLINE = "outline.json"
HTML = "page.html"
TABLES = "tables.json"
#: Besides this module, what brings results to pages.
GLUE = ("generator.build.content", "generator.build.selection", "generator.build.registry")
LIBRARIES = ("jax", "flax", "numpy", "matplotlib", "pillow", "jinja2", "pydantic")


@dataclass(frozen=True)
class Summary:
    """What a build did. seconds: wall time. bytes: of the whole site. written, removed: files of the site that changed."""

    tasks_total: int
    tasks_run: int
    seconds: float
    pages: int
    bytes: int
    written: int
    removed: int


class Gallery:
    """The gallery of one configuration. Making one finds weights and probes and reports all that is wrong with them at once."""

    def __init__(self, loaded: LoadedConfig, store: Store, downloading: Report = silent):
        self.loaded, self.store = loaded, store
        self.models = _plan_models(loaded, store, downloading)
        self._lock = threading.Lock()
        self._pages: dict[str, Page] | None = None
        self._pictures: dict[str, tuple[str, str]] = {}

    # -- commands -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises `UserError` with every probe that cannot be read and, for networks traced before, every unknown layer."""
        probes.check_readable({probe.fingerprint: probe for model in self.models for probe in model.probes}.values())
        self._check_layers(self.stored_graphs())

    def graphs(self, runner: Runner) -> dict[str, Graph]:
        """The traced graph of every model, by name; traced now where the store has none."""
        runner.run([model.network_task() for model in self.models])
        return {
            model.config.name: Graph.model_validate_json(runner.read(model.network_task().id, GRAPH)) for model in self.models
        }

    def stored_graphs(self) -> dict[str, Graph]:
        """The graphs of the models that were traced before, by name."""
        found: dict[str, Artifact] = {}
        statuses([model.network_task() for model in self.models], self.store, found)
        read = {model.config.name: self._read(found.get(model.network_task().id), GRAPH) for model in self.models}
        return {name: Graph.model_validate_json(graph) for name, graph in read.items() if graph is not None}

    def statuses(self) -> list[Status]:
        """Where every task stands, as far as it can be told: what follows from results that are not there yet is left out."""
        artifacts: dict[str, Artifact] = {}
        graphs = self.stored_graphs()
        found = statuses([model.network_task() for model in self.models] + self._probe_tasks(), self.store, artifacts)
        if len(graphs) < len(self.models):
            return found
        self._check_layers(graphs)
        found += statuses(self._view_tasks(graphs), self.store, artifacts)
        featured = self._featured(graphs, artifacts)
        if featured is None:
            return found
        found += statuses([*self._unit_tasks(graphs, featured), self._outline_task(graphs, featured)], self.store, artifacts)
        outlined = self._read(artifacts.get("outline"), OUTLINE)
        if outlined is None:
            return found
        pages = self._page_tasks(json.loads(outlined), graphs, featured, artifacts)
        return found + statuses(pages, self.store, artifacts)

    def _read(self, artifact: Artifact | None, file: str) -> bytes | None:
        """A file of a stored result; a damaged result is as good as none, and is removed."""
        try:
            return artifact.read(file) if artifact else None
        except DamagedArtifact:
            self.store.discard(artifact.key)
            return None

    def build(self, out: Path, runner: Runner, on_wait: Callable[[], None]) -> Summary:
        """Bring the site in `out` up to date. Raises `UserError`; whatever was computed by then stays in the store."""
        started = time.monotonic()
        with site.locked(out, on_wait):
            self._check_new_probes()
            graphs = self.graphs(runner)
            self._check_layers(graphs)
            runner.run([*self._probe_tasks(), *self._view_tasks(graphs)])
            featured = self._featured(graphs, runner.artifacts) or {}
            runner.run(self._unit_tasks(graphs, featured))
            runner.run([self._outline_task(graphs, featured)])
            plan = json.loads(runner.read("outline", OUTLINE))
            pages = self._page_tasks(plan, graphs, featured, runner.artifacts)
            runner.run(pages)
            synced = site.sync(out, self._site_files(plan, runner))
        return Summary(
            tasks_total=runner.num_tasks,
            tasks_run=len({reason.task for reason in runner.ran}),
            seconds=round(time.monotonic() - started, 3),
            pages=sum(path.endswith(".html") for path in plan["pages"]),
            bytes=synced.num_bytes,
            written=len(synced.written),
            removed=len(synced.removed),
        )

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _probe_tasks(self) -> list[Task]:
        """What does not need a network's graph: the probes, and the colormaps."""
        tables = Task(
            "colormaps", {"code": digest.of_code("generator.render.colormaps"), **_libraries("matplotlib")}, run=_tables
        )
        probe_tasks = [model.probe_task(probe) for model in self.models for probe in model.probes]
        return [tables, *probe_tasks]

    def _view_tasks(self, graphs: Mapping[str, Graph]) -> list[Task]:
        """What follows from a network's graph alone."""
        return [
            task
            for model, graph in self._models(graphs)
            for task in (
                *model.view_tasks(graph),
                *unit_plan.structure_tasks(model, graph),
                *exemplar_plan.survey_tasks(model, graph),
                *findings_plan.findings_tasks(model, graph),
            )
        ]

    def _unit_tasks(self, graphs: Mapping[str, Graph], featured: Featured) -> list[Task]:
        """What follows from the choice of units."""
        return [
            task
            for model, graph in self._models(graphs)
            for task in (
                *unit_plan.feature_vis_tasks(model, graph, featured[model.config.name]),
                *exemplar_plan.exemplar_tasks(model, graph, pages_of_units(model, graph, featured[model.config.name])),
            )
        ]

    def _models(self, graphs: Mapping[str, Graph]) -> list[tuple[ModelPlan, Graph]]:
        return [(model, graphs[model.config.name]) for model in self.models]

    def _featured(self, graphs: Mapping[str, Graph], artifacts: Mapping[str, Artifact]) -> Featured | None:
        """The featured units of every model, by its name; None where what they are chosen by is not stored."""
        choices = [Choice(model, graph, artifacts) for model, graph in self._models(graphs)]
        try:
            found = together([choice.featured for choice in choices])
        except NotMeasured:
            return None
        return {model.config.name: units for model, units in zip(self.models, found, strict=True)}

    def _check_layers(self, graphs: Mapping[str, Graph]) -> None:
        """Raises `ConfigError` with every layer and unit of the config that a graph does not have."""
        models = {model.config.name: model for model in self.models}
        together([partial(models[name].layers, graph) for name, graph in graphs.items()])
        together([partial(selection.check, models[name], graph) for name, graph in graphs.items()])

    def _check_new_probes(self) -> None:
        tasks = {model.probe_task(probe).id: probe for model in self.models for probe in model.probes}
        found = statuses([model.probe_task(probe) for model in self.models for probe in model.probes], self.store, {})
        probes.check_readable([tasks[status.task.id] for status in found if status.artifact is None])

    def _outline_task(self, graphs: Mapping[str, Graph], featured: Featured) -> Task:
        tasks = [*self._probe_tasks(), *self._view_tasks(graphs), *self._unit_tasks(graphs, featured)]
        uses = {task.id: Use(task.id, (RECORD,)) for task in tasks if _draws(task)}
        uses["colormaps"] = Use("colormaps", (TABLES,))

        def run(inputs: Inputs) -> Files:
            pages = self._outlined(graphs, featured, inputs.artifacts)
            plan = {
                "pages": {path: digest.of_bytes(page.view.model_dump_json().encode()) for path, page in pages.items()},
                "pictures": self._pictures,
            }
            return {OUTLINE: json.dumps(plan, sort_keys=True).encode()}

        parameters = {
            "config": digest.of_bytes(self.loaded.text.encode()),
            "models": digest.of_json([self._facts(model, graph) for model, graph in self._models(graphs)]),
            "featured": digest.of_json(featured),
            "code": digest.of_code("generator.pages.outline", "generator.views.quirks"),
            "glue": digest.of_json([digest.of_module(name) for name in (__name__, *GLUE)]),
            "templates": templates_digest(),
            "libraries": digest.of_libraries("cnnscope", *LIBRARIES),
        }
        return Task("outline", parameters, uses, run=run)

    def _facts(self, model: ModelPlan, graph: Graph) -> list:
        choice = model.choice(graph)
        layers = [layer.name for layer in choice.layers]
        info = model.info(graph).model_dump(mode="json")
        return [info, graph.model_dump(mode="json"), model.labels, layers, choice.sentence]

    def _page_tasks(
        self, plan: Mapping, graphs: Mapping[str, Graph], featured: Featured, artifacts: Mapping[str, Artifact]
    ) -> list[Task]:
        common = {
            "templates": templates_digest(),
            "code": digest.of_code("generator.pages.rendering"),
            "libraries": digest.of_libraries("jinja2"),
        }

        def task(path: str, view: str) -> Task:
            def run(_: Inputs) -> Files:
                return {HTML: render(self._outlined(graphs, featured, artifacts)[path]).encode()}

            return Task(f"page:{path}", {"view": view, **common}, run=run)

        return [task(path, view) for path, view in plan["pages"].items()]

    # -- pages --------------------------------------------------------------------------------------------------------

    def _outlined(self, graphs: Mapping[str, Graph], featured: Featured, artifacts: Mapping[str, Artifact]) -> dict[str, Page]:
        """Every page by path, worked out once and only if something needs it."""
        with self._lock:
            if self._pages is None:
                pictures = Pictures(artifacts)
                content = self._content(graphs, featured, pictures)
                self._pages = {page.path: page for page in outline(content)}
                self._pictures = pictures.places
            return self._pages

    def _content(self, graphs: Mapping[str, Graph], featured: Featured, pictures: Pictures) -> GalleryContent:
        config = self.loaded.config
        return GalleryContent(
            title=config.title,
            description=config.description,
            base_url=config.base_url,
            models=tuple(
                model_content(model, graph, featured[model.config.name], pictures) for model, graph in self._models(graphs)
            ),
            color_tables=tuple(map(ColorTable.model_validate, json.loads(pictures.artifacts["colormaps"].read(TABLES)))),
            versions=digest.versions("cnnscope", *LIBRARIES),
            config_text=self.loaded.text,
        )

    def _site_files(self, plan: Mapping, runner: Runner) -> dict[str, site.SiteFile]:
        files = {path: site.SiteFile(digest.of_bytes(content), lambda c=content: c) for path, content in assets().items()}
        for path, (task, name) in plan["pictures"].items():
            files[path] = site.SiteFile(runner.artifacts[task].files[name], lambda t=task, n=name: runner.read(t, n))
        for path in plan["pages"]:
            task = f"page:{path}"
            files[path] = site.SiteFile(runner.artifacts[task].files[HTML], lambda t=task: runner.read(t, HTML))
        return files


def _draws(task: Task) -> bool:
    """Whether a task's artifact has a record for pages."""
    views = (view.name for view in (*LAYER_VIEWS, *MAP_VIEWS))
    return task.id.split(":")[0] in {"probe", "predictions", *views, *UNIT_VIEWS, *FINDINGS}


def _libraries(*names: str) -> dict[str, str]:
    return {"libraries": digest.of_libraries(*names)}


def _tables(_: Inputs) -> Files:
    from generator.render.colormaps import svg_tables

    return {TABLES: json.dumps([table.model_dump() for table in svg_tables()]).encode()}


def _plan_models(loaded: LoadedConfig, store: Store, downloading: Report) -> tuple[ModelPlan, ...]:
    sets: dict[str, tuple[Probe, ...]] = {}
    datasets: dict[str, Dataset] = {}

    def list_set(probe_set: ProbeSetConfig) -> None:
        sets[probe_set.name] = probes.list_probes(probe_set, loaded.base, downloading)

    def open_set(dataset: DatasetConfig) -> None:
        datasets[dataset.name] = open_dataset(dataset, loaded.base, sets, downloading)

    def plan(index: int) -> ModelPlan:
        return plan_model(loaded, index, sets, datasets, store.root / "compiled")

    list_sets = [partial(list_set, probe_set) for probe_set in loaded.config.probes]
    open_sets = [partial(open_set, dataset) for dataset in loaded.config.datasets]
    plan_all = [partial(plan, index) for index in range(len(loaded.config.models))]
    *_, plans = together([lambda: together(list_sets), lambda: together(open_sets), lambda: together(plan_all)])
    return tuple(plans)
