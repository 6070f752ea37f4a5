"""What has to be computed and drawn for one model of the gallery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from generator import sources
from generator.build import digest
from generator.build.arrays import from_bytes, to_bytes
from generator.build.compute import OUTPUTS, LazyNetwork, weights_files
from generator.build.layers import Choice, chosen
from generator.build.registry import LAYER_VIEWS, MAP_VIEWS, RECORD, drawn_files
from generator.build.task import Files, Inputs, Task, Use
from generator.build.together import together
from generator.config.load import LoadedConfig
from generator.config.schema import ModelConfig
from generator.errors import ConfigError, ProbeError, Problem, did_you_mean
from generator.naming import unique_slugs
from generator.network.graph import Graph, Layer, Value
from generator.probes import Probe, prepare
from generator.probes.datasets import Dataset
from generator.probes.prepare import check
from generator.records import ModelInfo, Predictions, Preprocessing
from generator.sources import SourceFacts

INPUT = "input.npy"


@dataclass(frozen=True)
class ModelPlan:
    """One model's tasks. index: its place in the config. dataset: what exemplars are drawn from. measured_on: what findings
    rest on. network: computes for it.
    """

    loaded: LoadedConfig
    index: int
    facts: SourceFacts
    preprocessing: Preprocessing
    probes: tuple[Probe, ...]
    labels: tuple[str, ...] | None
    dataset: Dataset | None
    measured_on: Dataset | None
    network: LazyNetwork

    @property
    def config(self) -> ModelConfig:
        return self.loaded.config.models[self.index]

    def info(self, graph: Graph) -> ModelInfo:
        return ModelInfo(
            name=self.config.name,
            title=self.config.title or self.facts.title,
            description=self.config.description or self.facts.description,
            source=self.config.source.kind,
            weights=self.facts.weights,
            preprocessing=self.preprocessing,
            num_params=sum(layer.num_params for layer in graph.layers),
            num_classes=len(self.labels) if self.labels else None,
            facts=self.facts.facts,
        )

    def task_id(self, kind: str, *names: str) -> str:
        return f"{kind}:{'/'.join((self.config.name, *names))}"

    # -- before the graph is known ------------------------------------------------------------------------------------

    def network_task(self) -> Task:
        return Task(self.task_id("network"), self.computing(), lane="compute", run=lambda _: self.network.trace())

    def probe_task(self, probe: Probe) -> Task:
        def run(_: Inputs) -> Files:
            from generator.views import probe_pictures

            prepared = prepare(probe.read(), self.preprocessing)
            drawn = probe_pictures.draw(probe.info, self.preprocessing, prepared.shown)
            return {INPUT: to_bytes(prepared.input), **drawn_files(drawn)}

        parameters = {
            "image": probe.fingerprint,
            "description": digest.of_json(probe.info.model_dump(mode="json")),
            "preprocessing": digest.of_json(self.preprocessing.model_dump(mode="json")),
            "code": drawing_digest("generator.probes", "generator.views.probe_pictures"),
            "libraries": digest.of_libraries("numpy", "pillow"),
        }
        # One at a time: reading an image changes Python's warning filters, which threads share.
        return Task(self.task_id("probe", probe.info.name), parameters, lane="compute", run=run)

    def computing(self) -> dict[str, str]:
        """Digests of all that decides what the network computes for an input."""
        return {
            "source": digest.of_json(self.config.source.model_dump(mode="json")),
            "input shape": digest.of_json(self.network.input_shape),
            "weights": self.facts.weights.digest,
            "model code": digest.of_json([[path.name, digest.of_file(path)] for path in self.facts.code_paths]),
            "code": digest.of_code("generator.build.compute"),
            "libraries": digest.of_libraries("jax", "jaxlib", "numpy", *self.facts.libraries),
            "backend": digest.backend(),
        }

    # -- once it is ---------------------------------------------------------------------------------------------------

    def choice(self, graph: Graph) -> Choice:
        """The layers the config asks for, and why. Raises `ConfigError` for entries that mean none."""
        place = ("models", self.index, "layers")
        return chosen(graph, self.config.layers, lambda entry: self.loaded.place(*place, *(() if entry is None else (entry,))))

    def layers(self, graph: Graph) -> tuple[Layer, ...]:
        """Those layers, in the graph's order. Raises as `choice` does."""
        return self.choice(graph).layers

    def view_tasks(self, graph: Graph) -> Iterator[Task]:
        layers = self.layers(graph)
        values: tuple[Value, ...] = self.config.views.feature_maps.values if self.config.views.feature_maps else ()
        yield from self._layer_view_tasks(graph, layers)
        for probe in self.probes:
            yield self._activations_task(probe, layers, values)
            yield self._predictions_task(probe)
            yield from self._map_view_tasks(probe, layers, values)

    def _layer_view_tasks(self, graph: Graph, layers: Sequence[Layer]) -> Iterator[Task]:
        files = weights_files(graph)
        for view in LAYER_VIEWS:
            settings = getattr(self.config.views, view.name)
            for layer in layers:
                if not settings or layer.name not in files:
                    continue
                arrays = tuple(files[layer.name])

                def run(inputs: Inputs, layer=layer, arrays=arrays, view=view, settings=settings) -> Files:
                    weights = [from_bytes(inputs.read("network", file)) for file in arrays]
                    return drawn_files(view.draw(graph, layer, settings, *weights))

                parameters = {
                    "settings": digest.of_json(settings.model_dump(mode="json")),
                    "layer": digest.of_json([layer.model_dump(mode="json"), _sources(graph, layer)]),
                    "code": drawing_digest(view.module),
                    "libraries": digest.of_libraries("numpy", "pillow", "matplotlib"),
                }
                yield Task(
                    self.task_id(view.name, layer.name), parameters, {"network": Use(self.task_id("network"), arrays)}, run=run
                )

    def _activations_task(self, probe: Probe, layers: Sequence[Layer], values: Sequence[Value]) -> Task:
        taps = self._map_files(layers, values)

        def run(inputs: Inputs) -> Files:
            return self.network.record(taps, from_bytes(inputs.read("probe", INPUT)))

        parameters = {**self.computing(), "layers": digest.of_json([list(tap) for tap in taps])}
        uses = {"probe": Use(self.task_id("probe", probe.info.name), (INPUT,))}
        return Task(self.task_id("activations", probe.info.name), parameters, uses, lane="compute", run=run)

    def _predictions_task(self, probe: Probe) -> Task:
        def run(inputs: Inputs) -> Files:
            from generator.views.predictions import predictions

            outputs = from_bytes(inputs.read("activations", OUTPUTS))
            if outputs.ndim != 1:  # a map, or a single number: not a classifier
                return {RECORD: Predictions(scores="output", top=()).model_dump_json().encode()}
            if self.labels and len(self.labels) != len(outputs):
                rule = f"{len(self.labels)} names for a network with {len(outputs)} outputs"
                raise ConfigError(Problem(self.loaded.place("models", self.index, "labels"), rule, "give one for each output"))
            return {RECORD: predictions(outputs, self.labels).model_dump_json().encode()}

        parameters = {
            "labels": digest.of_json(self.labels),
            "code": drawing_digest("generator.views.predictions"),
            "libraries": digest.of_libraries("numpy"),
        }
        uses = {"activations": Use(self.task_id("activations", probe.info.name), (OUTPUTS,))}
        return Task(self.task_id("predictions", probe.info.name), parameters, uses, run=run)

    def _map_view_tasks(self, probe: Probe, layers: Sequence[Layer], values: Sequence[Value]) -> Iterator[Task]:
        by_name = {layer.name: layer for layer in layers}
        for view in MAP_VIEWS:
            for (name, value), file in self._map_files(layers, values).items():

                def run(inputs: Inputs, layer=by_name[name], value=value, file=file, view=view) -> Files:
                    return drawn_files(view.draw(layer, probe.info.name, value, from_bytes(inputs.read("activations", file))))

                parameters = {
                    "layer": digest.of_json(by_name[name].model_dump(mode="json")),
                    "probe": probe.info.name,
                    "code": drawing_digest(view.module),
                    "libraries": digest.of_libraries("numpy", "pillow", "matplotlib"),
                }
                uses = {"activations": Use(self.task_id("activations", probe.info.name), (file,))}
                yield Task(self.task_id(view.name, name, probe.info.name, value), parameters, uses, run=run)

    def _map_files(self, layers: Sequence[Layer], values: Sequence[Value]) -> dict[tuple[str, Value], str]:
        stems = unique_slugs([layer.name for layer in layers])
        return {
            (layer.name, value): f"{stem}.{value}.npy" for layer, stem in zip(layers, stems, strict=True) for value in values
        }


