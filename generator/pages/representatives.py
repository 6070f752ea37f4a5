"""The stages of a network, and the units that stand for each: chosen by what was measured, never by taste.

A stage is a run of layers whose maps have one size. Layers without positions in between (a gate's) belong to none; those after
the last map are the final stage.

Units stand for a stage by how they stand out among their layer's units that could be shown: in how selective they are for
orientations, hues or classes, or in how far the best image exceeds a unit's usual answer, in standard deviations. A unit's
score is its best rank in any of these. So a stage is shown by all that it is good at, and chance pictures of units that answer
everything alike stay out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from generator.network.graph import INPUT, Layer
from generator.pages import tiles, urls
from generator.pages.gallery import Model
from generator.records import Sheet

#: Units that stand for a stage: a large one and two rows of three.
SHOWN_UNITS = 7

Key = tuple[str, int]
Measure = Callable[[Model, str, int], float | None]


@dataclass(frozen=True)
class Candidate:
    """A unit that has a picture. place: the picture's tile in `sheets`."""

    layer: str
    unit: int
    sheets: list[Sheet]
    place: int
    picture: Literal["visualisation", "exemplar", "map"]

    @property
    def key(self) -> Key:
        return self.layer, self.unit


def exists(model: Model) -> bool:
    """A model has a hierarchy page where at least two stages have visualisations or exemplars.

    Strongest maps alone make none: journeys show them better.
    """
    pictured = model.content.feature_vis.keys() | model.content.exemplars.keys()
    return sum(any(layer.name in pictured for layer in stage) for stage in stages(model)) >= 2


def href(model: Model, page: str) -> str | None:
    """The way to the hierarchy page from another one; None where there is none."""
    return urls.relative(page, model.places.hierarchy) if exists(model) else None


def stages(model: Model) -> list[list[Layer]]:
    """Layers with a page, by the size of their maps, in the network's order."""
    layers = [model.graph.by_name[name] for name in model.content.layers]
    last = max((i for i, layer in enumerate(layers) if layer.spatial), default=-1)
    kept = [layer for i, layer in enumerate(layers) if layer.spatial or i > last]
    return [list(run) for _, run in groupby(kept, key=lambda layer: layer.spatial)]


def representatives(model: Model, stage: Sequence[Layer], score: Callable[[Key], float], count: int) -> list[Candidate]:
    """At most `count` units of a stage: the one with the highest score, then the others in the network's order.

    Pictures of one kind: visualisations, else exemplars, else strongest maps. The stage's layers, evenly spread from first to
    last, give their best unit each, in rounds until there are enough; a unit that a depthwise layer or an addition carries on
    is taken once. Of class scores, those come first that the model gives to the gallery's own images.
    """
    outputs = [layer for layer in stage if layer.name in model.graph.outputs and not layer.spatial]
    for find in (_visualised, _exemplified, _mapped):
        by_layer = [found for layer in stage if (found := find(model, layer))]
        final = [found for layer in outputs if (found := find(model, layer))]
        if by_layer:
            return _pick(model, final or by_layer, score, count)
    return []


def scores(model: Model) -> Callable[[Key], float]:
    """The best rank of a unit in any measure: the share of its layer's visualised (else exemplified) units below it, 0-1.

    Among its own layer's, as selectivity means little between layers: deep units answer to few of the simple stimuli, and so
    selectively.
    """
    find = _visualised if model.content.feature_vis else _exemplified
    ranked: dict[str, list[tuple[Measure, list[float]]]] = {}
    for layer in model.graph.layers:
        units = [c.unit for c in find(model, layer)]
        for measure in (_contrast, _selectivity, _orientation, _colour):
            values = [value for unit in units if (value := measure(model, layer.name, unit)) is not None]
            ranked.setdefault(layer.name, []).append((measure, sorted(values)))

    def score(key: Key) -> float:
        found = [(measure(model, *key), values) for measure, values in ranked.get(key[0], ())]
        return max((bisect_left(values, v) / len(values) for v, values in found if v is not None and values), default=0.0)

    return score


def ribbon(model: Model, count: int) -> tuple[tiles.Cell, ...]:
    """Visualisations from early to late; empty where there are not so many."""
    score = scores(model)
    by_layer = [found for layer in model.graph.layers if (found := _visualised(model, layer))]
    picked = _spread(model, by_layer, score, count)
    return tuple(tiles.cell(c.sheets, c.place, smooth=True) for c in picked) if len(picked) == count else ()


