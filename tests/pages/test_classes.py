"""Pages of classes: every number is the record's, every cell and name leads to its evidence, and files hold the same."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from functools import cache
from html import unescape
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from small_gallery import small_gallery, write_site
from test_pages import HOSTILE, Reader

from generator.pages import class_parts, comparison_page
from generator.pages.classes_page import SHADES, SHOWN_CLASSES, classes_pages
from generator.pages.content import GalleryContent, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.links import check_links
from generator.pages.rendering import render
from generator.records import Classes
from tests.pages import small_units

TEN = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@cache
def made() -> tuple[GalleryContent, dict[str, bytes]]:
    return small_gallery(units=True)


def labelled(labels: tuple[str, ...]) -> GalleryContent:
    """The gallery with a first model that names `labels`: so are its images, and two of its three photographs."""
    first = made()[0].models[0]
    images = first.images.model_copy(
        update={
            "dataset": first.images.dataset.model_copy(update={"labels": labels}),
            "images": [i.model_copy(update={"label": labels[n % len(labels)]}) for n, i in enumerate(first.images.images)],
        }
    )
    means = [[round(float(abs(np.sin(u + 2 * k)) * 4), 3) for k in range(len(labels))] for u in range(16)]
    return with_model(
        made()[0],
        labels=labels,
        images=images,
        probes=tuple(
            p.model_copy(update={"probe": p.probe.model_copy(update={"label": label})})
            for p, label in zip(first.probes, (*labels[:2], None), strict=True)
        ),
        responses={
            name: found.model_copy(update={"class_means": means[: len(found.mean)]}) for name, found in first.responses.items()
        },
        classes=small_units.classes(first.graph, images, labels),
    )


def with_model(content: GalleryContent, **changes: object) -> GalleryContent:
    return content.model_copy(update={"models": (content.models[0].model_copy(update=changes), *content.models[1:])})


def with_classes(content: GalleryContent, **changes: object) -> GalleryContent:
    return with_model(content, classes=content.models[0].classes.model_copy(update=changes))


def rendered(content: GalleryContent) -> dict[str, str]:
    gallery = Gallery(content)
    pages: Iterable[Page] = classes_pages(gallery, gallery.models[0])
    return {page.path.removeprefix("m/tiny/"): render(page) for page in pages}


def texts(html: str, pattern: str) -> list[str]:
    return [unescape(re.sub("<[^>]*>", "", found)).strip() for found in re.findall(pattern, html, re.DOTALL)]


def table(html: str, name: str) -> list[list[str]]:
    """Cells of the table of that class, its header first."""
    body = re.search(rf'<table class="{name}[^"]*">(.*?)</table>', html, re.DOTALL)[1]
    return [texts(row, r"<t[hd][^>]*>(.*?)</t[hd]>") for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]


@pytest.fixture(scope="module")
def content() -> GalleryContent:
    return labelled(TEN)


@pytest.fixture(scope="module")
def model(content: GalleryContent) -> Model:
    return Gallery(content).models[0]


@pytest.fixture(scope="module")
def classes(content: GalleryContent) -> Classes:
    return content.models[0].classes


@pytest.fixture(scope="module")
def pages(content: GalleryContent) -> dict[str, str]:
    return rendered(content)


def test_every_class_and_every_comparison_has_a_page(pages, classes):
    slugs = [re.sub(r"[ ]", "-", label.lower()).replace("/", ".") for label in TEN]
    expected = {"classes.html", "classes.json", "classes.csv", *(f"class/{slug}.html" for slug in slugs)}
    expected |= {f"compare/{slugs[c.first]}-vs-{slugs[c.second]}.html" for c in classes.comparisons}
    assert set(pages) == expected
    assert len(classes.comparisons) == len(list(combinations(TEN, 2))) - 1


def test_the_site_is_whole_and_readable(pages, tmp_path: Path):
    site = write_site(*made(), tmp_path)
    assert (site / "m/tiny/classes.html").is_file()
    assert check_links(site) == []
    for path, html in pages.items():
        if not path.endswith(".html"):
            continue
        reader = Reader(html)
        assert reader.headings[0] == 1, path
        assert all(b <= a + 1 for a, b in pairwise(reader.headings)), path
        assert len(reader.ids) == len(set(reader.ids)), path
        assert reader.tags.count("table") == reader.tags.count("caption"), path
        assert all("scope" in attributes for tag, attributes in reader.attributes if tag == "th"), path
        assert all(a.get("aria-label") or "aria-hidden" in a for tag, a in reader.attributes if tag == "svg"), path
        for link in re.findall(r"<a [^>]*>.*?</a>", html, re.DOTALL):
            assert "aria-label" in link or re.sub("<[^>]*>", "", link).strip(), (path, link)


def test_without_classes_there_are_no_pages(content):
    assert rendered(with_model(content, classes=None)) == {}


def test_the_confusion_matrix_is_the_records(pages, classes):
    head, *rows = table(pages["classes.html"], "confusion")
    assert head[1:] == [row[0] for row in rows] == list(TEN)
    counts = [[int(cell or 0) for cell in row[1:]] for row in rows]
    assert counts == [list(row) for row in classes.confusion]


def test_mistakes_lead_to_the_comparison_where_there_is_one(content, pages, classes):
    compared = {frozenset((c.first, c.second)) for c in classes.comparisons}
    html = re.search(r'<table class="confusion">.*?</table>', pages["classes.html"], re.DOTALL)[0]
    for i, row in enumerate(re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", html, re.DOTALL)):
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
        for j, cell in enumerate(cells):
            linked = "<a " in cell
            assert linked == (i != j and classes.confusion[i][j] > 0 and frozenset((i, j)) in compared), (i, j)


def test_shades_grow_with_the_share_of_the_row(content, classes):
    n = len(TEN)
    confusion = [[0] * n for _ in range(n)]
    confusion[0] = [50, 1, 4, 45, *[0] * (n - 4)]
    confusion[1][1] = 100
    html = rendered(with_classes(content, confusion=tuple(map(tuple, confusion))))["classes.html"]
    rows = re.findall(r'<tr><th scope="row">(.*?)</tr>', html, re.DOTALL)
    shades = [re.findall(r"<td(?: class=\"(\w+)\")?>", row) for row in rows[:2]]
    assert shades[0][:5] == ["r5", "w1", "w2", "w7", ""]  # 9 times 0.5; 9 times the roots of 0.01, 0.04, 0.45
    assert shades[1][1] == f"r{SHADES}"


def test_of_many_classes_those_with_most_mistakes_are_shown(content):
    labels = tuple(f"class {n}" for n in range(60))
    many = labelled(labels)
    confusion = np.diag(np.arange(60) % 7 * 1000)
    confusion[range(55), (np.arange(55) + 1) % 60] = np.arange(55)
    first = many.models[0].classes
    changed = with_classes(many, confusion=tuple(tuple(map(int, row)) for row in confusion), comparisons=())
    html = rendered(changed)["classes.html"]
    head, *rows = table(html, "confusion")
    wrong = confusion.sum(0) + confusion.sum(1) - 2 * np.diag(confusion)
    expected = [labels[n] for n in sorted(np.argsort(-wrong, kind="stable")[:SHOWN_CLASSES])]
    assert head[1:] == [row[0] for row in rows] == expected
    assert "the other 20 are in the file below" in html
    assert len(table(html, "lines")) == 1 + len(first.labels)


def test_pairs_are_said_in_words_most_confused_first(pages, classes):
    found = texts(pages["classes.html"], r"<ol class=\"pairs\">(.*?)</ol>")[0].split("\n")
    assert found[0] == (
        "bag and ankle boot 7 of 40 images of bag (17.5\N{NO-BREAK SPACE}%) are taken for ankle boot; "
        "4 of 40 images of ankle boot (10.0\N{NO-BREAK SPACE}%) are taken for bag."
    )
    confusion = np.array(classes.confusion)
    mistakes = (confusion + confusion.T)[np.triu_indices(len(TEN), 1)]
    assert all(int(more) >= int(less) for more, less in (re.findall(r"(\d+) of \d+ image", line) for line in found))
    sums = [sum(int(n) for n in re.findall(r"(\d+) of \d+ image", line)) for line in found]
    assert sums == sorted(mistakes, reverse=True)[: len(sums)]


def test_the_table_of_classes(pages, classes):
    _, *rows = table(pages["classes.html"], "lines")
    for row, one in zip(rows, classes.classes, strict=True):
        best = one.units[0]
        assert [*row[:2], *row[3:]] == [
            one.name, class_parts.percent(one.recall), str(one.num_images), class_parts.percent(one.precision), str(one.own),
            f"{best.layer} · {best.unit}",
        ]  # fmt: skip


def test_selectivity_along_the_layers(content, pages, classes):
    html = pages["classes.html"]
    path = re.search(r'preserveAspectRatio="none" role="img" aria-label="Mean class.*?<path d="([^"]*)"/></svg>', html)[1]
    bars = [float(height) for height in re.findall(r" 1v-([\d.]+)h", path)]
    assert np.allclose(bars, np.array(list(classes.layer_selectivity.values())) / 0.5, atol=5e-4)
    flat = rendered(with_classes(content, layer_selectivity=dict.fromkeys(classes.layer_selectivity, 0.0)))
    assert "1v-" not in flat["classes.html"]
    assert 'id="selective"' not in rendered(with_classes(content, layer_selectivity={}))["classes.html"]


def test_a_class_without_images_says_so(content, classes):
    n = len(TEN) - 1
    empty = {"num_images": 0, "recall": None, "low": None, "high": None, "precision": None}
    confusion = np.array(classes.confusion)
    confusion[n], confusion[:, n] = 0, 0
    changed = with_classes(
        content,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        classes=(*classes.classes[:n], classes.classes[n].model_copy(update=empty)),
    )
    pages = rendered(changed)
    html = pages["class/ankle-boot.html"]
    assert "None of the images is of this class." in html
    assert "It has no images." in html
    assert table(pages["classes.html"], "lines")[-1][1:3] == ["none", ""]


@pytest.mark.parametrize("name", ["bag", "dress", "sandal"])
@pytest.mark.parametrize("title", ["Taken for", "Others taken for it"])
def test_a_class_is_confused_as_the_matrix_says(pages, classes, name: str, title: str):
    index = TEN.index(name)
    line = classes.confusion[index] if title == "Taken for" else [row[index] for row in classes.confusion]
    part = re.search(rf"<h3>{title}</h3>.*?</div>", pages[f"class/{name}.html"], re.DOTALL)[0]
    found = re.findall(r"<li><span><a [^>]*>([^<]+)</a></span>.*?<b>(\d+) · ([^<]+)</b>", part, re.DOTALL)
    counts = {TEN[n]: count for n, count in enumerate(line) if n != index and count}
    assert all(counts[other] == int(count) for other, count, _ in found)
    assert [int(count) for _, count, _ in found] == sorted(counts.values(), reverse=True)[: len(found)]
    assert all(share == class_parts.percent(int(count) / sum(line)) for _, count, share in found)
    left = sum(counts.values()) - sum(int(count) for _, count, _ in found)
    assert re.findall(r"And (\d+) more", part) == ([str(left)] if left else [])


def test_bars_of_a_units_answers(classes):
    means = classes.means["stem"][4]
    bars = class_parts.mean_bars(classes, "stem", 4, 6)
    drawn = [float(h) for h in re.findall(r"v-([\d.e-]+)h", bars.path + bars.own)]
    expected = [m for n, m in enumerate(means) if n != 6] + [means[6]]
    assert np.allclose(drawn, class_parts.HEIGHT * np.array(expected) / max(means), rtol=6e-3)
    best = int(np.argmax(means))
    assert bars.label.split(": ")[1].startswith(f"{TEN[best]} ")
    assert class_parts.mean_bars(classes.model_copy(update={"means": {}}), "stem", 4, 6) is None


def test_images_of_which_the_network_is_sure(content, pages, model, classes):
    bag = classes.classes[TEN.index("bag")]
    part = re.search(r"<h3>Named wrongly</h3>.*?</div>\n", pages["class/bag.html"], re.DOTALL)[0]
    assert texts(part, r"<b>(.*?)</b>") == [model.dataset_images[i].title for i in bag.misses if i in model.dataset_images]
    assert "2 of the first 3" in part
    assert "named ankle boot" in part
    index = 2  # no exemplar, but its picture is among those of classes
    first = content.models[0].images
    more = first.model_copy(
        update={"images": [first.images[0].model_copy(update={"index": index, "title": "found", "tile": 0, "label": "bag"})]}
    )
    other = more.model_copy(update={"dataset": first.dataset.model_copy(update={"name": "another"})})
    html = rendered(with_model(content, class_images=other))["class/bag.html"]
    part = re.search(r"<h3>Named wrongly</h3>.*?</section>", html, re.DOTALL)[0]
    assert re.search(r"<li><div><i [^>]*></i><b>found</b></div>", part), "numbers of another dataset lead to no exemplar"
    assert "1 of the first 3" in part


def test_the_score_of_a_class_is_its_unit_of_the_last_layer(pages, content):
    bag = pages["class/bag.html"]
    assert '<a href="../head/u0008.html">Unit 8 of head</a> is the network’s score for this class.' in bag
    assert "The image that raises its score most" in bag
    narrow = labelled(TEN[:5])
    assert 'id="score"' not in rendered(narrow)["class/coat.html"], "the last layer has ten units"


def test_effects_are_drawn_on_one_scale(pages, classes):
    pair = classes.comparisons[0]
    html = pages["compare/bag-vs-ankle-boot.html"]
    drawn = [
        tuple(float(x) for x in found)
        for found in re.findall(r'<path d="M([-\d.]+) 0H([-\d.]+)"/><path class="dot" d="M([-\d.]+) 0h.01"/>', html)
    ]
    ends = np.array([(u.low, u.high, u.effect) for u in pair.units])
    scale = np.ceil(np.abs(ends).max())
    assert np.allclose(drawn, 100 * ends / scale, atol=0.06)
    _, *rows = table(html, "effects")
    assert [row[2] for row in rows] == [f"{u.effect:+.2f}".replace("-", "−") for u in pair.units]
    assert [row[4] for row in rows[-2:]] == ["0.001", "0.010"]
    assert {row[4] for row in rows[:-2]} == {"< 0.001"}


@pytest.mark.parametrize(
    ("tested", "differ", "words"),
    [
        (64, 41, "Of 64 units tested, 41 answer to"),
        (64, 1, "Of 64 units tested, 1 answers to"),
        (64, 0, "Of 64 units tested, none answers to"),
        (64, 64, "All 64 units tested answer to"),
        (0, 0, "No unit could be tested"),
    ],
)
def test_how_many_units_differ_in_words(classes, tested: int, differ: int, words: str):
    pair = classes.comparisons[0].model_copy(update={"num_tested": tested, "num_significant": differ})
    assert comparison_page._verdict(pair).startswith(words)


def test_units_are_shown_on_an_image_of_each_class(pages, content):
    html = re.search(r'<ol class="beside">.*?</ol>', pages["compare/t-shirt.top-vs-trouser.html"], re.DOTALL)[0]
    assert texts(html, r"<h3>(.*?)</h3>") == [
        "blocks.1.conv · 5", "blocks.0.project · 2", "blocks.0.depthwise · 3", "stem · 8",
    ]  # fmt: skip
    assert re.findall(r'<a href="(\.\./probes/[^"]+)">', html)[:2] == ["../probes/cat.html", "../probes/waves.html"]
    maps = {(m.layer, m.probe): m for m in content.models[0].feature_maps}
    for probe in ("cat", "waves"):
        assert maps["blocks.1.conv", probe].tile_sheets[0].file in html
    elsewhere = pages["compare/bag-vs-ankle-boot.html"]
    assert "probes/" not in elsewhere
    assert "Its filter" in elsewhere


def test_swapped_images_stand_under_their_class(pages, model, classes):
    pair = classes.comparisons[0]
    html = re.search(r'<section class="sides".*?</section>', pages["compare/bag-vs-ankle-boot.html"], re.DOTALL)[0]
    for side, index in zip(html.split("<h3>")[1:], (pair.first, pair.second), strict=True):
        expected = [i for i in pair.swapped if i in model.dataset_images and model.dataset_images[i].label == TEN[index]]
        assert expected
        assert re.findall(r'href="[^"]*#i(\d+)"', side) == [str(i) for i in expected]


def test_files_hold_the_same_numbers(content, pages, classes):
    assert Classes.model_validate(json.loads(pages["classes.json"])) == classes
    rows = list(csv.DictReader(io.StringIO(pages["classes.csv"])))
    for name, means_of, selectivity_of in (("stem", classes.means["stem"], classes.selectivity["stem"]),):
        found = [row for row in rows if row["layer"] == name]
        assert [int(row["unit"]) for row in found] == list(range(len(means_of)))
        for row, means, selectivity in zip(found, means_of, selectivity_of, strict=True):
            best = int(np.argmax(means))
            assert row["best_class"] == TEN[best]
            assert float(row["selectivity"]) == selectivity
            assert float(row["mean_of_best"]) == means[best]
            assert float(row["mean_of_others"]) == pytest.approx(np.delete(means, best).mean())
    many = classes.model_copy(update={"means": {}, "selectivity": {}})
    rows = list(csv.DictReader(io.StringIO(rendered(with_model(content, classes=many))["classes.csv"])))
    kept = {(one.layer, str(one.unit)) for found in classes.classes for one in found.units}
    assert {(row["layer"], row["unit"]) for row in rows} == kept


def test_names_are_escaped_and_files_quoted():
    content = labelled((HOSTILE, 'a "b", c', "a/b", "a.b", *TEN[4:]))
    pages = rendered(content)
    for path, html in pages.items():
        if not path.endswith(".csv"):
            assert "<script>alert" not in html, path
    assert json.loads(pages["classes.json"])["labels"][0] == HOSTILE
    assert 'a "b", c' in {row["best_class"] for row in csv.DictReader(io.StringIO(pages["classes.csv"]))}
    assert len(pages) == len({path.lower() for path in pages})
    assert all(re.fullmatch(r"[a-z0-9._/-]+", path) for path in pages)


def test_pages_are_lean(pages):
    for path, html in pages.items():
        kind = path.split("/")[0]
        assert len(html.encode()) < {"class": 30_000, "compare": 40_000}.get(kind, 80_000), path
