"""What every page of a site must be: escaped, valid in its outline, named, linked, deterministic and within budget."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from small_gallery import small_gallery, write_site

from generator.pages.assets import assets, pack
from generator.pages.content import GalleryContent
from generator.pages.outline import outline
from generator.pages.rendering import render

HOSTILE = '<script>alert("x")</script> \'"&{{7*7}} ]]> é 猫'
TILE = re.compile(r'<a class="t" id="([^"]+)" href="([^"]+)"([^>]*)>')


class Reader(HTMLParser):
    """Counts elements and keeps headings, ids and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    @property
    def headings(self) -> list[int]:
        return [int(tag[1]) for tag in self.tags if re.fullmatch("h[1-6]", tag)]

    @property
    def ids(self) -> list[str]:
        return [a["id"] for _, a in self.attributes if "id" in a]


def html_pages(content: GalleryContent) -> dict[str, str]:
    return {page.path: render(page) for page in outline(content) if page.path.endswith(".html")}


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, str]:
    return {file.relative_to(site).as_posix(): file.read_text(encoding="utf-8") for file in site.rglob("*.html")}


def test_addresses(pages):
    assert {p for p in pages if not p.startswith("m/other")} == {
        "index.html",
        "about.html",
        "glossary.html",
        "walkthrough/index.html",
        "walkthrough/classes.html",
        "walkthrough/exemplars.html",
        "walkthrough/filters.html",
        "walkthrough/health.html",
        "walkthrough/layers.html",
        "walkthrough/load.html",
        "walkthrough/maps.html",
        "walkthrough/visualisations.html",
        "walkthrough/yours.html",
        "m/tiny/index.html",
        "m/tiny/summary.html",
        "m/tiny/stem.html",
        "m/tiny/blocks.0.depthwise.html",
        "m/tiny/blocks.0.project.html",
        "m/tiny/blocks.1.conv.html",
        "m/tiny/mean.html",
        "m/tiny/head.html",
        "m/tiny/probes/cat.html",
        "m/tiny/probes/waves.html",
        "m/tiny/probes/rings.html",
    }


def test_headings_start_at_one_and_skip_no_level(pages):
    for path, html in pages.items():
        # The viewer's heading is outside the page's outline: its window is closed.
        levels = Reader(html.split("<dialog")[0]).headings
        assert levels[0] == 1, path
        assert levels.count(1) == 1, path
        assert all(b <= a + 1 for a, b in pairwise(levels)), (path, levels)


def test_ids_are_unique(pages):
    for path, html in pages.items():
        ids = Reader(html).ids
        assert len(ids) == len(set(ids)), path


def test_every_tile_has_a_name_and_its_own_address(pages):
    layer = pages["m/tiny/blocks.1.conv.html"]
    tiles = {i: (href, rest) for i, href, rest in TILE.findall(layer)}
    assert [i for i in tiles if i[0] == "u"] == [f"u{n}" for n in range(16)]
    assert [i for i in tiles if i[0] == "f"] == [f"f{n}" for n in range(16)]
    assert all(href == f"#{i}" for i, (href, _) in tiles.items())
    assert 'aria-label="Unit 5"' in tiles["u5"][1]
    assert 'aria-label="Unit 1, zero on Cat"' in tiles["u1"][1]
    assert 'aria-label="Unit 3, not a number on Cat"' in tiles["u3"][1]
    for path, html in pages.items():
        for identifier, _, rest in TILE.findall(html):
            assert re.search(r'aria-label="[^"]+"', rest), (path, identifier)


def test_every_picture_has_a_text_and_every_control_a_name(pages):
    for path, html in pages.items():
        for tag, attributes in Reader(html).attributes:
            if tag == "img":
                assert "alt" in attributes, path
            if tag == "button":
                assert attributes.get("aria-label"), path


def test_journey_leads_to_each_unit_with_its_image_chosen(pages):
    html = pages["m/tiny/probes/waves.html"]
    tiles = [href for _, href, _ in TILE.findall(html)]
    assert len(tiles) == 12 + 12 + 8 + 12
    bars = re.findall(r'<li><a href="([^"]+)">unit \d+</a>', html)
    assert len(bars) == 12 + 10
    links = tiles + bars
    assert all(re.fullmatch(r"\.\./[a-z0-9.]+\.html\?probe=waves#u\d+", link) for link in links)


def test_states_are_marked_for_each_image(pages):
    html = pages["m/tiny/blocks.1.conv.html"]
    assert "#maps:has(#probe-2:checked):has(#value-0:checked) :is(#u1){--mark:var(--zero)" in html


