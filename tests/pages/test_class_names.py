"""Units of an output carry the names of their classes; answers that differ from an image's label say so."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from small_gallery import small_gallery, write_site

from generator.pages.content import GalleryContent, ModelContent
from generator.pages.outline import outline
from generator.pages.rendering import render

NAMES = ("tabby", "T-shirt/top", '<script>"x"</script>', "a 'b' & c", "crane", "crane", "Ankle boot", "猫", "bag", "coat")
LONG = ("American Staffordshire terrier, also known as amstaff", *NAMES[1:])
TILE = re.compile(
    r'<a class="t" id="([^"]+)" href="[^"]+"(?: data-n="\d+")? aria-label="([^"]*)"(?: title="([^"]*)")?>([^<]*)</a>'
)
NOTE = re.compile(r'<p class="note other">([^<]*)</p>')


def rendered(content: GalleryContent) -> dict[str, str]:
    return {page.path: render(page) for page in outline(content)}


def changed(content: GalleryContent, change: Callable[[ModelContent], dict]) -> GalleryContent:
    first = content.models[0]
    return content.model_copy(update={"models": (first.model_copy(update=change(first)), *content.models[1:])})


def tiles(html: str) -> dict[str, tuple[str, str, str]]:
    """Name for screen readers, tooltip and text of every tile, by id."""
    return {i: (unescape(label), unescape(title), unescape(text)) for i, label, title, text in TILE.findall(html)}


def test_few_classes_are_written_under_their_tiles():
    pages = rendered(small_gallery(labels=NAMES, num_units=len(NAMES))[0])  # other layers have as many units
    head = tiles(pages["m/tiny/head.html"])
    assert head == {f"u{n}": (f"Unit {n}, {name}", "", name) for n, name in enumerate(NAMES)}
    others = {path: tiles(html) for path, html in pages.items() if path != "m/tiny/head.html"}
    assert all(text == title == "" for found in others.values() for _, title, text in found.values())
    assert others["m/tiny/stem.html"]["u0"] == ("Unit 0", "", "")


def test_the_first_state_follows_the_class():
    def with_zero(model: ModelContent) -> dict:
        maps = next(m for m in model.feature_maps if (m.layer, m.probe) == ("head", "cat"))
        statistics = maps.statistics.model_copy(update={"state": ["zero", *maps.statistics.state[1:]]})
        rest = [m for m in model.feature_maps if m is not maps]
        return {"feature_maps": [maps.model_copy(update={"statistics": statistics}), *rest]}

    html = rendered(changed(small_gallery(labels=NAMES)[0], with_zero))["m/tiny/head.html"]
    assert tiles(html)["u0"][0] == "Unit 0, tabby, zero on Cat"


def test_strongest_inputs_are_listed_under_the_class():
    html = rendered(small_gallery(labels=NAMES)[0])["m/tiny/head.html"]
    listed = re.findall(r'<a class="of" href="#u(\d+)">([^<]*)</a>', html)
    assert [(number, unescape(text)) for number, text in listed] == [(str(n), f"{n} {name}") for n, name in enumerate(NAMES)]


def test_a_journey_names_the_strongest_classes():
    html = rendered(small_gallery(labels=NAMES)[0])["m/tiny/probes/cat.html"]
    bars = [unescape(text) for text in re.findall(r'<li><a href="\.\./head\.html[^"]*">([^<]*)</a>', html)]
    assert sorted(bars) == sorted(f"{n} · {name}" for n, name in enumerate(NAMES))
    assert re.search(r'<a href="\.\./mean\.html[^"]*">unit \d+</a>', html)


def test_an_output_of_maps_names_filters_and_the_journey_too():
    """As of a network that ends in a convolution."""
    names = tuple(f"class <{n}>" for n in range(16))

    def ending_in_maps(model: ModelContent) -> dict:
        return {"graph": model.graph.model_copy(update={"outputs": ("blocks.1.conv",)}), "labels": names}

    pages = rendered(changed(small_gallery()[0], ending_in_maps))
    layer = tiles(pages["m/tiny/blocks.1.conv.html"])
    assert layer["u5"] == ("Unit 5, class <5>", "", "class <5>")
    assert layer["f5"] == ("Filter 5, class <5>", "", "class <5>")
    journey = [tile for tile in tiles(pages["m/tiny/probes/cat.html"]).values() if "blocks.1.conv" in tile[0]]
    assert len(journey) == 12
    for label, _, text in journey:
        number = re.fullmatch(r"class <(\d+)>", text)[1]
        assert label == f"Unit {number}, class <{number}> of blocks.1.conv"


@pytest.mark.parametrize("labels", [None, NAMES[:9]])
def test_without_a_name_for_every_unit_there_are_numbers(labels):
    content = changed(small_gallery()[0], lambda _: {"labels": labels})
    pages = rendered(content)
    assert tiles(pages["m/tiny/head.html"])["u3"] == ("Unit 3", "", "")
    assert "named" not in pages["m/tiny/head.html"]
    assert 'href="#u3">3</a>' in pages["m/tiny/head.html"]


def test_many_classes_are_tooltips_within_the_budget():
    names = tuple(f"{NAMES[n % 10]} of kind {n * 7919 % 1000}" for n in range(512))

    def wide(model: ModelContent) -> dict:
        return {"graph": model.graph.model_copy(update={"outputs": ("blocks.1.conv",)}), "labels": names}

    content = changed(small_gallery(num_units=512, num_probes=30)[0], wide)
    html = rendered(content)["m/tiny/blocks.1.conv.html"]
    found = tiles(html)
    assert found["u281"] == (f"Unit 281, {names[281]}", names[281], "")
    assert found["f281"] == (f"Filter 281, {names[281]}", names[281], "")
    assert len(gzip.compress(html.encode())) <= 40_000
    assert len(re.findall(r"<[a-z]", html)) <= 1_400


def test_another_label_than_the_answer_is_said():
    content, _ = small_gallery(labels=NAMES, probe_labels=("tabby", NAMES[2], "cat"))
    pages = rendered(content)
    said = [unescape(text) for text in re.findall(r'<span class="other">([^<]*)</span>', pages["m/tiny/index.html"])]
    assert said == [f"labelled {NAMES[2]}"], "not of the right answer, nor of a label that is no class"
    notes = {
        probe: [
            unescape(text) for text in re.findall(r'<p class="note other">([^<]*)</p>', pages[f"m/tiny/probes/{probe}.html"])
        ]
        for probe in ("cat", "waves", "rings")
    }
    assert notes == {"cat": [], "waves": [f"This image is labelled {NAMES[2]}."] * 2, "rings": []}


def test_a_model_without_class_names_says_nothing_of_labels():
    content, _ = small_gallery(probe_labels=("tabby",))
    assert not any('class="other"' in html or "note other" in html for html in rendered(content).values())


def test_labels_change_only_pages_that_show_them():
    keys = {}
    for labels in (NAMES, (*NAMES[:9], "jacket")):
        pages = outline(small_gallery(labels=labels)[0])
        keys[labels] = {page.path: page.view.model_dump_json() for page in pages}
    before, after = keys.values()
    journeys = {f"m/tiny/probes/{name}.html" for name in ("cat", "waves", "rings")}
    assert {path for path in before if before[path] != after[path]} == {"m/tiny/head.html", *journeys}


@pytest.mark.parametrize("many", [False, True])
def test_the_window_is_titled_with_the_class(chromium: Browser, tmp_path: Path, many: bool):
    """Also where names are long and the screen is narrow."""
    names = tuple(f"{LONG[n % 10]} {n}" for n in range(80)) if many else LONG

    def wide(model: ModelContent) -> dict:
        return {"graph": model.graph.model_copy(update={"outputs": ("blocks.1.conv",)})} if many else {}

    content, files = small_gallery(num_units=80)
    site = write_site(changed(content, lambda model: {"labels": names, **wide(model)}), files, tmp_path)
    layer = "blocks.1.conv" if many else "head"
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    for unit in (0, 2):
        page.goto((site / f"m/tiny/{layer}.html").as_uri() + f"#u{unit}")
        page.wait_for_selector("#viewer-facts dl")
        assert page.inner_text("#viewer-title") == f"Unit {unit} · {names[unit]}"
        assert page.evaluate("document.querySelector('.viewer').scrollWidth <= innerWidth")
        close = page.locator("#viewer-close").bounding_box()
        assert close["x"] + close["width"] <= 390
    if many:
        page.keyboard.press("Escape")
        page.goto((site / f"m/tiny/{layer}.html").as_uri() + "#f3")
        assert page.inner_text("#viewer-title") == f"Filter 3 · {names[3]}"
        page.goto((site / "m/tiny/probes/cat.html").as_uri())
        page.locator("[data-layer='blocks.1.conv'] .t").nth(1).click()
        unit = page.evaluate("+document.querySelector('[data-layer=\"blocks.1.conv\"] .t:nth-child(2)').dataset.n")
        assert page.inner_text("#viewer-title") == f"Unit {unit} · {names[unit]}"
    page.close()
