"""What tests of every room share: compiled programs, repeatable examples, a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.tiny_gallery import TinyGallery

# Compiling takes most of the time: keep programs between runs, and let hypothesis choose the same examples each time.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "cnnscope-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

#: As in `.ci/browser`, which `make test` runs first.
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """`CNNSCOPE_CHROMIUM`, else the system's, else Playwright's own; fails without one, unless `CNNSCOPE_NO_BROWSER=1`."""
    if os.environ.get("CNNSCOPE_NO_BROWSER") == "1":
        pytest.skip("CNNSCOPE_NO_BROWSER=1")
    from playwright.sync_api import Error, sync_playwright

    names = (os.environ.get("CNNSCOPE_CHROMIUM", ""), *SYSTEM_BROWSERS)
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    arguments = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
        except Error as error:
            pytest.fail(f"no Chromium starts (make test installs one; CNNSCOPE_NO_BROWSER=1 leaves these tests out): {error}")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def built_tiny(tmp_path_factory) -> TinyGallery:
    """A small gallery, built once; tests that change it take `tiny` instead."""
    from tests.tiny_gallery import TinyGallery

    gallery = TinyGallery(tmp_path_factory.mktemp("tiny") / "gallery").create()
    gallery.build()
    return gallery


@pytest.fixture
def tiny(built_tiny, tmp_path) -> TinyGallery:
    """A copy of the small gallery, already built, for one test."""
    return built_tiny.copied(tmp_path / "gallery")
