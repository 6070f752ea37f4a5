"""Pages of units, of a dataset's images, and layers that open with what their units look for."""

from __future__ import annotations

import gzip
import itertools
import posixpath
import re
from math import log1p
from pathlib import Path
from urllib.parse import quote

import pytest
from small_gallery import small_gallery, write_site
from test_pages import HOSTILE, Reader

from generator.pages import gallery as galleries
from generator.pages import unit_panels, unit_words, urls
from generator.pages.assets import assets
from generator.pages.chips import chip
from generator.pages.content import GalleryContent
from generator.pages.gallery import Gallery, Model
from generator.pages.links import check_links
from generator.pages.outline import outline
from generator.pages.rendering import render
from generator.pages.wording import number
from generator.records import Sheet, UnitExemplars

TILE = re.compile(r'<i class="tile( smooth)?" style="--i:url\(([^)]*)\);--c:(\d+);--x:(\d+);--y:(\d+)(?:;--f:[^"]*)?"')


@pytest.fixture(scope="module")
def content() -> GalleryContent:
    return small_gallery(units=True)[0]


@pytest.fixture(scope="module")
def model(content: GalleryContent) -> Model:
    return Gallery(content).models[0]


@pytest.fixture(scope="module")
def pages(site_of_units: Path) -> dict[str, str]:
    return {
        file.relative_to(site_of_units).as_posix(): file.read_text(encoding="utf-8") for file in site_of_units.rglob("*.html")
    }


def with_model(content: GalleryContent, **changes: object) -> GalleryContent:
    return content.model_copy(update={"models": (content.models[0].model_copy(update=changes),)})


def rendered(content: GalleryContent, path: str) -> str:
    return next(render(page) for page in outline(content) if page.path == path)


