"""Every type of page, from a double click and under a sub-path, at a desk and on a phone, light and dark."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from tests.browser.watching import Site, Watched, context

PAGES = {
    "home": "index.html",
    "about": "about.html",
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
}
#: What has a role and must have a name, as screen readers are told.
NAMELESS = re.compile(r"^\s*- (?:link|button|radio|img|dialog|group)(?: \[[^\]]*\])*:?$", re.MULTILINE)


def test_the_list_holds_every_type_of_page(served: Site):
    def kind(path: str) -> str:
        return re.sub(r"^m/[^/]+/(?!index)", "m/*/", re.sub(r"(?<=/)[^/]+(?=/filters\.html|\.html$)", "*", path))

    built = {file.relative_to(served.folder).as_posix() for file in served.folder.rglob("*.html")}
    assert {kind(path) for path in built} == {kind(path.split("?")[0]) for path in PAGES.values()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("way", ["file", "http"])
def test_pages_open_without_a_fault(chromium: Browser, served: Site, way: str, width: int, scheme: str):
    opened = context(chromium, width, color_scheme=scheme)
    page = opened.new_page()
    watched = Watched(page)
    found = {}
    for name, path in PAGES.items():
        page.goto(getattr(served, way) + path)
        if "#" in path:
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
    assert found == {}


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
