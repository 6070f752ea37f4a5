"""The summary: plain facts, four pictures, what stands out, and what it rests on, for every model."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise

import pytest
from small_gallery import small_gallery
from test_pages import HOSTILE, Reader

from generator.pages import representatives
from generator.pages.content import GalleryContent
from generator.pages.gallery import Gallery
from generator.pages.rendering import render
from generator.pages.summary_page import SHOWN_QUIRKS, summary_page


def rendered(content: GalleryContent, number: int = 0) -> str:
    gallery = Gallery(content)
    return render(summary_page(gallery, gallery.models[number]))


def changed(content: GalleryContent, **changes: object) -> GalleryContent:
    return content.model_copy(update={"models": (content.models[0].model_copy(update=changes),)})


def section(html: str, name: str) -> str:
    found = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', html, re.DOTALL)
    return unescape(found[1]).replace("\N{NO-BREAK SPACE}", " ") if found else ""


@pytest.fixture(scope="module")
def content() -> GalleryContent:
    return small_gallery(units=True)[0]


def test_it_holds_facts_and_the_answer(content):
    html = rendered(content)
    assert "<dt>Test accuracy</dt><dd>93.1 %</dd>" in html
    assert "to Cat: class 0, 60 %" in section(html, "sees")


def test_first_filters_are_the_strongest(content):
    html = section(rendered(content), "sees")
    grid = re.search(r'<a class="grid-of" href="stem.html#filters"[^>]*>(.*?)</a>', html)[1]
    places = [(int(x), int(y)) for x, y in re.findall(r"--x:(\d+);--y:(\d+)", grid)]
    filters = content.models[0].filters["stem"]
    strongest = sorted(range(12), key=lambda unit: -filters.norms[unit])[:9]
    assert places == [(unit % filters.sheets[0].columns, unit // filters.sheets[0].columns) for unit in strongest]


def test_units_stand_for_the_middle_and_the_end(content):
    model = Gallery(content).models[0]
    score = representatives.scores(model)
    found = [c for stage in representatives.stages(model) for c in representatives.representatives(model, stage, score, 1)]
    html = section(rendered(content), "sees")
    for candidate in (found[1], found[-1]):
        assert f'href="{model.unit_href(model.places.summary, *candidate.key)}"' in html
    assert len(found) == 3


def test_the_most_surprising_stand_out(content):
    html = section(rendered(content), "odd")
    told = [one.text in html for one in content.models[0].quirks]
    assert told == [True] * SHOWN_QUIRKS + [False] * (len(told) - SHOWN_QUIRKS)


def test_what_was_not_measured_is_said(content):
    assert "Not measured" not in rendered(content)
    assert "Nothing did among what was looked for." in rendered(content, 1)
    assert "Not measured: how often it is right." in rendered(content, 1)
    bare = rendered(changed(content, health=None, classes=None, quirks=()))
    assert "Not measured: how often it is right, which units are dead or redundant and what happens without" in bare
    assert section(bare, "odd") == ""


def test_accuracy_is_that_of_classes_with_its_interval_else_that_of_health(content):
    classes = content.models[0].classes
    said = section(rendered(content), "sure")
    assert f"{100 * classes.accuracy:.1f} % of images are named rightly" in said
    assert f"between {100 * classes.low:.1f} and {100 * classes.high:.1f} %" in said
    said = section(rendered(changed(content, classes=None)), "sure")
    assert "93.1 % of images are named rightly. Measured on 400" in said


def test_every_model_has_one_in_good_order(content):
    for html in (
        rendered(content),
        rendered(content, 1),
        rendered(small_gallery()[0]),
        rendered(small_gallery(num_probes=0)[0]),
    ):
        reader = Reader(html)
        assert reader.headings[0] == 1
        assert all(b <= a + 1 for a, b in pairwise(reader.headings))
        assert len(reader.ids) == len(set(reader.ids))
        assert all(attributes.get("alt") is not None for tag, attributes in reader.attributes if tag == "img")


def test_hostile_names_stay_text():
    html = rendered(small_gallery(units=True, title=HOSTILE, probe_titles=(HOSTILE,), names={"stem": HOSTILE})[0])
    assert "<script>alert" not in html