def place(sheets: list[Sheet], tile: int) -> tuple[str, int, int, int]:
    """File, columns, column and row, counted one tile after the other."""
    places = [(s.file, s.columns, i % s.columns, i // s.columns) for s in sheets for i in range(s.count)]
    return places[tile]


def tiles_of(html: str) -> list[tuple[str, int, int, int]]:
    return [(file[file.index("img/") :], int(c), int(x), int(y)) for _, file, c, x, y in TILE.findall(html)]


def section(html: str, heading: str) -> str:
    return re.search(rf'<section aria-labelledby="{heading}">.*?</section>', html, re.DOTALL)[0]


def test_every_unit_that_is_to_have_a_page_has_one(content, pages):
    for model, folder in zip(content.models, ("tiny", "other"), strict=True):
        expected = {f"m/{folder}/{layer}/u{unit:04d}.html" for layer, units in model.unit_pages.items() for unit in units}
        assert {path for path in pages if path.startswith(f"m/{folder}/") and re.search(r"/u\d+\.html", path)} == expected


def test_the_site_is_whole(site_of_units: Path, pages):
    assert check_links(site_of_units) == []
    for path, html in pages.items():
        reader = Reader(html.split("<dialog")[0])
        assert reader.headings[0] == 1, path
        assert all(b <= a + 1 for a, b in itertools.pairwise(reader.headings)), path
        assert len(reader.ids) == len(set(reader.ids)), path
        for tag, attributes in reader.attributes:
            assert tag != "img" or "alt" in attributes, path
    for link in re.findall(r"<a [^>]*>.*?</a>", pages["m/tiny/blocks.1.conv/u0004.html"], re.DOTALL):
        assert "aria-label" in link or re.sub("<[^>]*>", "", link).strip(), link


def test_without_units_pages_are_as_they_were(content):
    emptied = {
        **{name: {} for name in ("feature_vis", "exemplars", "responses", "tuning", "wires", "unit_pages")},
        "images": None,
        "classes": None,
        "health": None,
        "quirks": (),
    }
    models = tuple(m.model_copy(update=emptied) for m in content.models)
    plain, _ = small_gallery()
    found, expected = ({p.path: render(p) for p in outline(c)} for c in (content.model_copy(update={"models": models}), plain))
    assert found == expected
    assert not any(word in html for html in found.values() for word in ("name=show", 'name="show"', "--v0", "units.css"))


def test_one_way_to_a_unit(model):
    page = "m/tiny/probes/cat.html"
    assert model.unit_href(page, "stem", 3) == "../stem/u0003.html"
    assert model.unit_href(page, "mean", 12) == "../mean.html#u12"
    assert model.unit_href(page, "input", 0) is None
    without_maps = Model(model.content.model_copy(update={"feature_maps": [], "unit_pages": {}}), model.places)
    assert without_maps.unit_href(page, "stem", 3) == "../stem.html#u3", "its visualisation"
    assert without_maps.unit_href(page, "blocks.0.depthwise", 1) == "../blocks.0.depthwise.html#f1", "its filter"
    assert without_maps.unit_href(page, "blocks.0.project", 1) == "../blocks.0.project.html"


def test_relative_ways_are_those_of_the_standard_library():
    paths = [
        "index.html",
        "m/a/index.html",
        "m/a/b.html",
        "m/a/b/u0001.html",
        "m/c/b.html",
        "m/a/probes/é x.html",
        "img/1.webp",
    ]
    for page, target in itertools.product(paths, paths):
        assert urls.relative(page, target) == quote(posixpath.relpath(target, posixpath.dirname(page) or "."))


def test_chips_show_the_best_picture_there_is(model):
    def picture(layer: str, unit: int) -> tuple[str, int, int, int]:
        cell = chip(model, "m/tiny/index.html", layer, unit).cell
        return cell.file, cell.columns, cell.column, cell.row

    record = model.content
    assert picture("stem", 7) == place(record.feature_vis["stem"].sheets, 7)
    assert picture("blocks.0.depthwise", 7) == place(record.feature_vis["blocks.0.depthwise"].sheets, 3), "the fourth with one"
    maps = model.main_maps("blocks.0.depthwise", "cat")
    assert picture("blocks.0.depthwise", 5) == place(maps.tile_sheets, 5), "unexcited: its map"
    assert picture("blocks.0.depthwise", 1) == place(record.filters["blocks.0.depthwise"].sheets, 1), "silent: its filter"
    assert picture("mean", 9) == picture("blocks.1.conv", 9), "what it averages"
    assert chip(model, "m/tiny/index.html", "blocks.0.project", 1).cell is None
    assert chip(model, "m/tiny/index.html", "input", 2).text == "image · blue"


def test_next_leads_round_all_units_of_the_layer(content, pages):
    for layer, units in (("stem", range(12)), ("blocks.0.depthwise", content.models[0].unit_pages["blocks.0.depthwise"])):
        at, seen = f"u{units[0]:04d}.html", []
        for _ in units:
            seen.append(int(at[1:5]))
            html = pages[f"m/tiny/{layer}/{at}"]
            following = re.search(r'<a rel="next" href="([^"]+)"', html)[1]
            assert re.search(r'<a rel="prev" href="([^"]+)"', pages[f"m/tiny/{layer}/{following}"])[1] == at
            at = following
        assert seen == list(units)
        assert int(at[1:5]) == units[0]


def test_visualisations_are_the_units_own(content, pages):
    found = content.models[0].feature_vis["stem"]
    html = section(pages["m/tiny/stem/u0006.html"], "seeks")
    unit = found.units[6]
    assert tiles_of(html) == [
        place(found.sheets, 6),
        place(found.more_sheets, unit.negative),
        *(place(found.more_sheets, i) for i in unit.diverse),
    ]
    assert f"<b>Excites it</b> {number(unit.reached)}, from 0.12 at the start" in html
    assert "<b>Silences it</b> −3.25" in html


def test_noise_is_never_shown(content, pages):
    found = content.models[0].feature_vis["blocks.0.depthwise"]
    noise = place(found.sheets, 2)
    assert found.units[2].state == "unexcited"
    html = pages["m/tiny/blocks.0.depthwise/u0005.html"]
    assert "No image was found that excites it" in html
    assert noise not in [t for page in pages.values() for t in tiles_of(page)]
    tile = re.search(r'<a class="t" id="u5"[^>]*>', pages["m/tiny/blocks.0.depthwise.html"])[0]
    assert "--v:var(--zero)" in tile


def test_exemplars_lead_to_their_images(content, pages):
    record, images = content.models[0].exemplars["blocks.1.conv"], content.models[0].images
    unit = record.units[4]
    html = section(pages["m/tiny/blocks.1.conv/u0004.html"], "finds")
    order = [*unit.highest, *unit.spread, *unit.lowest]
    highest, lowest = len(unit.highest), len(unit.lowest)
    slots = [*range(highest), *range(highest + lowest, highest + lowest + len(unit.spread)), *range(highest, highest + lowest)]
    assert tiles_of(html) == [place(record.sheets, unit.first + slot) for slot in slots]
    titles = {image.index: image for image in images.images}
    links = re.findall(r'<li><a href="([^"]+)" title="([^"]+)">.*?<b>([^<]+)</b></a> <span>([^<]+)</span>', html)
    assert links == [
        (f"../images.html#i{e.image}", titles[e.image].title, titles[e.image].label or titles[e.image].title, number(e.value))
        for e in order
    ]
    assert re.findall(r"at ([\d.]+ %)", html) == ["50 %", "75 %", "95 %"]


def test_images_are_whole_and_name_what_they_excite(content, pages):
    html, images = pages["m/tiny/images.html"], content.models[0].images
    found = re.findall(r'<li id="i(\d+)"><i class="tile smooth s(\d)" style="--x:(\d+);--y:(\d+)">', html)
    columns = images.sheets[0].columns
    assert found == [(str(i.index), "0", str(i.tile % columns), str(i.tile // columns)) for i in images.images]
    best = content.models[0].exemplars["stem"].units[2].highest[0].image
    assert 'href="stem/u0002.html">stem · 2</a>' in re.search(rf'<li id="i{best}">.*?</li>', html)[0]
    crops = pages["m/other/images.html"]
    assert crops.count('<a href="probes/cat.html">the whole photograph</a>') == sum(
        i.probe == "cat" for i in content.models[1].images.images
    )


def test_many_images_fill_several_pages(content, monkeypatch, tmp_path):
    monkeypatch.setattr(galleries, "IMAGES_A_PAGE", 10)
    monkeypatch.setattr("generator.pages.images_page.IMAGES_A_PAGE", 10)
    site = write_site(content, small_gallery(units=True)[1], tmp_path)
    assert check_links(site) == []
    ids = [
        re.findall(r'<li id="i(\d+)">', (site / f"m/tiny/images{end}").read_text()) for end in (".html", "/2.html", "/3.html")
    ]
    assert [len(found) for found in ids] == [10, 10, len(content.models[0].images.images) - 20]


def test_histograms_grow_with_the_logarithm(content):
    record = content.models[0].responses["blocks.1.conv"]
    drawn = unit_panels.histogram(record, 6)
    bars = [tuple(map(float, bar)) for bar in re.findall(r"M([\d.]+) 96v-([\d.]+)H([\d.]+)V96", drawn.path)]
    counts = record.counts[6]
    filled = [i for i, count in enumerate(counts) if count]
    assert [x for x, _, _ in bars] == pytest.approx([320 * i / 24 for i in filled], abs=0.06)
    assert [h for _, h, _ in bars] == pytest.approx([96 * log1p(counts[i]) / log1p(max(counts)) for i in filled], abs=0.51)
    assert drawn.counts == tuple(counts)
    assert drawn.bins == "24 bins of 0.5 from 0"
    assert drawn.mean == pytest.approx(320 * record.mean[6] / 12, abs=0.06)
    shifted = record.model_copy(update={"edges": [edge - 6 for edge in record.edges]})
    assert unit_panels.histogram(shifted, 6).zero == 160
    silent = record.model_copy(update={"edges": [0.0, 0.0], "counts": [[0]] * 16, "mean": [None] * 16})
    assert unit_panels.histogram(silent, 6).path == ""


def test_connections_carry_their_signs(content, pages):
    wires = content.models[0].wires["blocks.1.conv"]
    html = section(pages["m/tiny/blocks.1.conv/u0003.html"], "wiring")
    rows = re.findall(
        r'<li class="(\w+)"><a class="chip" href="([^"]+)">.*?<span>([^<]+)</span></a>.*?<b>([^<]+)</b></li>', html, re.S
    )
    expected = [*wires.inputs[3], *wires.outputs[3]]
    assert [(sign, text, weight) for sign, _, text, weight in rows] == [
        ("plus" if w.weight > 0 else "minus", f"{w.layer} · {w.channel}", ("+" if w.weight > 0 else "") + number(w.weight))
        for w in expected
    ]
    assert rows[0][1] == "../blocks.0.project.html#u1"
    bars = [(float(x), float(width)) for x, width in re.findall(r'<rect x="([-\d.]+)" width="([\d.]+)"', html)]
    strongest = wires.inputs[3][0].weight
    for (x, width), wire in zip(bars, wires.inputs[3], strict=False):
        assert width == pytest.approx(100 * abs(wire.weight / strongest), abs=0.1)
        assert x == pytest.approx(-width if wire.weight < 0 else 0)


def test_maps_on_every_image(content, pages):
    html = section(pages["m/tiny/blocks.1.conv/u0007.html"], "maps")
    records = [m for m in content.models[0].feature_maps if m.layer == "blocks.1.conv"]
    assert tiles_of(html) == [place(m.tile_sheets, 7) for m in records]
    assert re.findall(r'<a href="([^"]+)">', html) == [f"../probes/{m.probe}.html" for m in records]
    assert re.findall(r"<span>([^<]+)</span>", html) == [number(m.statistics.maximum[7]) for m in records]
    silent = section(pages["m/tiny/blocks.1.conv/u0001.html"], "maps")
    assert silent.count("state-zero") == 3
    assert tiles_of(silent) == []


def test_classes_are_sorted_and_outputs_have_none(content, pages):
    means = content.models[0].responses["stem"].class_means[5]
    names = content.models[0].images.dataset.labels
    html = section(pages["m/tiny/stem/u0005.html"], "classes")
    found = re.findall(r"<li><span>([^<]+)</span>.*?<b>([^<]+)</b>", html, re.DOTALL)
    assert found == sorted(((n, number(m)) for n, m in zip(names, means, strict=True)), key=lambda pair: -float(pair[1]))
    labelled = small_gallery(units=True, labels=tuple(f"class {n}" for n in range(10)))[0]
    head = rendered(labelled, "m/tiny/head/u0004.html")
    assert 'id="classes"' not in head
    assert "<h1>class 4</h1>" in head
    assert "The network’s score for “class 4”." in head


def test_classes_without_images_are_not_listed(model):
    responses = model.content.responses["stem"]
    means = [[None, -1.0, 0.5, None, 2.0]] * len(responses.mean)
    rows = unit_panels.class_rows(model, responses.model_copy(update={"class_means": means}), "stem", 5)
    assert [(row.name, row.share) for row in rows] == [("teapot", 1.0), ("crane", 0.25), ("lighthouse", 0.0)]


def test_words_say_what_was_measured(model):
    layer, images = model.graph.by_name["stem"], model.dataset_images
    one = model.content.exemplars["stem"].units[0]

    def of(*labels: str | None) -> str:
        named = {
            i: images[e.image].model_copy(update={"label": label})
            for i, (e, label) in enumerate(zip(one.highest, labels, strict=False))
        }
        moved = tuple(e.model_copy(update={"image": i}) for i, e in enumerate(one.highest[: len(labels)]))
        return unit_words.shared_label(UnitExemplars(unit=0, first=0, highest=moved, lowest=(), spread=()), named)

    assert of("cat", "cat", "dog", "cat") == "3 of the 4 images that excite it most are labelled “cat”."
    assert of("cat", "cat", "cat") == "All 3 images that excite it most are labelled “cat”."
    assert of("cat", "cat", "dog", "eel") == ""
    assert of("cat", "cat", "cat", "dog", "eel", "owl", "ape") == "", "less than half"
    assert of(None, None, None) == ""
    responses, tuning = model.content.responses["stem"], model.content.tuning["stem"]
    assert unit_words.answers(responses, layer, 4) == "It answers at 31 % of all positions of 400 images."
    assert unit_words.answers(responses, layer, 1) == "It answers to none of 400 images."
    assert unit_words.preference(tuning, 6) == "Of simple patterns it prefers stripes at 42° and orange-red.".replace(
        "orange-red", unit_words.hue_name(tuning.hue_deg[6])
    )
    assert unit_words.preference(tuning, 1) == ""
    assert [unit_words.hue_name(d) for d in (0, 120, 240, 359)] == ["red", "green", "blue", "red"]
    assert unit_words.best_image(["A", "B"], [1.0, None]) == "Of the 2 images below it answers most to A."
    assert unit_words.best_image(["A", "B"], [0.0, -1.0]) == "It answers to none of the 2 images below."
    assert unit_words.sight(layer) == "Each of its 32 × 32 positions sees 5 × 5 pixels of the image."


def test_a_layer_opens_with_what_its_units_look_for(content, pages):
    html, found = pages["m/tiny/blocks.0.depthwise.html"], content.models[0].feature_vis["blocks.0.depthwise"]
    assert html.index('id="show-0" value="vis" checked') < html.index('id="show-1"') < html.index('id="filters"')
    tiles = re.findall(r'<a class="t" id="u(\d+)" href="([^"]+)"([^>]*)>', html)
    assert [int(unit) for unit, _, _ in tiles] == list(range(12))
    placed = {int(unit): rest for unit, _, rest in tiles if "--v" in rest}
    assert list(placed) == [u.unit for u in found.units]
    for i, unit in enumerate(found.units):
        _, _, x, y = place(found.sheets, i)
        assert (f"--v:var(--v0);--vx:{x};--vy:{y}" in placed[unit.unit]) == (unit.state == "ok")
    assert {int(u): href for u, href, _ in tiles if href[0] != "#"} == {
        u: f"blocks.0.depthwise/u{u:04d}.html" for u in content.models[0].unit_pages["blocks.0.depthwise"]
    }
    assert "5 of 12 units" in html
    assert "Each image was changed step by step" in html


def test_a_layer_without_maps_shows_its_visualisations(content, tmp_path):
    bare = with_model(content, feature_maps=[], unit_pages={})
    site = write_site(bare, small_gallery(units=True)[1], tmp_path)
    assert check_links(site) == []
    html = (site / "m/tiny/blocks.0.depthwise.html").read_text()
    assert re.findall(r'<a class="t" id="u(\d+)" href="#u\d+"', html) == ["0", "2", "5", "7", "11"]
    assert "<h2" in html
    assert 'name="show"' not in html


@pytest.mark.parametrize(
    "missing", ["feature_vis", "exemplars", "responses", "tuning", "wires", "filters", "feature_maps", "predictions", "images"]
)
def test_whatever_is_missing_the_pages_stand(content, tmp_path, missing):
    changed = with_model(content, **{missing: None if missing == "images" else [] if missing == "feature_maps" else {}})
    assert check_links(write_site(changed, small_gallery(units=True)[1], tmp_path)) == []


def test_hostile_names_stay_text():
    content, _ = small_gallery(
        units=True,
        name=HOSTILE,
        title=HOSTILE,
        names={"stem": HOSTILE, "head": "<b>"},
        labels=tuple(f"{HOSTILE} {n}" for n in range(10)),
    )
    first = content.models[0]
    dataset = first.images.dataset.model_copy(
        update={
            "title": HOSTILE,
            "provenance": HOSTILE,
            "licence": HOSTILE,
            "labels": tuple(f"{HOSTILE} {n}" for n in range(5)),
        }
    )
    images = [i.model_copy(update={"title": HOSTILE, "label": HOSTILE}) for i in first.images.images]
    changed = with_model(content, images=first.images.model_copy(update={"dataset": dataset, "images": images}))
    for page in outline(changed):
        text = render(page)
        assert re.fullmatch(r"[a-z0-9./_-]+", page.path)
        # A table of plain text has no markup to escape.
        assert "<script>alert" not in text or page.path.endswith(".csv"), page.path
        if page.path.endswith(".html"):
            reader = Reader(text)
            assert reader.tags.count("script") == 2, page.path
            assert all(not name.startswith("on") for _, a in reader.attributes for name in a), page.path


def test_a_unit_page_depends_on_nothing_it_does_not_show(content):
    """A change of one unit's exemplars changes its own page and that of the images only."""
    record = content.models[0].exemplars["stem"]
    unit = record.units[4]
    first = unit.highest[0].model_copy(update={"value": 99.0, "image": unit.lowest[0].image})
    units = list(record.units)
    units[4] = unit.model_copy(update={"highest": (first, *unit.highest[1:])})
    exemplars = {**content.models[0].exemplars, "stem": record.model_copy(update={"units": units})}
    keys, new = (
        {p.path: p.view.model_dump_json() for p in outline(c) if "hierarchy" not in p.path}
        for c in (with_model(content), with_model(content, exemplars=exemplars))
    )
    assert {path for path in keys if keys[path] != new[path]} == {"m/tiny/stem/u0004.html", "m/tiny/images.html"}


def test_budgets():
    content, _ = small_gallery(units=True, num_units=512, num_probes=22, vis_px=16)
    pages = {page.path: page for page in outline(content)}
    layer = render(pages["m/tiny/blocks.1.conv.html"])
    assert layer.count("--v:var(--v") >= 512
    assert len(gzip.compress(layer.encode())) <= 40_000
    assert len(Reader(layer).tags) <= 1_400
    assert sum(len(data) for name, data in assets().items() if name in layer and name.endswith((".css", ".js"))) <= 25_000
    for path in ("m/tiny/blocks.1.conv/u0310.html", "m/tiny/stem/u0006.html", "m/tiny/head/u0002.html"):
        html = render(pages[path])
        assert len(gzip.compress(html.encode())) <= 6_000, path
        assert len(Reader(html).tags) <= 1_400
