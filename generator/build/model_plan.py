"""What has to be computed and drawn for one model of the gallery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from generator import sources
from generator.build import digest
from generator.build.arrays import compact, from_bytes, to_bytes
from generator.build.compute import LazyNetwork
from generator.build.registry import LAYER_VIEWS, MAP_VIEWS, RECORD, drawn_files
from generator.build.task import Files, Inputs, Task, Use
from generator.config.load import LoadedConfig
from generator.config.schema import ModelConfig
from generator.errors import ConfigError, Problem, did_you_mean
from generator.naming import unique_slugs
from generator.network.graph import Graph, Layer, Value
from generator.probes import Probe, prepare
from generator.records import ModelInfo, Preprocessing
from generator.sources import SourceFacts

GRAPH = "graph.json"
INPUT = "input.npy"
OUTPUTS = "outputs.npy"


@dataclass(frozen=True)
class ModelPlan:
    """One model's tasks. index: its place in the config. network: computes for it."""

    loaded: LoadedConfig
    index: int
    facts: SourceFacts
    preprocessing: Preprocessing
    probes: tuple[Probe, ...]
    labels: tuple[str, ...] | None
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
        return f"{kind}:{'/'.join((self.config.name, *map(_plain, names)))}"

    # -- before the graph is known ------------------------------------------------------------------------------------

    def network_task(self) -> Task:
        parameters = {**self._computing("generator.sources.load"), **self._source()}
        return Task(self.task_id("network"), parameters, lane="compute", run=self._trace)

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
            "code": digest.of_code("generator.probes", "generator.views.probe_pictures", __name__),
            "libraries": digest.of_libraries("numpy", "pillow"),
        }
        # One at a time: reading an image changes Python's warning filters, which threads share.
        return Task(self.task_id("probe", probe.info.name), parameters, lane="compute", run=run)

    def _source(self) -> dict[str, str]:
        return {
            "source": digest.of_json(self.config.source.model_dump(mode="json")),
            "input shape": digest.of_json(self.network.input_shape),
            "weights": self.facts.weights.digest,
            "model code": digest.combine({path.name: digest.of_file(path) for path in self.facts.code_paths}),
        }

    def _computing(self, *modules: str) -> dict[str, str]:
        return {
            "code": digest.of_code(*modules, "generator.network.execute", __name__),
            "libraries": digest.of_libraries("jax", "jaxlib", "flax", "numpy"),
            "backend": digest.backend(),
        }

    def _trace(self, _: Inputs) -> Files:
        network = self.network.network()
        graph = network.graph
        kernels = [layer.name for layer in graph.layers if layer.has_kernel]
        files = {GRAPH: graph.model_dump_json().encode()}
        for weights, stem in zip(network.weights(kernels).values(), unique_slugs(kernels), strict=True):
            for name in ("kernel", "scale", "offset"):
                files[f"{stem}.{name}.npy"] = to_bytes(getattr(weights, name))
        return files

    # -- once it is ---------------------------------------------------------------------------------------------------

    def layers(self, graph: Graph) -> tuple[Layer, ...]:
        """The layers the config asks for, in the graph's order. Raises `ConfigError` for names that match none."""
        drawable = [layer for layer in graph.layers if len(layer.shape) in (1, 3)]
        if self.config.layers == "all":
            return tuple(drawable)
        wanted, problems = set(), []
        for position, pattern in enumerate(self.config.layers):
            matches = {layer.name for layer in drawable if fnmatchcase(_plain(layer.name), _plain(pattern))}
            if not matches:
                place = self.loaded.place("models", self.index, "layers", position)
                way_out = did_you_mean(pattern, [layer.name for layer in drawable])
                problems.append(Problem(place, f"no layer {pattern!r}", way_out))
            wanted |= matches
        if problems:
            raise ConfigError(problems)
        return tuple(layer for layer in drawable if layer.name in wanted)

    def view_tasks(self, graph: Graph) -> Iterator[Task]:
        layers = self.layers(graph)
        values: tuple[Value, ...] = self.config.views.feature_maps.values if self.config.views.feature_maps else ()
        yield from self._layer_view_tasks(graph, layers)
        for probe in self.probes:
            yield self._activations_task(probe, layers, values)
            yield self._predictions_task(probe)
            yield from self._map_view_tasks(probe, layers, values)

    def _layer_view_tasks(self, graph: Graph, layers: Sequence[Layer]) -> Iterator[Task]:
        kernels = [layer.name for layer in graph.layers if layer.has_kernel]
        stems = dict(zip(kernels, unique_slugs(kernels), strict=True))
        for view in LAYER_VIEWS:
            settings = getattr(self.config.views, view.name)
            for layer in layers:
                if not settings or layer.name not in stems:
                    continue
                arrays = tuple(f"{stems[layer.name]}.{name}.npy" for name in ("kernel", "scale", "offset"))

                def run(inputs: Inputs, layer=layer, arrays=arrays, view=view, settings=settings) -> Files:
                    weights = [from_bytes(inputs.read("network", file)) for file in arrays]
                    return drawn_files(view.draw(graph, layer, settings, *weights))

                parameters = {
                    "settings": digest.of_json(settings.model_dump(mode="json")),
                    "layer": digest.of_json([layer.model_dump(mode="json"), _sources(graph, layer)]),
                    "code": digest.of_code(view.module, "generator.build.registry"),
                    "libraries": digest.of_libraries("numpy", "pillow", "matplotlib"),
                }
                yield Task(
                    self.task_id(view.name, layer.name), parameters, {"network": Use(self.task_id("network"), arrays)}, run=run
                )

    def _activations_task(self, probe: Probe, layers: Sequence[Layer], values: Sequence[Value]) -> Task:
        names = self._map_files(layers, values)

        def run(inputs: Inputs) -> Files:
            from generator.network.execute import OUTPUT, Tap

            taps = [Tap(OUTPUT), *(Tap(layer, value) for layer, value in names)]
            outputs, *maps = self.network.values(taps, from_bytes(inputs.read("probe", INPUT))[None])
            found = {file: to_bytes(compact(array[0])) for file, array in zip(names.values(), maps, strict=True)}
            return {OUTPUTS: to_bytes(outputs[0]), **found}

        parameters = {
            **self._computing("generator.sources.load", "generator.build.compute"),
            **self._source(),
            "layers": digest.of_json([list(key) for key in names]),
        }
        uses = {"probe": Use(self.task_id("probe", probe.info.name), (INPUT,))}
        return Task(self.task_id("activations", probe.info.name), parameters, uses, lane="compute", run=run)

    def _predictions_task(self, probe: Probe) -> Task:
        def run(inputs: Inputs) -> Files:
            from generator.views.predictions import predictions

            outputs = from_bytes(inputs.read("activations", OUTPUTS))
            return {RECORD: predictions(outputs.reshape(-1), self.labels).model_dump_json().encode()}

        parameters = {
            "labels": digest.of_json(self.labels),
            "code": digest.of_code("generator.views.predictions"),
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
                    "code": digest.of_code(view.module, "generator.build.registry"),
                    "libraries": digest.of_libraries("numpy", "pillow", "matplotlib"),
                }
                uses = {"activations": Use(self.task_id("activations", probe.info.name), (file,))}
                yield Task(self.task_id(view.name, name, probe.info.name, value), parameters, uses, run=run)

    def _map_files(self, layers: Sequence[Layer], values: Sequence[Value]) -> dict[tuple[str, Value], str]:
        stems = unique_slugs([layer.name for layer in layers])
        return {
            (layer.name, value): f"{stem}.{value}.npy" for layer, stem in zip(layers, stems, strict=True) for value in values
        }


