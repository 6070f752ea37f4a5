"""Every type of page, from a double click and under a sub-path, at a desk and on a phone, light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.watching import Site, Watched, context
from tests.pages.small_gallery import small_gallery, write_site

PAGES = {
    "home": "index.html",
    "about": "about.html",
    "glossary": "glossary.html",
    "walkthrough": "walkthrough/index.html",
    "walkthrough, a step": "walkthrough/filters.html",
    "not found": "404.html",
    "model": "m/net/index.html",
    "model, blue first": "m/swapped/index.html",
    "layer, colour filters": "m/net/edges.html",
    "layer, blue first": "m/swapped/edges.html",
    "layer, slices": "m/net/corners.html",
    "layer, no filters": "m/net/max_pool_1.html",
    "layer, matrix and vectors": "m/net/classes-2.html",
    "layer, a tile open": "m/net/corners.html?probe=x-0#u3",
    "inputs": "m/net/corners/filters.html",
    "journey": "m/net/probes/noise.html",
    "hierarchy": "m/net/hierarchy.html",
    "unit": "m/net/edges/u0003.html",
    "unit, a class": "m/net/classes-2/u0001.html",
    "images": "m/net/images.html",
    "summary": "m/net/summary.html",
    "health, of few images": "m/net/health.html",
}
#: Pages of a made-up gallery that has what would take long to compute.
MADE_UP = {
    "images, labelled": "m/tiny/images.html#i87",
    "images, crops": "m/other/images.html",
    "layer, visualisations of some": "m/tiny/blocks.0.depthwise.html",
    "layer, a visualisation open": "m/tiny/blocks.1.conv.html#u3",
    "layer, its own page under each": "m/tiny/blocks.0.project.html",
    "unit, everything": "m/tiny/blocks.1.conv/u0004.html",
    "unit, silent": "m/tiny/stem/u0001.html",
    "unit, unexcited": "m/tiny/blocks.0.depthwise/u0005.html",
    "unit, no visualisation": "m/tiny/blocks.0.project/u0003.html",
    "unit, one number": "m/other/head/u0002.html",
    "model, quirks and badges": "m/tiny/index.html",
    "health": "m/tiny/health.html",
    "health, nothing wrong": "m/other/health.html",
    "summary": "m/tiny/summary.html",
    "walkthrough, dead units": "walkthrough/health.html",
    "walkthrough, classes": "walkthrough/classes.html",
    "classes": "m/tiny/classes.html",
    "class": "m/tiny/class/tabby.html",
    "comparison": "m/tiny/compare/sea-slug-vs-teapot.html",
}
#: What has a role and must have a name, as screen readers are told.
NAMELESS = re.compile(r"^\s*- (?:link|button|radio|img|dialog|group)(?: \[[^\]]*\])*:?$", re.MULTILINE)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(*small_gallery(units=True), tmp_path_factory.mktemp("made-up"))


def kind(path: str) -> str:
    """The path with stars for the names of models, layers, units, probes and steps."""
    path = re.sub(r"^walkthrough/(?!index)[^/]+(?=\.html$)", "walkthrough/*", path)
    path = re.sub(r"^m/[^/]+/", "m/*/", re.split(r"[?#]", path)[0])
    path = re.sub(r"[^/]+/(?=filters\.html$|u\d+\.html$)", "*/", path)
    path = re.sub(r"(/)u\d+(?=\.html$)|(/(?:probes|class|compare)/)[^/]+(?=\.html$)", r"\1\2*", path)
    return re.sub(r"^m/\*/(?!(?:index|images|hierarchy|summary|health|classes)\.html$)[^/]+\.html$", "m/*/*.html", path)


def test_the_lists_hold_every_type_of_page(served: Site, made_up: Path):
    built = {kind(file.relative_to(served.folder).as_posix()) for file in served.folder.rglob("*.html")}
    listed = {kind(path) for path in PAGES.values()}
    made = {kind(file.relative_to(made_up).as_posix()) for file in made_up.rglob("*.html")}
    assert built == listed
    assert made <= listed | {kind(path) for path in MADE_UP.values()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("way", ["file", "http"])
def test_pages_open_without_a_fault(chromium: Browser, served: Site, way: str, width: int, scheme: str):
    assert faults(chromium, {name: getattr(served, way) + path for name, path in PAGES.items()}, width, scheme) == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [2560, 1280, 390])
def test_made_up_pages_open_without_a_fault(chromium: Browser, made_up: Path, width: int, scheme: str):
    assert faults(chromium, {name: f"{made_up.as_uri()}/{path}" for name, path in MADE_UP.items()}, width, scheme) == {}


def faults(chromium: Browser, addresses: dict[str, str], width: int, scheme: str) -> dict[str, list[str]]:
    """What goes wrong on each page, by name."""
    opened = context(chromium, width, color_scheme=scheme)
    page = opened.new_page()
    watched = Watched(page)
    found = {}
    for name, address in addresses.items():
        page.goto(address)
        if "#u" in address:
            page.wait_for_selector("#viewer-facts dl")
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            watched.faults.append(f"{overflow} px too wide")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128")
        if dark != (scheme == "dark"):
            watched.faults.append(f"not {scheme}")
        watched.faults += [f"no name: {line.strip()}" for line in NAMELESS.findall(page.locator("body").aria_snapshot())]
        if watched.faults:
            found[name] = watched.faults[:]
            watched.faults.clear()
    opened.close()
    return found


@pytest.mark.parametrize("path", ["edges.html", "corners.html", "probes/noise.html", "corners/filters.html"])
def test_every_tile_has_a_name_of_its_own(page, served: Site, path: str):
    page.goto(f"{served.file}m/net/{path}")
    names = page.evaluate(
        "[...document.querySelectorAll('a.t, a.slice')].map(a => a.getAttribute('aria-label') || a.textContent.trim())"
    )
    assert len(names) >= 16
    assert all(re.search(r"\d", name) for name in names)


@pytest.mark.parametrize("width", [1280, 390])
def test_print_shows_the_tiles(chromium: Browser, served: Site, width: int):
    opened = context(chromium, width)
    page = opened.new_page()
    for path, tile in (("m/net/edges.html", "#u2"), ("m/net/edges.html", "#f2"), ("m/net/probes/noise.html", ".strip .t")):
        page.goto(served.file + path)
        page.emulate_media(media="print")
        assert not page.locator("header").is_visible()
        drawn = page.locator(tile).first
        drawn.scroll_into_view_if_needed()
        shades = page.evaluate(
            """async ([address, side]) => {
                const image = new Image();
                image.src = address;
                await image.decode();
                const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
                canvas.drawImage(image, 0, 0);
                return new Set(new Uint32Array(canvas.getImageData(0, 0, image.width, side).data.buffer)).size;
            }""",
            [picture(drawn.screenshot()), 40],
        )
        assert shades > 4, path
        page.emulate_media(media="screen")
    opened.close()


def picture(png: bytes) -> str:
    import base64

    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
