"""The page budgets over a real site: which page comes nearest to each, and how near."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.benchmarks.measuring import ROOT, Measurement

#: Budgets of a layer page of up to this many units.
NUM_UNITS = 512
HTML_KB, CODE_KB, NODES, IMAGES_KB, PAGE_KB = 40.0, 25.0, 1_400, 1_500.0, 2_000.0
#: Pictures are asked for when they come near to being seen, and the page may grow meanwhile.
READ_TO_THE_END = """async () => {
  const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (let y = 0; y <= document.documentElement.scrollHeight; y += innerHeight / 2) { scrollTo(0, y); await frame(); }
  await new Promise(done => setTimeout(done, 250));
}"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def run(site: str | None = None) -> list[Measurement]:
    """site: a built gallery; without one, the default gallery is built now, from stored results where there are some."""
    if site is not None:
        return _measure(Path(site).resolve())
    with tempfile.TemporaryDirectory(prefix="cnnscope-bench-") as folder:
        command = [sys.executable, "-m", "generator", "build", "configs/default.yaml", "--out", folder]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)  # noqa: S603 -- our own interpreter and module
        return _measure(Path(folder))


class _Page(HTMLParser):
    """What a page's text alone tells. num_units: tiles that stand for a unit each."""

    def __init__(self, file: Path, path: str):
        super().__init__()
        self.path, self.content = path, file.read_bytes()
        self.num_nodes = self.num_units = 0
        self.code: set[str] = set()
        self.feed(self.content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.num_nodes += 1
        attributes = dict(attrs)
        self.num_units += bool(re.fullmatch(r"u\d+", attributes.get("id") or ""))
        address = attributes.get("href" if tag == "link" else "src") or ""
        if tag == "script" or (tag == "link" and attributes.get("rel") == "stylesheet"):
            self.code.add(address)

    @property
    def zipped_kb(self) -> float:
        return len(gzip.compress(self.content, mtime=0)) / 1e3

    def code_kb(self, site: Path) -> float:
        """Shared scripts and styles; not the page's own numbers, which lie beside it."""
        files = {(site / self.path).parent.joinpath(address).resolve() for address in self.code if address}
        return sum(file.stat().st_size for file in files if (site / "assets") in file.parents) / 1e3


def _measure(site: Path) -> list[Measurement]:
    pages = {path: _Page(site / path, path) for path in sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html"))}
    layers = {path: page for path, page in pages.items() if 0 < page.num_units <= NUM_UNITS}
    more = {path: page for path, page in pages.items() if page.num_units > NUM_UNITS}

    def worst(what: str, values: Mapping[str, float], unit: str, bound: float | None) -> Measurement:
        path = max(values, key=lambda p: values[p])
        units = f", {pages[path].num_units} units" if pages[path].num_units else ""
        return Measurement(what, values[path], unit, at_most=bound, note=f"{path}{units}; {len(values)} pages")

    found = [
        worst(
            f"HTML of a layer page of up to {NUM_UNITS} units, gzipped",
            {p: v.zipped_kb for p, v in layers.items()},
            "KB",
            HTML_KB,
        ),
        worst("  DOM nodes of one", {p: v.num_nodes for p, v in layers.items()}, "", NODES),
        worst("  JavaScript and CSS of one", {p: v.code_kb(site) for p, v in layers.items()}, "KB", CODE_KB),
        worst("HTML of any page, as it is", {p: len(v.content) / 1e3 for p, v in pages.items()}, "KB", PAGE_KB),
    ]
    found.append(worst("JavaScript and CSS of any page", {p: v.code_kb(site) for p, v in pages.items()}, "KB", None))
    if more:
        found.append(worst("  a layer page of more units, gzipped", {p: v.zipped_kb for p, v in more.items()}, "KB", None))
        found.append(worst("  DOM nodes of one", {p: v.num_nodes for p, v in more.items()}, "", None))
    weights = dict(_weights(site, pages))
    found.append(worst("images of one page view", {p: image for p, (image, _) in weights.items()}, "KB", IMAGES_KB))
    found.append(worst("everything one page view loads", {p: whole for p, (_, whole) in weights.items()}, "KB", PAGE_KB))
    return found


def _weights(site: Path, pages: Mapping[str, _Page]) -> Iterator[tuple[str, tuple[float, float]]]:
    """KB of images, and of all files, that a browser loads for each page opened at 1280 px and read to its end."""
    with _browser() as browser:
        for path in pages:
            # A new context each time: what a page before it loaded would come from memory and not be counted.
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            loaded: dict[str, str] = {}
            tab.on("request", lambda request, loaded=loaded: loaded.setdefault(request.url, request.resource_type))
            tab.goto((site / path).as_uri(), wait_until="load")
            tab.evaluate(READ_TO_THE_END)
            context.close()
            sizes = {url: Path(unquote(urlsplit(url).path)).stat().st_size / 1e3 for url in loaded if url.startswith("file:")}
            yield path, (sum(size for url, size in sizes.items() if loaded[url] == "image"), sum(sizes.values()))


@contextmanager
def _browser() -> Iterator:
    """`CNNSCOPE_CHROMIUM`, else the system's Chromium, else Playwright's own."""
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CNNSCOPE_CHROMIUM", ""), *BROWSERS)
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-background-networking"])
        yield browser
        browser.close()
