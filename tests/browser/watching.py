"""A built site by its two addresses, and a page that remembers its faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from tests.tiny_gallery import TinyGallery


@dataclass(frozen=True)
class Site:
    """A built site by its folder and by its address, which ends with a slash."""

    gallery: TinyGallery
    http: str

    @property
    def folder(self) -> Path:
        return self.gallery.site

    @property
    def file(self) -> str:
        return f"{self.folder.as_uri()}/"


class Watched:
    """A page that remembers whatever went wrong on it."""

    def __init__(self, page: Page):
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("console", self._console)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the reader went on before the icon came
            self.faults.append(f"failed: {request.url} ({request.failure})")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status}: {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console {message.type}: {message.text}")


def context(browser: Browser, width: int = 1280, **options: object) -> BrowserContext:
    return browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce", **options)
