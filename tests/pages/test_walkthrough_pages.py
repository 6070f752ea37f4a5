"""The walkthrough's pages: the script's own code, the records' own numbers, and words for what a gallery lacks."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from small_gallery import small_gallery, write_site
from test_pages import HOSTILE, Reader

from generator.pages.content import GalleryContent
from generator.pages.gallery import Gallery
from generator.pages.links import check_links
from generator.pages.rendering import render
from generator.pages.walkthrough_pages import STEPS, walkthrough_pages
from generator.pages.walkthrough_parts import evenly

SCRIPT = Path(__file__).parents[2] / "How_to_Visualize_CNN.py"


def rendered(content: GalleryContent) -> dict[str, str]:
    """By slug; `index` for the contents."""
    return {page.path.split("/")[1].removesuffix(".html"): render(page) for page in walkthrough_pages(Gallery(content))}


def plain(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).split())


@pytest.fixture(scope="module")
def made() -> tuple[GalleryContent, dict[str, bytes]]:
    return small_gallery(units=True)


@pytest.fixture(scope="module")
def content(made: tuple[GalleryContent, dict[str, bytes]]) -> GalleryContent:
    return made[0]


@pytest.fixture(scope="module")
def site(made: tuple[GalleryContent, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(*made, tmp_path_factory.mktemp("walkthrough"))


@pytest.fixture(scope="module")
def pages(content: GalleryContent) -> dict[str, str]:
    return rendered(content)


def with_first(content: GalleryContent, **changes: object) -> GalleryContent:
    """Only the first model, changed."""
    return content.model_copy(update={"models": (content.models[0].model_copy(update=changes),)})


def test_the_steps_are_those_of_the_script(pages):
    titles = re.findall(r"^# ## Step (\d+): (.+)$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in titles] == list(range(1, len(STEPS) + 1))
    assert list(pages) == ["index", *(step.slug for step in STEPS)]


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.slug for step in STEPS])
def test_each_line_of_code_occurs_in_that_step_of_the_script(pages, number):
    text = SCRIPT.read_text(encoding="utf-8")
    chapter = re.split(r"^# ## Step \d+: ", text, flags=re.MULTILINE)[number + 1]
    lines = [re.sub(r"^# ?", "", line).strip() for line in chapter.splitlines()]
    quoted = unescape(re.search(r"<pre[^>]*><code>(.*?)</code></pre>", pages[STEPS[number].slug], re.DOTALL)[1])
    code = [line.strip() for line in quoted.splitlines() if line.strip()]
    assert len(code) >= 2
    assert [line for line in code if line not in lines] == []


def test_pages_are_whole_and_readable(site: Path):
    assert check_links(site) == []
    for file in [*(site / "walkthrough").glob("*.html"), site / "glossary.html"]:
        html = file.read_text(encoding="utf-8")
        reader = Reader(html)
        assert reader.headings[0] == 1, file
        assert all(b <= a + 1 for a, b in pairwise(reader.headings)), file
        assert len(reader.ids) == len(set(reader.ids)), file
        assert reader.tags.count("table") == reader.tags.count("caption"), file
        assert all("scope" in attributes for tag, attributes in reader.attributes if tag == "th"), file
        for link in re.findall(r"<a [^>]*>.*?</a>", html, re.DOTALL):
            assert "aria-label" in link or plain(link), (file, link)


def test_every_page_leads_to_the_walkthrough_and_the_glossary(site: Path):
    for file in site.rglob("*.html"):
        html, root = file.read_text(encoding="utf-8"), "../" * (len(file.relative_to(site).parts) - 1)
        assert f'href="{root}walkthrough/index.html"' in html or file.parent.name == "walkthrough", file
        assert f'href="{root}glossary.html"' in html, file


def test_numbers_are_the_records(content, pages):
    first = content.models[0]
    assert f"{first.info.num_params:,}" in plain(pages["load"])
    maps = next(m for m in first.feature_maps if m.layer == "stem" and m.probe == "cat" and m.value == "activation")
    above = 1 - sum(maps.statistics.zero_fraction) / maps.num_units
    assert f"32 × 32 positions, {100 * above:.0f} % of all values above zero" in plain(pages["maps"])
    norms = first.filters["stem"].norms
    said = plain(pages["filters"])
    assert f"filter {max(range(12), key=lambda u: norms[u])} (" in said.split("is the strongest")[0]
    assert f"filter {min(range(12), key=lambda u: norms[u])} (" in said.split("is the strongest")[1]
    assert "maps shrink from 32 × 32 to 16 × 16 positions while units grow from 12 to 16" in plain(pages["layers"])


def test_sentence_on_shrinking_maps_only_where_they_shrink(content):
    graph = content.models[0].graph
    flat = tuple(
        layer.model_copy(update={"shape": (32, 32, layer.num_units)}) if layer.spatial else layer for layer in graph.layers
    )
    changed = rendered(with_first(content, graph=graph.model_copy(update={"layers": flat})))
    assert "maps shrink" not in changed["layers"].split("look-at")[1]


def test_pictures_lead_to_their_units(content, pages):
    vis = content.models[0].feature_vis["stem"]
    shown = {u.unit for u in vis.units if u.state == "ok"}
    units = re.findall(r'href="\.\./m/tiny/stem/u(\d+)\.html"', pages["visualisations"])
    assert units
    assert {int(unit) for unit in units} <= shown
    assert re.findall(r'href="\.\./m/tiny/stem\.html#f(\d+)"', pages["filters"]) == [str(n) for n in range(12)]
    first = content.models[0].exemplars["blocks.1.conv"].units
    row = re.findall(
        r'<h3><a href="\.\./m/tiny/blocks\.1\.conv/u(\d+)\.html">.*?</h3>\s*<ol>(.*?)</ol>', pages["exemplars"], re.DOTALL
    )
    for unit, patches in row:
        wanted = [e.image for e in first[int(unit)].highest[:6]]
        assert [int(n) for n in re.findall(r"images\.html#i(\d+)", patches)] == wanted


def test_faults_and_twins_are_those_of_the_census(content, pages):
    stem = next(layer for layer in content.models[0].health.layers if layer.layer == "stem")
    said = plain(pages["health"])
    for fault in stem.faults:
        assert f"unit {fault.unit} {'not a number' if fault.kind == 'nan' else fault.kind}" in said
    for cluster in stem.clusters:
        assert f"unit {cluster.kept} stays unit {cluster.others[0].unit}" in said


def test_a_unit_with_two_faults_is_shown_once(content):
    health = content.models[0].health
    stem = health.layers[0].model_copy(
        update={"faults": (*health.layers[0].faults, health.layers[0].faults[0].model_copy(update={"kind": "constant"}))}
    )
    html = rendered(with_first(content, health=health.model_copy(update={"layers": (stem, *health.layers[1:])})))["health"]
    assert plain(html).count(" unit 1 ") == 1
    assert "unit 1 silent, constant" in plain(html)


def test_layers_with_weights_are_preferred(content):
    first = content.models[0]
    everywhere = {name: first.feature_vis["blocks.1.conv"].model_copy(update={"layer": name}) for name in first.layers[3:5]}
    html = rendered(with_first(content, feature_vis=everywhere))["visualisations"]
    assert "blocks.1.conv.html" in html
    assert "mean.html" not in html


def test_the_pair_that_is_confused_most(content, pages):
    classes = content.models[0].classes
    pair = classes.comparisons[0]
    said = plain(pages["classes"])
    assert f"{pair.first_as_second} of 40 images of {classes.labels[pair.first]}" in said
    assert f"Of {pair.num_tested} units tested, {pair.num_significant} answer differently" in said
    assert f"{pair.units[0].effect:+.2f}" in said


def test_a_gallery_without_them_says_how_to_get_them(content):
    bare = with_first(
        content, filters={}, feature_maps=[], probes=(), feature_vis={}, exemplars={}, health=None, classes=None, unit_pages={}
    )
    pages = rendered(bare)
    for slug, key in {
        "filters": "filters", "maps": "probes", "visualisations": "feature_vis", "exemplars": "dataset",
        "health": "measured_on", "classes": "measured_on",
    }.items():  # fmt: skip
        missing = re.search(r'<p class="missing">(.*?)</p>', pages[slug], re.DOTALL)
        assert missing, slug
        assert key in missing[1], slug
        assert "look-at" not in pages[slug]
    for slug in ("load", "layers", "yours"):
        assert 'class="missing"' not in pages[slug]
        assert "None" not in plain(pages[slug])


def test_an_empty_gallery_still_has_the_walkthrough(content):
    pages = rendered(content.model_copy(update={"models": ()}))
    assert sum('class="missing"' in html for html in pages.values()) == len(STEPS)


def test_each_step_takes_the_first_model_that_suits_it(content):
    first = content.models[0].model_copy(update={"health": None, "feature_vis": {}, "filters": {}})
    pages = rendered(content.model_copy(update={"models": (first, content.models[1])}))
    for slug in ("filters", "visualisations", "health"):
        assert "Other Net" in plain(pages[slug]), slug
    assert "m/tiny" in pages["maps"]


def test_names_stay_text(content):
    first = content.models[0]
    labels = tuple(f"{HOSTILE} {n}" for n in range(len(first.classes.labels)))
    hostile = with_first(
        content,
        info=first.info.model_copy(update={"title": HOSTILE, "source": HOSTILE}),
        classes=first.classes.model_copy(update={"labels": labels}),
        health=first.health.model_copy(update={"measured": first.health.measured.model_copy(update={"dataset": HOSTILE})}),
    )
    for slug, html in rendered(hostile).items():
        assert "<script>alert" not in html, slug
        assert all(not name.startswith("on") for _, attributes in Reader(html).attributes for name in attributes), slug


def test_evenly_takes_both_ends():
    for size in range(1, 30):
        for count in range(2, 12):
            found = evenly(range(size), count)
            assert found == sorted(set(found))
            assert len(found) == min(size, count)
            assert (found[0], found[-1]) == (0, size - 1)
            assert (
                max((b - a for a, b in pairwise(found)), default=0) - min((b - a for a, b in pairwise(found)), default=0) <= 1
            )
