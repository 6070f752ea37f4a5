"""The hierarchy page: what is measured of a stage, who stands for it, and that everything on it leads somewhere."""

from __future__ import annotations

import re
from math import atan2, degrees, hypot, pi

import numpy as np
import pytest
from small_gallery import small_gallery, write_site

from generator.network.graph import Graph, Layer, ReceptiveField
from generator.pages import representatives, stage_statistics, tiles
from generator.pages.content import GalleryContent
from generator.pages.gallery import Gallery, Model
from generator.pages.hierarchy_page import hierarchy_pages
from generator.pages.links import check_links
from generator.pages.rendering import render
from generator.records import Prediction, Predictions, Responses, Tuning

HOSTILE = '<script>alert("x")</script> \'"&{{7*7}} ]]> é 猫'
FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(-1, -1))


def layer(name: str, activation: str | None = "ReLU", **changes: object) -> Layer:
    return Layer(
        **{"kind": "conv", "inputs": ("input",), "shape": (8, 8, 40), "receptive_field": FIELD, **changes},
        name=name,
        activation=activation,
    )


def responses(name: str, random: np.random.Generator, num_units: int = 40, selective: bool = True) -> Responses:
    numbers = random.random((6, num_units))
    return Responses(
        layer=name,
        dataset="d",
        num_images=10,
        mean=list(numbers[0]),
        std=list(numbers[1]),
        minimum=[0.0] * num_units,
        maximum=list(1 + numbers[2]),
        active=list(numbers[3]),
        edges=[0.0, 1.0],
        counts=[[10]] * num_units,
        class_means=None,
        selectivity=[*numbers[4, :-2], 0.0, 1.0] if selective else None,
    )


def tuning(name: str, random: np.random.Generator, num_units: int = 40, colour: bool = True) -> Tuning:
    blind = random.random(num_units) < 0.2
    orientation, hue = random.random((2, num_units))

    def seen(values: np.ndarray) -> list[float | None]:
        return [None if b else float(v) for v, b in zip(values, blind, strict=True)]

    return Tuning(
        layer=name,
        orientation=seen(orientation),
        angle_deg=seen(180 * random.random(num_units)),
        colour=seen(hue) if colour else None,
        hue_deg=seen(360 * random.random(num_units)) if colour else None,
    )


def test_statistics_of_a_stage_are_those_of_all_its_units():
    random = np.random.default_rng(5)
    layers = [layer("a"), layer("b", None), layer("c", "ReLU6"), layer("d", "softmax"), layer("unmeasured")]
    answers = {name: responses(name, random, selective=name != "b") for name in "abcd"}
    tuned = {name: tuning(name, random, colour=name != "c") for name in "abc"}
    found = stage_statistics.stage_statistics(layers, answers, tuned)

    silent = [1 - share for name in "ac" for share in answers[name].active]
    assert found.silent == pytest.approx(sum(silent) / len(silent))
    indices = [i for name in "acd" for i in answers[name].selectivity]
    counts, _ = np.histogram(indices, bins=stage_statistics.NUM_BARS, range=(0, 1))
    assert found.selectivity.shares == pytest.approx(counts / counts.sum())
    assert found.selectivity.median == pytest.approx(np.median(indices))
    for rose, names, values, angles, period in (
        (found.orientation, "abc", "orientation", "angle_deg", 180),
        (found.hue, "ab", "colour", "hue_deg", 360),
    ):
        step = period / len(rose.strengths)
        expected, number = np.zeros(len(rose.strengths)), 0
        for name in names:
            for value, angle in zip(getattr(tuned[name], values), getattr(tuned[name], angles), strict=True):
                if value is not None:
                    number += 1
                    distance = [abs((angle - step * k + period / 2) % period - period / 2) for k in range(len(expected))]
                    expected[int(np.argmin(distance))] += value
        assert rose.strengths == pytest.approx(expected / number)
        assert rose.mean == pytest.approx(expected.sum() / number)


