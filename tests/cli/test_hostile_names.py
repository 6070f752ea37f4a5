"""Names of files, folders, classes and texts that try to be more than names."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from tests.tiny_gallery import run, tree

HOSTILE = "<script>alert(1)</script>"
NAMES = [
    HOSTILE.replace("/", "∕"),
    "a b",
    "..",
    "%2e%2e",
    "ÄÖ",
    "\u202egnp",
    "quote\"'`",
    "new\nline",
    "&amp;",
    "{{ 7 * 7 }}",
    "con",
]


def test_probes_labels_and_texts(tiny):
    folder = tiny.folder / "pictures" / "<b>class"
    folder.mkdir()
    for name in NAMES:
        Image.new("L", (4, 4), 9).save(folder / f"{name}.png", format="PNG")
    if sys.platform == "linux":  # a name that is not UTF-8
        shutil.copy(folder / "a b.png", os.fsencode(folder) + b"/\xff.png")
    tiny.config["probes"][2].update(class_folders=True, licence=HOSTILE, provenance=HOSTILE)
    np.savez(tiny.folder / "own.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[HOSTILE, "../../x"])
    tiny.model.update(labels=[HOSTILE, "{{ 7 * 7 }}", "'\"<!--"], title=HOSTILE, description=HOSTILE)
    tiny.config.update(title=HOSTILE, description="]]>" + HOSTILE)
    outside = set(tiny.folder.iterdir())
    outcome = tiny.run("build")
    assert outcome.code == 0, outcome.err
    assert set(tiny.folder.iterdir()) == outside
    assert run("links", str(tiny.site)).code == 0
    for path, content in tree(tiny.site).items():
        assert path.isascii()
        assert not set(path) & set("<>:\"'\\|?* \n%")
        if path.endswith(".html"):
            assert b"<script>alert" not in content
        if path.endswith(".js") and path.startswith("m/"):
            assert b"</script" not in content


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "a b", "<script>", "ü", "-a", "a.", "x" * 65, "con\n"])
def test_names_in_the_configuration(tiny, name):
    for entry in (tiny.model, tiny.config["probes"][0]):
        before, entry["name"] = entry["name"], name
        outcome = tiny.run("check")
        entry["name"] = before
        assert outcome.code == 2
        assert "a name becomes part of a URL" in outcome.err
        assert "\n" not in outcome.err.rstrip("\n").replace("\nerror: ", "")
