"""The page of health: every number is the record's, every claim leads to its evidence, and files hold the same."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from small_gallery import small_gallery, write_site
from test_pages import HOSTILE, Reader

from generator.pages import health_words, quirk_lines, removals
from generator.pages.content import GalleryContent
from generator.pages.gallery import Gallery, Model
from generator.pages.health_page import health_pages
from generator.pages.links import check_links
from generator.pages.outline import outline
from generator.pages.rendering import render
from generator.records import Health, LayerHealth, Quirk, Removal


@pytest.fixture(scope="module")
def content() -> GalleryContent:
    return small_gallery(units=True)[0]


@pytest.fixture(scope="module")
def health(content: GalleryContent) -> Health:
    return content.models[0].health


@pytest.fixture(scope="module")
def model(content: GalleryContent) -> Model:
    return Gallery(content).models[0]


@pytest.fixture(scope="module")
def pages(content: GalleryContent) -> dict[str, str]:
    return rendered(content)


def rendered(content: GalleryContent, number: int = 0) -> dict[str, str]:
    gallery = Gallery(content)
    return {page.path.rpartition("/")[2]: render(page) for page in health_pages(gallery, gallery.models[number])}


def with_health(content: GalleryContent, **changes: object) -> GalleryContent:
    first = content.models[0]
    changed = first.model_copy(update={"health": first.health.model_copy(update=changes)})
    return content.model_copy(update={"models": (changed, *content.models[1:])})


def text(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))).strip()


def rows(html: str, name: str) -> list[list[str]]:
    body = re.search(rf'<table class="{name}">(.*?)</table>', html, re.DOTALL)[1]
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body)]
    return [[text(cell) for cell in row] for row in found]


def percent(share: float) -> str:
    return health_words.percent(share).replace("\N{NO-BREAK SPACE}", " ")


def removal(**changes: object) -> Removal:
    facts = {"before": 0.931, "accuracy": 0.93, "low": -0.003, "high": 0.001, "changed": 0.004, "shift": 0.1}
    return Removal(
        **{"layer": "stem", "kind": "weakest", "num_units": 6, "units": (), "num_images": 500, **facts, **changes}
    )  # fmt: skip


def test_the_table_counts_units_of_layers_with_weights(pages, content, health):
    weighted = [one for one in health.layers if content.models[0].graph.by_name[one.layer].has_kernel]
    _, *table = rows(pages["health.html"], "health")
    assert [row[0] for row in table] == [one.layer for one in weighted]
    for row, one in zip(table, weighted, strict=True):
        kinds = {kind: {f.unit for f in one.faults if f.kind == kind} for kind in ("nan", "rare")}
        dead = {f.unit for f in one.faults} - kinds["nan"] - kinds["rare"]
        redundant = {twin.unit for cluster in one.clusters for twin in cluster.others}
        numbers = [one.num_units, *map(len, (dead, kinds["nan"], kinds["rare"], redundant, one.opposites, one.noisy))]
        assert row[2:-1] == [str(n) for n in numbers]
        assert row[-1] == f"{one.rank:.3g} of {one.num_units}"
    assert "Of 58 units, 4 dead, 2 broken and 6 redundant" in pages["health.html"]


def test_bars_are_shares_of_the_layer(pages):
    row = re.search(r'<a href="#layer-stem">.*?</tr>', pages["health.html"])[0]
    assert [float(x) for x in re.findall(r'class="(?:dead|redundant)"[^>]* width="([\d.]+)"', row)] == pytest.approx([25, 25])


def test_a_unit_that_is_dead_twice_counts_once(health):
    stem = health.layers[0]
    twice = stem.model_copy(update={"faults": (*stem.faults, stem.faults[0].model_copy(update={"kind": "weightless"}))})
    assert health_words.counts(twice) == health_words.counts(stem)


def test_classes_are_never_redundant(health):
    stem = health.layers[0].model_copy(update={"removable": ()})
    assert health_words.counts(stem)["redundant"] == 0
    assert "Alike: it says" in " ".join(health_words.unit_sentences(stem, 5, health.measured))


def test_every_finding_is_explained_with_its_threshold_and_counted(content, pages, health):
    _, *table = rows(pages["health.html"], "meanings")
    found = {kind: (int(count), meaning) for kind, count, meaning in table}
    expected = {"silent": 2, "saturated": 0, "constant": 0, "weightless": 2, "not a number": 2, "rare": 2}
    assert {kind: count for kind, (count, _) in found.items()} == {**expected, "redundant": 6, "opposite pair": 2, "noisy": 1}
    assert "fewer than 1 % of" in found["rare"][1]
    assert "correlate by 0.98 or more" in found["redundant"][1]
    assert "0.999 or more" in found["redundant"][1]
    other = with_health(content, thresholds={**health.thresholds, "alike": 0.875})
    assert "correlate by 0.875 or more" in rendered(other)["health.html"]


def test_units_stand_with_their_numbers_and_lead_to_their_pages(pages):
    html = pages["health.html"]
    section = re.search(r'<article class="in-question" id="layer-blocks-1-conv">.*?</article>', html, re.DOTALL)[0]
    assert '<a class="chip" href="blocks.1.conv/u0005.html">' in section
    said = text(section)
    assert "unit 5 correlation 0.997 · kernels 0.910" in said
    assert "unit 8 kernels > 0.999" in said
    assert "unit 10 \N{MINUS SIGN}0.997" in said
    assert "unit 3 4.20e\N{MINUS SIGN}05 of the median" in said
    assert "Noisy" not in said
    assert "unit 11 55.0 %" in text(re.search(r'id="layer-stem">.*?</article>', html, re.DOTALL)[0])


def test_of_many_units_the_rest_is_counted(content, health):
    stem = health.layers[0]
    faults = tuple(stem.faults[0].model_copy(update={"unit": n % 12}) for n in range(40))
    html = rendered(with_health(content, layers=(stem.model_copy(update={"faults": faults}), *health.layers[1:])))[
        "health.html"
    ]
    section = re.search(r'id="layer-stem">.*?</article>', html, re.DOTALL)[0]
    assert re.search(r"Silent</h4>.*?and 16 more", section, re.DOTALL)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (removal(), "accuracy 93.1 % \N{RIGHTWARDS ARROW} 93.0 %, change between −0.3 and +0.1 points"),
        (removal(low=-0.0001, high=0.0004), "accuracy 93.1 % \N{RIGHTWARDS ARROW} 93.0 %, change between 0.0 and 0.0 points"),
        (removal(before=None, accuracy=None, low=None, high=None), "0.4 % of images are named otherwise"),
        (removal(before=None, accuracy=None, low=None, high=None, changed=0.0), "no image is named otherwise"),
    ],
)
def test_what_happened_is_said_in_words(one, words):
    assert health_words.change(one).replace("\N{NO-BREAK SPACE}", " ") == words.replace("−", "\N{MINUS SIGN}")


@pytest.mark.parametrize(
    ("changes", "unharmed"),
    [
        ({}, True),
        ({"low": -0.0099, "high": -0.001}, True),
        ({"low": -0.0101}, False),
        ({"low": None, "high": None, "changed": 0.0}, True),
        ({"low": None, "high": None, "changed": 0.002}, False),
    ],
)
def test_a_loss_is_told_from_none(changes, unharmed):
    assert health_words.unharmed(removal(**changes)) is unharmed


def test_the_largest_share_that_could_go_is_told(content, health):
    tried = (
        removal(num_units=3),
        removal(num_units=6),
        removal(num_units=9, low=-0.2, high=-0.1),
        removal(layer="head", num_units=4),
    )
    html = rendered(with_health(content, removals=tried))["health.html"].replace("\N{NO-BREAK SPACE}", " ")
    assert "6 of 12 units of stem could go at a loss of less than 1 point on 500 images: accuracy 93.1 % → 93.0 %" in html
    harmed = rendered(with_health(content, removals=(removal(low=-0.2, high=-0.1),)))["health.html"]
    assert "could go at a loss" not in harmed
    assert "Already without 6 of 12 units" in harmed


def test_charts_stand_where_accuracy_does(model, health):
    ladder = next(removals.ladders(model, model.places.health, health))
    tried = [one for one in health.removals if one.layer == "stem" and one.kind == "weakest"]
    c = removals.CHART
    points = [tuple(map(float, p.split())) for p in ladder.line.removeprefix("M").split("L")]
    shares = [0, *(one.num_units / 12 for one in tried)]
    heights = [0.931, *(one.accuracy for one in tried)]
    for (x, y), share, height in zip(points, shares, heights, strict=True):
        assert (x - c.left) / (c.right - c.left) == pytest.approx(share, abs=1e-3)
        assert (c.bottom - y) / (c.bottom - c.top) == pytest.approx(height, abs=1e-3)
    whiskers = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", ladder.whiskers)
    for (_, low, high), one in zip(whiskers, tried, strict=True):
        ends = [(c.bottom - float(y)) / (c.bottom - c.top) for y in (low, high)]
        assert ends == pytest.approx([max(0, 0.931 + one.low), min(1, 0.931 + one.high)], abs=1e-3)
    said = "; ".join(f"{one.num_units}: {health_words.percent(one.accuracy)}" for one in tried)
    assert ladder.label.endswith(f"none: {health_words.percent(0.931)}; {said}")


def test_removals_are_the_records(pages, health):
    _, *table = rows(pages["health.html"], "removals")
    tried = [one for one in health.removals if one.kind != "weakest" and one.layer != "mean"]
    assert [row[0] for row in table] == [one.layer or "all layers at once" for one in tried]
    for row, one in zip(table, tried, strict=True):
        assert row[1].startswith(f"{one.num_units} {one.kind}")
        assert row[2:4] == [percent(one.before), percent(one.accuracy)]
        assert row[4] == f"{health_words.points(one.low)} to {health_words.points(one.high)}"
        assert row[5:] == [percent(one.changed), "500"]


def test_a_healthy_model_is_told_so_plainly(content):
    html = rendered(content, 1)["health.html"]
    assert "No unit of 50 is dead or redundant" in html
    assert "There are none." in html
    assert "in-question" not in html
    assert "Accuracy with" not in html


def test_without_health_there_is_no_page(content):
    first = content.models[0].model_copy(update={"health": None})
    assert rendered(content.model_copy(update={"models": (first,)})) == {}


def test_files_hold_the_record(pages, content, health):
    assert Health.model_validate_json(pages["health.json"]) == health
    header, *table = csv.reader(io.StringIO(pages["health.csv"]))
    assert len(table) == sum(one.num_units for one in health.layers)
    by_unit = {(row[0], int(row[1])): dict(zip(header, row, strict=True)) for row in table}
    twin = by_unit["blocks.1.conv", 5]
    assert (twin["redundant_with"], float(twin["correlation"]), float(twin["kernel_cosine"])) == ("2", 0.9969, 0.91)
    assert by_unit["stem", 1]["faults"] == "silent"
    assert by_unit["stem", 8]["correlation"] == ""
    for one in health.layers:
        spare = {unit for (layer, unit), row in by_unit.items() if layer == one.layer and row["removable"] == "1"}
        assert spare == set(one.removable)
    assert json.loads(pages["health.json"])["thresholds"] == health.thresholds


def test_badges_and_marks_stand_where_something_is_wrong(content):
    found = {page.path: render(page) for page in outline(content)}
    html = found["m/tiny/index.html"]
    badges = dict(re.findall(r'<th scope="row"><a href="([^"]+)\.html">[^<]*</a><span class="badges">(.*?)</span></th>', html))
    assert set(badges) == {"stem", "blocks.1.conv"}
    assert re.findall(r'href="health.html#layer-stem">(.*?)</a>', badges["stem"]) == [
        "2 dead", "1 broken", "1 rare", "3 redundant",
    ]  # fmt: skip
    assert len(re.findall(r'<text class="mark"', html)) == 2 * 2
    assert "2 dead, 1 broken, 1 rare, 3 redundant</title>" in html
    assert "mark" not in re.sub(r"<style>.*?</style>", "", found["m/other/index.html"], flags=re.DOTALL)
    assert "Of 12 units: 2 dead, 1 broken, 1 rare, 3 redundant, 1 noisy filter." in found["m/tiny/stem.html"]
    assert 'href="health.html#layer-stem"' in found["m/tiny/stem.html"]
    assert 'id="health"' not in found["m/tiny/head.html"]
    assert "Dead: it is never above zero on 400 images" in found["m/tiny/stem/u0001.html"]
    assert "Redundant: it says what unit 2 says (correlation 0.997" in found["m/tiny/stem/u0005.html"]
    assert "Units 5, 8 of its layer say what it says." in found["m/tiny/stem/u0002.html"]
    assert "health.html" not in found["m/tiny/stem/u0006.html"]


def test_quirks_lead_to_their_evidence(content, model):
    page = model.places.index
    by_kind = {one.kind: quirk_lines.evidence(model, page, one) for one in content.models[0].quirks}
    assert {kind: link.href for kind, link in by_kind.items()} == {
        "removable": "health.html#layer-blocks-1-conv",
        "spare": "health.html#without-stem",
        "alike": "health.html#layer-blocks-1-conv",
        "confused": "compare/sea-slug-vs-teapot.html",
        "without-unit": "class/tabby.html",
        "misnamed": "probes/cat.html",
        "selective": "stem/u0003.html",
        "oriented": "blocks.0.depthwise.html",
    }
    assert quirk_lines.evidence(model, page, Quirk(kind="x", text="x", surprise=1, layer="nowhere")) is None
    assert quirk_lines.evidence(model, page, Quirk(kind="x", text="x", surprise=1)) is None


def test_at_most_eight_quirks_head_the_models_page(content):
    first = content.models[0]
    many = content.model_copy(update={"models": (first.model_copy(update={"quirks": 2 * first.quirks}),)})
    html = next(render(page) for page in outline(many) if page.path == "m/tiny/index.html")
    listed = re.search(r'<ul class="quirks">(.*?)</ul>', html, re.DOTALL)[1]
    assert listed.count("<li>") == quirk_lines.MOST == 8
    assert all(one.text in unescape(listed) for one in first.quirks)


def test_the_site_is_whole_and_readable(tmp_path: Path, pages):
    content, files = small_gallery(units=True)
    assert check_links(write_site(content, files, tmp_path)) == []
    for html in (pages["health.html"], rendered(content, 1)["health.html"]):
        reader = Reader(html)
        assert reader.headings[0] == 1
        assert all(b <= a + 1 for a, b in pairwise(reader.headings))
        assert len(reader.ids) == len(set(reader.ids))
        assert reader.tags.count("table") == reader.tags.count("caption")
        assert all("scope" in attributes for tag, attributes in reader.attributes if tag == "th")
        assert all(a.get("aria-label") or "aria-hidden" in a for tag, a in reader.attributes if tag == "svg")


def test_hostile_names_stay_text_also_in_files():
    content, _ = small_gallery(units=True, name=HOSTILE, title=HOSTILE, names={"stem": f'{HOSTILE}, "x"'})
    made = rendered(content)
    assert "<script>alert" not in made["health.html"]
    assert next(csv.reader(io.StringIO(made["health.csv"].split("\n", 1)[1])))[0] == f'{HOSTILE}, "x"'


def test_a_large_model_stays_within_budget(content, health):
    def large(one: LayerHealth) -> LayerHealth:
        faults = tuple(f.model_copy(update={"unit": n % one.num_units}) for n, f in enumerate(one.faults * 300))
        return one.model_copy(update={"faults": faults, "clusters": one.clusters * 200, "opposites": one.opposites * 500})

    html = rendered(with_health(content, layers=tuple(large(one) for one in health.layers)))["health.html"]
    assert len(html) < 100_000