def test_nothing_is_said_of_what_was_not_measured():
    found = stage_statistics.stage_statistics([layer("a")], {}, {})
    assert (found.silent, found.selectivity, found.orientation, found.hue) == (None, None, None, None)
    unrectified = stage_statistics.stage_statistics([layer("a", None)], {"a": responses("a", np.random.default_rng(0))}, {})
    assert unrectified.silent is None
    assert unrectified.selectivity is not None


def area_and_angle(path: str) -> tuple[float, float]:
    """Of one petal, by Green's theorem on its corners and finely divided arcs; the angle is its centroid's, degrees."""
    corners, place = [], (0.0, 0.0)
    for command, text in re.findall(r"([MLA])([^MLAZ]*)", path):
        numbers = [float(n) for n in text.split()]
        end = (numbers[-2], numbers[-1])
        if command == "A":
            start_angle, end_angle = atan2(place[1], place[0]), atan2(end[1], end[0])
            turn = (end_angle - start_angle + pi) % (2 * pi) - pi
            assert (turn > 0) == bool(numbers[4]), "the short way around"
            angles = start_angle + turn * np.linspace(0, 1, 400)
            corners += list(zip(numbers[0] * np.cos(angles), numbers[0] * np.sin(angles), strict=True))
        else:
            corners.append(end)
        place = end
    x, y = np.array(corners).T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return float(area), degrees(atan2(-y.mean(), x.mean()))


def test_petals_point_where_units_prefer_and_are_as_large_as_they_are_strong():
    strengths = tuple(np.random.default_rng(2).random(stage_statistics.NUM_ANGLES) + 0.05)
    rose = stage_statistics.Rose(strengths=strengths, mean=sum(strengths))
    petals = [f"{p}Z" for p in stage_statistics.orientation_petals(rose, 1.5).split("Z") if p]
    measured = [area_and_angle(p) for p in petals]
    full = pi * (15 - stage_statistics.GAP_DEG) / 360
    assert [a / full for a, _ in measured] == pytest.approx([s / 1.5 for s in 2 * strengths], abs=0.01)
    assert [round(angle) % 360 for _, angle in measured] == [15 * k for k in range(24)]

    ring = stage_statistics.hue_petals(rose, 1.5)
    assert [hue for hue, _ in ring] == [30 * k for k in range(12)]
    measured = [area_and_angle(path) for _, path in ring]
    full = pi * (30 - stage_statistics.GAP_DEG) / 360 * (1 - stage_statistics.HOLE**2)
    assert [a / full for a, _ in measured] == pytest.approx([s / 1.5 for s in strengths], abs=0.01)
    assert [round(90 - angle) % 360 for _, angle in measured] == [30 * k for k in range(12)], "red on top, clockwise"
    assert all(hypot(*map(float, re.match(r"M(\S+) ([^A]+)A", path).groups())) <= 1 for _, path in ring)


def models(content: GalleryContent | None = None, **changes: object) -> tuple[Gallery, Model]:
    content = content or small_gallery(units=True)[0]
    first = content.models[0].model_copy(update=changes)
    gallery = Gallery(content.model_copy(update={"models": (first, *content.models[1:])}))
    return gallery, gallery.models[0]


def test_stages_are_runs_of_one_map_size_without_what_lies_beside():
    sizes = {
        "a": (32, 32, 4),
        "b": (32, 32, 8),
        "squeeze": (8,),
        "c": (32, 32, 8),
        "d": (16, 16, 8),
        "mean": (8,),
        "out": (10,),
    }
    graph = Graph(
        input_shape=(64, 64, 3),
        layers=tuple(layer(name, shape=shape) for name, shape in sizes.items()),
        outputs=("out",),
    )
    _, model = models()
    model.graph = graph
    model.content = model.content.model_copy(update={"layers": tuple(sizes)})
    assert [[x.name for x in stage] for stage in representatives.stages(model)] == [["a", "b", "c"], ["d"], ["mean", "out"]]


