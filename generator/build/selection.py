"""Which units are featured: those that `views.feature_vis.select` names, some of them by what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from generator.build.layers import matching
from generator.build.model_plan import ModelPlan
from generator.build.registry import RECORD
from generator.build.store import Artifact
from generator.build.together import together
from generator.config.views import TopUnits, UnitSelection
from generator.errors import ConfigError, Problem, did_you_mean
from generator.network.graph import Graph, Layer
from generator.records import FeatureMaps, Record, Responses

#: Units by layer, by model.
Featured = Mapping[str, Mapping[str, Sequence[int]]]

AnyRecord = TypeVar("AnyRecord", bound=Record)

#: A number for each unit of a layer; the larger, the more worth a look.
Worth = Sequence[float]
Measured = Callable[[Layer, TopUnits], Worth]


def featured(plan: ModelPlan, graph: Graph, measured: Measured) -> dict[str, tuple[int, ...]]:
    """Units in rising order, by layer in the graph's order. Raises `ConfigError` with every mistake in `select`.

    measured: how much each unit of a layer is worth a look, as `worth` tells.
    """
    settings = plan.config.views.feature_vis
    if not settings:
        return {}
    layers = plan.layers(graph)
    place = ("models", plan.index, "views", "feature_vis", "select")
    chosen: dict[str, tuple[int, UnitSelection]] = {}

    def match(number: int, entry: UnitSelection) -> None:
        for name in _matches(plan, graph, layers, entry, (*place, number)):
            chosen.setdefault(name, (number, entry))

    def units(layer: Layer) -> tuple[str, tuple[int, ...]] | None:
        if layer.name not in chosen:
            return None
        number, entry = chosen[layer.name]
        return layer.name, tuple(sorted(_units(plan, graph, layer, entry, (*place, number, "units"), measured)))

    entries = [partial(match, number, entry) for number, entry in enumerate(settings.select)]
    found = together([*entries, *(partial(units, layer) for layer in layers)])[len(entries) :]
    return dict(one for one in found if one is not None)


def _matches(
    plan: ModelPlan, graph: Graph, layers: Sequence[Layer], entry: UnitSelection, place: tuple[str | int, ...]
) -> frozenset[str]:
    if entry.layers == "all":
        return frozenset(layer.name for layer in layers)
    return matching(graph, layers, entry.layers, lambda position: plan.loaded.place(*place, "layers", position))


def _units(
    plan: ModelPlan, graph: Graph, layer: Layer, entry: UnitSelection, place: tuple[str | int, ...], measured: Measured
) -> set[int]:
    if entry.units == "all":
        return set(range(layer.num_units))
    if isinstance(entry.units, TopUnits):
        worth = measured(layer, entry.units)
        return set(sorted(range(layer.num_units), key=lambda unit: (-worth[unit], unit))[: entry.units.top])
    labels = plan.labels if layer.name in graph.outputs and plan.labels and len(plan.labels) == layer.num_units else ()
    found, problems = set(), []
    for position, unit in enumerate(entry.units):
        at = plan.loaded.place(*place, position)
        if isinstance(unit, str) and unit in labels:
            found.add(labels.index(unit))
        elif isinstance(unit, str):
            way_out = did_you_mean(unit, labels) if labels else "give numbers; only an output's units have names"
            problems.append(Problem(at, f"no unit {unit!r} in {layer.name}", way_out))
        elif 0 <= unit < layer.num_units:
            found.add(unit)
        else:
            problems.append(Problem(at, f"no unit {unit} in {layer.name}", f"its units are 0 to {layer.num_units - 1}"))
    if problems:
        raise ConfigError(problems)
    return found


def check(plan: ModelPlan, graph: Graph) -> None:
    """Raises `ConfigError` with every mistake in `select` that can be told before anything is measured."""

    def unmeasured(layer: Layer, wanted: TopUnits) -> Worth:
        _class_of(plan, wanted)
        return [0.0] * layer.num_units

    featured(plan, graph, unmeasured)


def worth(
    plan: ModelPlan, layer: Layer, wanted: TopUnits, maps: Sequence[FeatureMaps], responses: Mapping[str, Responses]
) -> Worth:
    """How much each unit of `layer` is worth a look, by what `wanted` says.

    maps: of this layer, one for each probe. responses: to the dataset, by layer. Raises `ConfigError` where what is asked for
    is not measured.
    """
    at = _class_of(plan, wanted)
    if wanted.by == "spread":
        return list(_spread(maps, layer.num_units))
    found = responses[layer.name]
    if wanted.by == "exemplars":
        parts = zip(found.maximum, found.mean, found.std, strict=True)
        return [(high - mean) / std if high is not None and mean is not None and std else 0.0 for high, mean, std in parts]
    return [_prefers(means, at) / std if std else 0.0 for means, std in zip(found.class_means or (), found.std, strict=True)]


def _class_of(plan: ModelPlan, wanted: TopUnits) -> int:
    """The number of the class that `wanted` is about, 0 where it is about none. Raises as `worth` does."""
    place = plan.loaded.place("models", plan.index, "views", "feature_vis", "select")
    if wanted.by != "spread" and (plan.dataset is None or not plan.config.views.exemplars):
        way_out = "give the model a `dataset:` and `exemplars`, or choose `spread`"
        raise ConfigError(Problem(place, f"`by: {wanted.by}` is measured on a dataset", way_out))
    if wanted.by != "class":
        return 0
    names = plan.dataset.info.labels or ()
    if wanted.of not in names:
        way_out = did_you_mean(wanted.of or "", names) if names else "choose a dataset with labels, or `by: spread`"
        raise ConfigError(Problem(place, f"no class {wanted.of!r} in the model's dataset", way_out))
    return names.index(wanted.of)


def _prefers(means: Sequence[float | None], at: int) -> float:
    """How far the mean of class `at` is above that of all classes; 0 for a class without images."""
    known = [mean for mean in means if mean is not None]
    return 0.0 if means[at] is None else means[at] - sum(known) / len(known)


def _spread(maps: Sequence[FeatureMaps], num_units: int) -> Iterator[float]:
    """The standard deviation, over probes, of each unit's largest activation."""
    for unit in range(num_units):
        values = [value for each in maps if (value := each.statistics.maximum[unit]) is not None]
        mean = sum(values) / len(values) if values else 0.0
        yield (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5 if values else 0.0


def pages_of_units(plan: ModelPlan, graph: Graph, chosen: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The units that get a page of their own, by layer. chosen: the featured ones."""
    match plan.config.unit_pages:
        case "all":
            return {layer.name: tuple(range(layer.num_units)) for layer in plan.layers(graph)}
        case "featured":
            return {layer: tuple(units) for layer, units in chosen.items()}
    return {}


class NotMeasured(Exception):  # noqa: N818 -- not an error: what is not stored yet will be
    """What a choice depends on is not stored."""


@dataclass(frozen=True)
class Choice:
    """The choice of one model's units from what is stored."""

    plan: ModelPlan
    graph: Graph
    artifacts: Mapping[str, Artifact]

    def featured(self) -> dict[str, tuple[int, ...]]:
        """As `featured`. Raises `NotMeasured` where a record that it is chosen by is missing."""
        return featured(self.plan, self.graph, self._worth)

    def _worth(self, layer: Layer, wanted: TopUnits) -> Worth:
        maps = self.plan.config.views.feature_maps
        value = maps.values[0] if maps else "activation"
        tasks = [self.plan.task_id("feature_maps", layer.name, p.info.name, value) for p in self.plan.probes if maps]
        read = [self._record(task, FeatureMaps) for task in tasks if wanted.by == "spread"]
        responses = {}
        if wanted.by != "spread" and self.plan.dataset:
            responses[layer.name] = self._record(self.plan.task_id("responses", layer.name), Responses)
        return worth(self.plan, layer, wanted, read, responses)

    def _record(self, task: str, kind: type[AnyRecord]) -> AnyRecord:
        if task not in self.artifacts:
            raise NotMeasured
        return kind.model_validate_json(self.artifacts[task].read(RECORD))
