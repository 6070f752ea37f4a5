"""A real gallery with every type of page, built through the command line and served under a sub-path."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.watching import Site, Watched, context
from tests.tiny_gallery import CONFIG, TinyGallery

NETWORK = """
from flax import linen as nn

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3), name="edges")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(24, (3, 3), name="corners")(x))
        return nn.Dense(3, name="classes")(x.mean((1, 2)))
"""
SHAPES = {"edges": (3, 3, 3, 8), "corners": (3, 3, 8, 24), "classes": (24, 3)}
#: Climbs of few steps will do: it is the way to the pages that matters.
VIEWS = {
    "feature_maps": {"values": ["activation", "pre_activation"]},
    "feature_vis": {"preset": "draft", "steps": 4},
    "exemplars": {"highest": 2, "lowest": 1, "spread": 0},
}
SUB_PATH = "some/sub/path"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two models, the second without visualisations and reading blue first; both values of the maps; absolute addresses."""
    root = tmp_path_factory.mktemp("web")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    address = f"http://127.0.0.1:{server.server_port}/{SUB_PATH}/"

    gallery = TinyGallery(tmp_path_factory.mktemp("browser") / "gallery").create()
    (gallery.folder / "net.py").write_text(NETWORK)
    gallery.write_weights(seed=3, shapes=SHAPES)
    first = copy.deepcopy(CONFIG["models"][0])
    first |= {"layers": "all", "dataset": "same", "views": VIEWS}
    second = copy.deepcopy(CONFIG["models"][0])
    second |= {"name": "swapped", "layers": ["edges"], "probes": ["own"]}
    second["preprocessing"] = {"range": [0, 255], "channels": "bgr"}
    gallery.config["datasets"] = [{"name": "same", "kind": "npz", "path": "own.npz"}]
    gallery.config |= {"models": [first, second], "base_url": address}
    outcome = gallery.run("build")
    assert outcome.code == 0, outcome.err

    (root / SUB_PATH).parent.mkdir(parents=True)
    (root / SUB_PATH).symlink_to(gallery.site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Site(gallery, address)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page on a desk's screen; anything that goes wrong on it fails the test."""
    opened = context(chromium)
    watched = Watched(opened.new_page())
    yield watched.page
    opened.close()
    assert watched.faults == []


@pytest.fixture
def scriptless(chromium: Browser) -> Iterator[Page]:
    """The same with JavaScript switched off."""
    opened = context(chromium, java_script_enabled=False)
    watched = Watched(opened.new_page())
    yield watched.page
    opened.close()
    assert watched.faults == []