def test_signed_maps_use_tables_around_zero(pages):
    rule = re.search(r"#maps:has\(#probe-0:checked\)\{--t0[^}]*\}", pages["m/other/blocks.0.project.html"])[0]
    assert "--f:var(--around)" in rule
    assert '--low:"−' in rule
    rule = re.search(r"#maps:has\(#probe-0:checked\)\{--t0[^}]*\}", pages["m/other/stem.html"])[0]
    assert "--f:var(--upwards)" in rule
    assert '--low:"0"' in rule


def test_hostile_names_stay_text():
    content, _ = small_gallery(
        name=HOSTILE,
        title=HOSTILE,
        names={"stem": HOSTILE, "mean": "../../etc"},
        probe_titles=(HOSTILE, "../up"),
        labels=tuple(f"{HOSTILE} {n}" for n in range(10)),
        probe_labels=(f"{HOSTILE} 7",),
    )
    content = content.model_copy(update={"title": HOSTILE, "config_text": f"# {HOSTILE}</pre>"})
    for page in outline(content):
        text = render(page)
        assert re.fullmatch(r"[a-z0-9./_-]+", page.path)
        assert ".." not in page.path
        assert "<script>alert" not in text, page.path
        assert page.path.endswith(".js") or "{{7*7}}" in text, page.path
        if page.path.endswith(".html"):
            reader = Reader(text)
            assert all(not name.startswith("on") for _, a in reader.attributes for name in a), page.path
            assert reader.tags.count("script") == 2, page.path


def test_unsafe_picture_paths_are_refused():
    content, _ = small_gallery()
    model = content.models[0]
    maps = model.feature_maps[0]
    bad = maps.tile_sheets[0].model_copy(update={"file": "img/a);b{}.webp"})
    changed = model.model_copy(
        update={"feature_maps": [maps.model_copy(update={"tile_sheets": [bad]}), *model.feature_maps[1:]]}
    )
    with pytest.raises(ValueError, match="not a safe path"):
        outline(content.model_copy(update={"models": (changed,)}))


def test_layer_page_of_512_units_within_budget():
    content, _ = small_gallery(num_units=512, num_probes=30, probe_titles=("Cat", "Waves", "Rings"))
    html = html_pages(content)["m/tiny/blocks.1.conv.html"]
    assert len(TILE.findall(html)) == 2 * 512
    assert len(gzip.compress(html.encode())) <= 40_000
    assert len(Reader(html).tags) <= 1_400
    shared = sum(len(data) for name, data in assets().items() if name in html and name.endswith((".css", ".js")))
    assert shared <= 25_000


def test_packing_keeps_what_counts():
    css = "/* a\nnote */\na{\n  color:red;\n}\nb > c{x:y}\n"
    assert pack(css, ".css") == "a{color:red;}b > c{x:y}"
    assert pack("let a = 1\n  let b = 2;\nf(a,\n  b);\n", ".js") == "let a = 1\nlet b = 2;f(a,b);"


def test_only_a_base_url_brings_absolute_addresses():
    without, _ = small_gallery()
    paths = {page.path for page in outline(without)}
    assert not paths & {"404.html", "sitemap.xml"}
    for path, html in html_pages(without).items():
        found = re.findall(r"(?:href|src|content)=\"((?:https?:)?/[^\"]*)", html)
        assert not found, path

    with_base, _ = small_gallery(base_url="https://example.org/gallery")
    pages = {page.path: render(page) for page in outline(with_base)}
    assert '<link rel="canonical" href="https://example.org/gallery/m/tiny/stem.html">' in pages["m/tiny/stem.html"]
    assert '<meta property="og:image" content="https://example.org/gallery/img/' in pages["index.html"]
    assert '<base href="https://example.org/gallery/">' in pages["404.html"]
    addresses = re.findall("<loc>(.*?)</loc>", pages["sitemap.xml"])
    assert "https://example.org/gallery/" in addresses
    assert "https://example.org/gallery/m/tiny/probes/cat.html" in addresses
    assert len(addresses) == len([p for p in pages if p.endswith(".html")]) - 1


def test_numbers_are_what_the_records_say():
    content, _ = small_gallery()
    page = next(p for p in outline(content) if p.path == "m/tiny/blocks.1.conv.js")
    text = render(page)
    data = json.loads(re.fullmatch(r"cnnscope\((.*)\);\n", text)[1])
    maps = next(m for m in content.models[0].feature_maps if m.layer == "blocks.1.conv" and m.probe == "waves")
    found = next(m for m in data["maps"] if m["probe"] == "waves")
    assert found["max"][0] == pytest.approx(maps.statistics.maximum[0], rel=0.006)
    assert found["max"][3] is None
    assert found["state"] == "ozcn" + "o" * 12
    source, channel, weight = data["filters"]["strongest"][2][1]
    strong = content.models[0].filters["blocks.1.conv"].strongest[2][1]
    assert (data["filters"]["sources"][source]["text"], channel, weight) == (strong.layer, strong.channel, strong.weight)
    assert data["filters"]["sources"][source]["href"] == "m/tiny/blocks.0.project.html"