def brute_scores(model: Model) -> dict[tuple[str, int], float]:
    """Best share of its layer's visualised units below each, by comparing every pair."""
    content = model.content
    units = [(name, u.unit) for name, vis in content.feature_vis.items() for u in vis.units if u.state == "ok"]

    def measures(name: str, unit: int) -> list[float | None]:
        r, t = content.responses.get(name), content.tuning.get(name)
        contrast = (r.maximum[unit] - r.mean[unit]) / r.std[unit] if r and r.std[unit] else None
        return [
            contrast,
            r.selectivity[unit] if r and r.selectivity else None,
            t.orientation[unit] if t else None,
            t.colour[unit] if t and t.colour else None,
        ]

    table = {key: measures(*key) for key in units}
    found = {}
    for key, own in table.items():
        ranks = [0.0]
        for k, value in enumerate(own):
            others = [row[k] for other, row in table.items() if other[0] == key[0] and row[k] is not None]
            if value is not None:
                ranks.append(sum(other < value for other in others) / len(others))
        found[key] = max(ranks)
    return found


def test_the_units_that_stand_for_a_stage_are_those_that_stand_out():
    _, model = models()
    score = representatives.scores(model)
    expected = brute_scores(model)
    assert {key: score(key) for key in expected} == pytest.approx(expected)

    for stage in representatives.stages(model)[:-1]:
        chosen = representatives.representatives(model, stage, score, representatives.SHOWN_UNITS)
        assert len(chosen) == representatives.SHOWN_UNITS
        assert all(c.picture == "visualisation" for c in chosen)
        assert expected[chosen[0].key] == max(expected[c.key] for c in chosen)
        assert len({c.unit for c in chosen}) == len(chosen), "depthwise layers carry the same unit on"
        visualised = [x.name for x in stage if x.name in model.content.feature_vis]
        for name in visualised:
            own = [expected[c.key] for c in chosen if c.layer == name]
            assert len(own) >= representatives.SHOWN_UNITS // len(visualised)
        order = [model.content.layers.index(c.layer) for c in chosen[1:]]
        assert order == sorted(order)
    only = representatives.stages(model)[1]
    assert [x.name for x in only] == ["blocks.1.conv"]
    chosen = representatives.representatives(model, only, score, 5)
    ranked = sorted((key for key in expected if key[0] == "blocks.1.conv"), key=lambda key: (-expected[key], key[1]))
    assert {c.key for c in chosen} == set(ranked[:5])


def test_unexcited_units_stand_for_nothing():
    _, model = models()
    score = representatives.scores(model)
    picked = representatives.representatives(model, representatives.stages(model)[0], score, 99)
    assert ("blocks.0.depthwise", 5) not in {c.key for c in picked}
    assert len(picked) == 12, "every channel of the stem once, here or carried on"


def test_layers_are_spread_from_first_to_last():
    for length in range(1, 12):
        for count in range(1, 12):
            found = representatives._evenly(range(length), count)
            assert len(found) == len(set(found)) == min(length, count)
            assert found == sorted(found)
            assert found[-1] == length - 1
            if count > 1:
                assert found[0] == 0


def test_classes_that_were_seen_come_first():
    answers = [7, 3, 7]
    labels = tuple(f"class {k}" for k in range(10))
    content, _ = small_gallery(units=True, labels=labels)
    predictions = {
        p.probe.name: Predictions(scores="probability", top=(Prediction(index=i, label=labels[i], score=0.5),))
        for p, i in zip(content.models[0].probes, answers, strict=True)
    }
    _, model = models(content, predictions=predictions)
    chosen = representatives.representatives(model, representatives.stages(model)[-1], representatives.scores(model), 7)
    assert [c.key for c in chosen[:2]] == [("head", 7), ("head", 3)]
    assert len({c.unit for c in chosen}) == 7


def test_without_visualisations_exemplars_stand_for_units_and_then_maps():
    _, model = models(feature_vis={})
    stages, score = representatives.stages(model), representatives.scores(model)
    assert {c.picture for c in representatives.representatives(model, stages[0], score, 7)} == {"exemplar"}
    exemplars = {"blocks.1.conv": model.content.exemplars["blocks.1.conv"], "head": model.content.exemplars["head"]}
    gallery, model = models(feature_vis={}, exemplars=exemplars)
    chosen = representatives.representatives(model, stages[0], representatives.scores(model), 7)
    assert {c.picture for c in chosen} == {"map"}
    states = {m.layer: m.statistics.state for m in model.content.feature_maps if m.probe == "cat"}
    assert all(states[c.layer][c.unit] == "ok" for c in chosen)
    html = render(hierarchy_pages(gallery, model)[0])
    assert 'class="tile i0 upwards"' in html or 'class="tile i0 around"' in html


