"""The link check: every address in every page leads somewhere inside the site, and every id is unique."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from generator.errors import Problem

_CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]*)['\"]?\s*\)")
_ATTRIBUTES = ("href", "src", "poster", "xlink:href", "data-numbers")
_EXTERNAL = ("http", "https", "mailto")


class _Reader(HTMLParser):
    """Collects a page's ids, the addresses it points to, and those that must be absolute."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif (name in _ATTRIBUTES and tag != "base") or name == "srcset":
                parts = (value or "").split(",") if name == "srcset" else [value or ""]
                self.targets.extend(part.split()[0] if name == "srcset" else part for part in parts)
            elif value and "url(" in value:
                self.targets.extend(_CSS_URL.findall(value))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.targets.extend(_CSS_URL.findall(data))


def check_links(site: Path) -> list[Problem]:
    """Problems of all pages and stylesheets under `site`, in order of path; empty where every address resolves.

    Checked are `href`, `src` and CSS's `url()`: relative ones must name a file of the site, and an id of it where they
    have a fragment. Absolute paths are refused, since they break under a sub-path and from `file://`; addresses of other
    sites are not followed.
    """
    pages = {file: _read(file) for file in sorted(site.rglob("*.html"))}
    problems = []
    for file, page in pages.items():
        place = file.relative_to(site).as_posix()
        for identifier in sorted({i for i in page.ids if page.ids.count(i) > 1} if len(set(page.ids)) < len(page.ids) else ()):
            problems.append(Problem(place, f"id {identifier!r} occurs more than once"))
        for target in dict.fromkeys(page.targets):
            problems.extend(_check(site, file, target, pages))
    for file in sorted(site.rglob("*.css")):
        for target in dict.fromkeys(_CSS_URL.findall(file.read_text(encoding="utf-8"))):
            problems.extend(_check(site, file, target, pages))
    return problems


def _read(file: Path) -> _Reader:
    reader = _Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    reader.close()
    return reader


def _check(site: Path, file: Path, target: str, pages: dict[Path, _Reader]) -> list[Problem]:
    place = file.relative_to(site).as_posix()
    scheme = urlsplit(target).scheme
    if scheme in _EXTERNAL:
        return []
    if scheme or target.startswith("/"):
        return [Problem(place, f"{target!r} is not a relative address")]
    path, fragment = urldefrag(target)
    path = unquote(path.split("?")[0])
    aim = (file.parent / path).resolve() if path else file
    if not aim.is_relative_to(site.resolve()) and path:
        return [Problem(place, f"{target!r} leads out of the site")]
    if not aim.is_file():
        return [Problem(place, f"{target!r} leads to no file")]
    aimed = pages.get(site / aim.relative_to(site.resolve()) if path else file)
    if fragment and aimed is not None and unquote(fragment) not in aimed.ids:
        return [Problem(place, f"{target!r}: no id {unquote(fragment)!r} there")]
    return []