def test_a_page_depends_on_nothing_it_does_not_show():
    """A change of one probe's maps on one layer changes the keys of that layer and that probe's journey only."""
    content, _ = small_gallery()
    model = content.models[0]
    place = next(i for i, m in enumerate(model.feature_maps) if m.layer == "blocks.1.conv" and m.probe == "rings")
    maps = model.feature_maps[place]
    strip = maps.strip.model_copy(update={"file": "img/other.webp"})
    sheets = [s.model_copy(update={"file": "img/another.webp"}) for s in maps.tile_sheets]
    changed = list(model.feature_maps)
    changed[place] = maps.model_copy(update={"strip": strip, "tile_sheets": sheets})
    after = content.model_copy(update={"models": (model.model_copy(update={"feature_maps": changed}), content.models[1])})
    keys = {page.path: page.view.model_dump_json() for page in outline(content)}
    new = {page.path: page.view.model_dump_json() for page in outline(after)}
    assert {path for path in keys if keys[path] != new[path]} == {"m/tiny/blocks.1.conv.html", "m/tiny/probes/rings.html"}


def test_same_content_same_bytes_whatever_the_hash_seed(tmp_path):
    code = (
        "import importlib.util, hashlib, sys; from pathlib import Path;"
        "s = importlib.util.spec_from_file_location('small_gallery', sys.argv[1]);"
        "m = importlib.util.module_from_spec(s); sys.modules['small_gallery'] = m; s.loader.exec_module(m);"
        "o = m.outline(m.small_gallery(num_probes=2)[0]);"
        "t = ''.join(p.path + p.view.model_dump_json() + m.render(p) for p in o);"
        "print(hashlib.sha256(t.encode()).hexdigest())"
    )
    fixture = str(Path(__file__).with_name("small_gallery.py"))
    digests = {
        subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code, fixture],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_model_without_maps_filters_or_probes_still_has_pages(tmp_path):
    from generator.pages.links import check_links

    content, files = small_gallery()
    bare = content.models[0].model_copy(update={"filters": {}, "feature_maps": [], "probes": (), "predictions": {}})
    site = write_site(content.model_copy(update={"models": (bare,), "color_tables": ()}), files, tmp_path)
    assert check_links(site) == []
    assert "Feature maps" not in (site / "m/tiny/stem.html").read_text()


def test_inputs_of_every_filter_stand_where_they_fit():
    content, _ = small_gallery(num_units=16)
    small = html_pages(content)
    assert "m/tiny/blocks.1.conv/filters.html" not in small
    conv = content.models[0].filters["blocks.1.conv"]
    assert small["m/tiny/blocks.1.conv.html"].count('class="slice') == 16 * conv.num_strongest

    content, _ = small_gallery(num_units=1024)
    large = html_pages(content)
    page = large["m/tiny/blocks.1.conv/filters.html"]
    assert 'class="slice' not in large["m/tiny/blocks.1.conv.html"]
    assert 'href="blocks.1.conv/filters.html"' in large["m/tiny/blocks.1.conv.html"]
    assert len(page) < 2_000_000
    linked = re.findall(r'class="slice s(\d+)" style="--x:(\d+);--y:(\d+)" href="../blocks.0.project.html#u(\d+)"', page)
    conv = content.models[0].filters["blocks.1.conv"]
    assert [int(channel) for *_, channel in linked] == [s.channel for inputs in conv.strongest for s in inputs]
    places = {(sheet, x, y) for sheet, x, y, _ in linked}
    assert len(places) == 1024 * conv.num_strongest, "every slice has its own place"


def test_weight_matrices_of_large_layers_name_fewer_inputs():
    content, _ = small_gallery()
    model = content.models[0]
    head = model.filters["head"]
    grown = head.model_copy(update={"num_units": 1500, "strongest": head.strongest[:1] * 1500})
    changed = model.model_copy(update={"filters": {**model.filters, "head": grown}})
    page = html_pages(content.model_copy(update={"models": (changed,)}))["m/tiny/head/filters.html"]
    assert page.count("mean.html#u") == 2 * 1500
    assert "names 4" in page