@pytest.mark.parametrize(
    "missing",
    [
        {"feature_vis": {}},
        {"exemplars": {}},
        {"responses": {}},
        {"tuning": {}},
        {"wires": {}},
        {"probes": (), "predictions": {}, "feature_maps": []},
        {"responses": {}, "tuning": {}, "wires": {}, "probes": (), "predictions": {}, "feature_maps": [], "filters": {}},
    ],
    ids=lambda missing: " ".join(missing),
)
def test_whatever_is_missing_the_page_stands(missing, tmp_path):
    content, files = small_gallery(units=True)
    first = content.models[0].model_copy(update=missing)
    gallery = Gallery(content.model_copy(update={"models": (first,)}))
    html = render(hierarchy_pages(gallery, gallery.models[0])[0])
    assert ("back to the pixels" in html) == ("wires" not in missing)
    assert ("class selectivity" in html) == ("responses" not in missing)
    assert (">hue<" in html) == ("tuning" not in missing)
    assert ("--photo:url" in html) == ("probes" not in missing)
    assert "None" not in html
    site = write_site(gallery.content, files, tmp_path)
    assert [p for p in check_links(site) if p.place.endswith("hierarchy.html")] == []


def test_there_is_no_page_without_two_stages_of_pictures():
    gallery, model = models(feature_vis={}, exemplars={})
    assert hierarchy_pages(gallery, model) == []
    assert representatives.href(model, model.places.index) is None
    content, _ = small_gallery(units=True)
    one = {"blocks.1.conv": content.models[0].feature_vis["blocks.1.conv"]}
    gallery, model = models(content, feature_vis=one, exemplars={})
    assert hierarchy_pages(gallery, model) == []
    gallery, model = models(content, feature_vis={**one, "head": content.models[0].feature_vis["head"]}, exemplars={})
    assert len(hierarchy_pages(gallery, model)) == 1
    assert representatives.href(model, model.places.index) == "hierarchy.html"


def test_every_unit_leads_to_its_page_and_shows_its_own_tile():
    gallery, model = models()
    page = hierarchy_pages(gallery, model)[0]
    html = render(page)
    score = representatives.scores(model)
    chosen = [c for s in representatives.stages(model) for c in representatives.representatives(model, s, score, 7)]
    shown = re.findall(r'<li><a href="([^"]+)" title="[^"]*"[^>]*><i class="tile i(\d+)" style="--x:(\d+);--y:(\d+)">', html)
    sheets = re.findall(r"\.i(\d+)\{--i:url\((?:\.\./)*([^)]+)\);--c:(\d+)\}", html)
    assert [href for href, *_ in shown] == [model.unit_href(page.path, *c.key) for c in chosen]
    for (_, sheet, x, y), candidate in zip(shown, chosen, strict=True):
        cell = tiles.cell(candidate.sheets, candidate.place)
        assert sheets[int(sheet)][1:] == (cell.file, str(cell.columns))
        assert (int(x), int(y)) == (cell.column, cell.row)
        unit = model.content.feature_vis[candidate.layer].units[candidate.place]
        assert unit.unit == candidate.unit


def test_hostile_names_stay_text():
    content, _ = small_gallery(
        units=True, name=HOSTILE, title=HOSTILE, names={"stem": HOSTILE}, labels=tuple(f"{HOSTILE} {n}" for n in range(10))
    )
    gallery = Gallery(content)
    html = render(hierarchy_pages(gallery, gallery.models[0])[0])
    assert "<script>alert" not in html
    assert "{{7*7}}" in html
    assert not re.search(r"<[^>]*\son\w+=", html)


def test_the_page_is_modest():
    content, _ = small_gallery(units=True, num_units=512)
    gallery = Gallery(content)
    html = render(hierarchy_pages(gallery, gallery.models[0])[0])
    assert len(html) < 200_000
    assert len(re.findall(r"<[a-z]", html)) < 1_400