def _pick(model: Model, by_layer: list[list[Candidate]], score: Callable[[Key], float], count: int) -> list[Candidate]:
    if answers := _answers(model, by_layer[-1]):
        others = sorted((c for c in by_layer[-1] if c not in answers), key=lambda c: -score(c.key))
        return [*answers, *others][:count]
    picked = _spread(model, by_layer, score, count)
    best = max(picked, key=lambda c: score(c.key))
    return [best, *(c for c in picked if c is not best)]


def _answers(model: Model, found: Iterable[Candidate]) -> list[Candidate]:
    """Class scores that are the model's answer to one of its probes, in the probes' order."""
    by_unit = {c.unit: c for c in found if model.unit_names(c.layer)}
    answers = [
        p.top[0].index for probe in model.content.probes if (p := model.content.predictions.get(probe.probe.name)) and p.top
    ]
    return [by_unit[unit] for unit in dict.fromkeys(answers) if unit in by_unit]


def _spread(model: Model, by_layer: list[list[Candidate]], score: Callable[[Key], float], count: int) -> list[Candidate]:
    """In the network's order."""
    ranked = [sorted(found, key=lambda c: -score(c.key)) for found in by_layer]
    taken: set[Key] = set()
    picked: list[tuple[int, Candidate]] = []
    while len(picked) < count and any(ranked):
        for i in _evenly([i for i, found in enumerate(ranked) if found], count - len(picked)):
            while ranked[i]:
                candidate = ranked[i].pop(0)
                if (origin := (_origin(model, candidate.layer), candidate.unit)) not in taken:
                    taken.add(origin)
                    picked.append((i, candidate))
                    break
    return [candidate for _, candidate in sorted(picked, key=lambda p: (p[0], p[1].unit))]


def _origin(model: Model, layer: str) -> str:
    """The layer whose channels `layer` carries on one by one; itself where it mixes channels."""
    found = model.graph.by_name[layer]
    while found.kind not in ("conv", "dense", "concat"):
        before = [model.graph.by_name[name] for name in found.inputs if name != INPUT]
        if not before or before[-1].num_units != found.num_units:
            break
        found = before[-1]
    return found.name


def _evenly(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of `items` from first to last, the last always among them."""
    if count >= len(items):
        return list(items)
    last = len(items) - 1
    return [items[last - i * last // max(1, count - 1)] for i in reversed(range(count))]


def _visualised(model: Model, layer: Layer) -> list[Candidate]:
    vis = model.content.feature_vis.get(layer.name)
    units = enumerate(vis.units) if vis else ()
    return [Candidate(layer.name, u.unit, vis.sheets, i, "visualisation") for i, u in units if u.state == "ok"]


def _exemplified(model: Model, layer: Layer) -> list[Candidate]:
    exemplars = model.content.exemplars.get(layer.name)
    units = exemplars.units if exemplars else ()
    return [Candidate(layer.name, u.unit, exemplars.sheets, u.first, "exemplar") for u in units if u.highest]


def _mapped(model: Model, layer: Layer) -> list[Candidate]:
    maps = model.main_maps(layer.name, model.first_probe.probe.name) if model.first_probe else None
    if not maps or not layer.spatial:
        return []
    shown = maps.strongest[: maps.strip.count]
    return [Candidate(layer.name, u, [maps.strip], i, "map") for i, u in enumerate(shown) if maps.statistics.state[u] == "ok"]


def _contrast(model: Model, layer: str, unit: int) -> float | None:
    answers = model.content.responses.get(layer)
    if not answers:
        return None
    high, mean, std = answers.maximum[unit], answers.mean[unit], answers.std[unit]
    return (high - mean) / std if std and high is not None and mean is not None else None


def _selectivity(model: Model, layer: str, unit: int) -> float | None:
    answers = model.content.responses.get(layer)
    return answers.selectivity[unit] if answers and answers.selectivity else None


def _orientation(model: Model, layer: str, unit: int) -> float | None:
    tuned = model.content.tuning.get(layer)
    return tuned.orientation[unit] if tuned else None


def _colour(model: Model, layer: str, unit: int) -> float | None:
    tuned = model.content.tuning.get(layer)
    return tuned.colour[unit] if tuned and tuned.colour else None