def drawing_digest(*modules: str) -> str:
    """Digest of the code of a task that draws: `modules`, and what calls them from here."""
    glue = (digest.of_module(name) for name in ("generator.build.registry", __name__))
    return digest.combine({"modules": digest.of_code(*modules), "glue": digest.of_json([*glue])})


def _sources(graph: Graph, layer: Layer) -> list[list[str | int]]:
    """Which unit feeds each input channel of `layer`."""
    num_inputs = layer.kernel_shape[-2] * layer.groups
    found = (graph.channel_source(layer.name, channel) for channel in range(num_inputs))
    return [[source.layer, source.channel] for source in found]


def plan_model(
    loaded: LoadedConfig,
    index: int,
    probe_sets: Mapping[str, Sequence[Probe]],
    datasets: Mapping[str, Dataset],
    compiled: Path,
) -> ModelPlan:
    """Everything about a model that can be known before it is traced.

    probe_sets: the probes of every set of the config. datasets: by name. compiled: folder for compiled programs.
    Raises `UserError` with everything that is wrong with its source, labels, preprocessing and choice of probes.
    """
    config = loaded.config.models[index]

    def describe() -> tuple[SourceFacts, Preprocessing, tuple[int, int, int]]:
        facts = sources.describe(config.source, loaded.base)
        return facts, *_preprocessing(loaded, index, facts)

    (facts, preprocessing, input_shape), chosen, labels = together(
        [describe, lambda: _choose_probes(loaded, index, probe_sets), lambda: _labels(loaded, index)]
    )
    network = LazyNetwork(config.source, loaded.base, input_shape, loaded.place("models", index, "source"), compiled)
    dataset = datasets.get(config.dataset or "")
    measured_on = datasets.get(config.measured_on or "", dataset)
    return ModelPlan(loaded, index, facts, preprocessing, chosen, labels or facts.labels, dataset, measured_on, network)