def _plain(name: str) -> str:
    """Layer names with dots: both `blocks/3/expand` and `blocks.3.expand` are understood."""
    return name.replace("/", ".")


def _sources(graph: Graph, layer: Layer) -> list[list[str | int]]:
    """Which unit feeds each input channel of `layer`."""
    num_inputs = layer.kernel_shape[-2] * layer.groups
    found = (graph.channel_source(layer.name, channel) for channel in range(num_inputs))
    return [[source.layer, source.channel] for source in found]


def plan_model(loaded: LoadedConfig, index: int, probe_sets: Mapping[str, Sequence[Probe]], compiled: Path) -> ModelPlan:
    """Everything about a model that can be known before it is traced.

    probe_sets: the probes of every set of the config. compiled: folder for compiled programs.
    Raises `UserError` with everything that is wrong with its source, labels, preprocessing and choice of probes.
    """
    config = loaded.config.models[index]
    facts = sources.describe(config.source, loaded.base)
    preprocessing = config.preprocessing.over(facts.preprocessing)
    channels = 1 if preprocessing.channels == "grey" else 3
    if channels != facts.input_shape[2]:
        rule = f"channels: {preprocessing.channels} gives {channels}, but the network reads {facts.input_shape[2]}"
        way_out = "choose grey for one channel, rgb or bgr for three"
        raise ConfigError(Problem(loaded.place("models", index, "preprocessing"), rule, way_out))
    network = LazyNetwork(config.source, loaded.base, (*preprocessing.size_px, channels), compiled)
    chosen = _choose_probes(loaded, index, probe_sets)
    return ModelPlan(loaded, index, facts, preprocessing, chosen, _labels(loaded, index, facts), network)


def _choose_probes(loaded: LoadedConfig, index: int, probe_sets: Mapping[str, Sequence[Probe]]) -> tuple[Probe, ...]:
    """The probes that `probes:` names, each once, under names that are unique for the model."""
    chosen: dict[tuple[str, str], Probe] = {}
    problems = []
    for position, entry in enumerate(loaded.config.models[index].probes):
        set_name, _, wanted = entry.partition("/")
        matches = [probe for probe in probe_sets[set_name] if wanted in ("", probe.info.name)]
        if not matches:
            place = loaded.place("models", index, "probes", position)
            known = [probe.info.name for probe in probe_sets[set_name]]
            problems.append(Problem(place, f"no probe {wanted!r} in {set_name!r}", did_you_mean(wanted, known)))
        chosen.update({(set_name, probe.info.name): probe for probe in matches})
    if problems:
        raise ConfigError(problems)
    names = Counter(probe.info.name for probe in chosen.values())
    return tuple(
        probe if names[probe.info.name] == 1 else _renamed(probe, f"{probe.info.set}-{probe.info.name}")
        for probe in chosen.values()
    )


def _renamed(probe: Probe, name: str) -> Probe:
    return replace(probe, info=probe.info.model_copy(update={"name": name}))


def _labels(loaded: LoadedConfig, index: int, facts: SourceFacts) -> tuple[str, ...] | None:
    labels = loaded.config.models[index].labels
    if not isinstance(labels, str):
        return labels or facts.labels
    path = loaded.base / labels
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        place = loaded.place("models", index, "labels")
        raise ConfigError(
            Problem(place, f"{labels} cannot be read: {error}", "give a text file with one class a line")
        ) from None