def _preprocessing(loaded: LoadedConfig, index: int, facts: SourceFacts) -> tuple[Preprocessing, tuple[int, int, int]]:
    """The model's preprocessing and the shape it gives."""
    preprocessing = loaded.config.models[index].preprocessing.over(facts.preprocessing)
    try:
        check(preprocessing)
    except ProbeError as error:
        keys = ("models", index)
        problems = (replace(p, place=loaded.place(*keys, *p.place.split("."))) for p in error.problems)
        raise ConfigError(problems) from error
    channels = 1 if preprocessing.channels == "grey" else 3
    if channels != facts.input_shape[2]:
        rule = f"channels: {preprocessing.channels} gives {channels}, but the network reads {facts.input_shape[2]}"
        way_out = "choose grey for one channel, rgb or bgr for three"
        raise ConfigError(Problem(loaded.place("models", index, "preprocessing"), rule, way_out))
    return preprocessing, (*preprocessing.size_px, channels)


def _choose_probes(loaded: LoadedConfig, index: int, probe_sets: Mapping[str, Sequence[Probe]]) -> tuple[Probe, ...]:
    """The probes that `probes:` names, each once, under names that are unique for the model."""
    chosen: dict[tuple[str, str], Probe] = {}
    problems = []
    for position, entry in enumerate(loaded.config.models[index].probes):
        set_name, _, wanted = entry.partition("/")
        if set_name not in probe_sets:
            continue  # what is wrong with the set itself is reported with it
        matches = [probe for probe in probe_sets[set_name] if wanted in ("", probe.info.name)]
        if not matches:
            place = loaded.place("models", index, "probes", position)
            known = [probe.info.name for probe in probe_sets[set_name]]
            problems.append(Problem(place, f"no probe {wanted!r} in {set_name!r}", did_you_mean(wanted, known)))
        chosen.update({(set_name, probe.info.name): probe for probe in matches})
    if problems:
        raise ConfigError(problems)
    names = Counter(probe.info.name for probe in chosen.values())
    wanted_names = [name if names[name] == 1 else f"{set_name}-{name}" for set_name, name in chosen]
    return tuple(
        probe if probe.info.name == name else replace(probe, info=probe.info.model_copy(update={"name": name}))
        for probe, name in zip(chosen.values(), unique_slugs(wanted_names), strict=True)
    )


def _labels(loaded: LoadedConfig, index: int) -> tuple[str, ...] | None:
    """The class names that the config gives, itself or in a file."""
    labels = loaded.config.models[index].labels
    if not isinstance(labels, str):
        return labels
    place, way_out = loaded.place("models", index, "labels"), "give a text file with one class a line"
    try:
        lines = (loaded.base / labels).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Problem(place, f"{labels} cannot be read: {error}", way_out)) from error
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise ConfigError(Problem(place, f"{labels} is empty", way_out))
    return found
