"""Builds that are killed, interrupted, or not alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import pytest

from generator.build import site
from generator.build.store import Store
from tests.tiny_gallery import TinyGallery, run, tree

ROOT = Path(__file__).parents[2]

#: Runs the command line and kills itself, as `kill -9` does, when it would rename its n-th file.
DIES = """
import os, signal, sys
from generator.cli import main

left, replace = int(sys.argv[1]), os.replace

def dies(*paths):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)

os.replace = dies
sys.exit(main(sys.argv[2:]))
"""
#: Runs the command line where Ctrl+C works, whatever started it.
LISTENS = """
import signal, sys
from generator.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
#: Runs the command line in a process that can write no file of more than 2,000 bytes.
SMALL_FILES = """
import resource, sys
from generator.cli import main

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sys.exit(main(sys.argv[1:]))
"""


def start(code: str, *arguments: object, env: Mapping[str, str] = MappingProxyType({})) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(  # noqa: S603 - ours
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def building(gallery: TinyGallery, *options: str) -> list[object]:
    gallery.write()
    return ["build", gallery.path, "--out", gallery.site, "--store", gallery.store, *options]


def pages_and_pictures(gallery: TinyGallery) -> dict[str, bytes]:
    return {path: content for path, content in tree(gallery.site).items() if path != ".cnnscope/lock"}


@pytest.mark.parametrize("num_files", [3, 50])
def test_a_killed_first_build_goes_on_to_the_same_site(built_tiny, tmp_path, num_files):
    gallery = TinyGallery(tmp_path / "gallery").create()
    process = start(DIES, num_files, *building(gallery))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    stored = len(list((gallery.store / "tasks").glob("*/*")))
    assert not (gallery.site / "index.html").exists()
    summary, _ = gallery.build()
    assert summary.tasks_run in (summary.tasks_total - stored, summary.tasks_total - stored - 1)  # stored, not yet noted
    assert pages_and_pictures(gallery) == pages_and_pictures(built_tiny)


@pytest.mark.parametrize("num_files", [0, 9, 24, 25, 27, 30])
def test_a_killed_rebuild_leaves_a_site_that_works(tiny, tmp_path, num_files):
    """The kill hits the store first, then the pages one by one."""
    tiny.config["title"] = "Another"
    tiny.model["layers"] = ["edges"]
    whole = tiny.copied(tmp_path / "whole")
    whole.build()
    tiny.model["layers"] = ["edges", "classes"]
    tiny.build()
    before = pages_and_pictures(tiny)
    tiny.model["layers"] = ["edges"]
    tiny.model["title"] = "Net"
    process = start(DIES, num_files, *building(tiny))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert set(before) <= set(pages_and_pictures(tiny))
    assert run("links", str(tiny.site)).code == 0
    tiny.model.pop("title")
    tiny.build()
    assert pages_and_pictures(tiny) == pages_and_pictures(whole)


def test_control_c_ends_with_130_and_keeps_what_is_done(built_tiny, tmp_path):
    gallery = TinyGallery(tmp_path / "gallery").create()
    process = start(LISTENS, *building(gallery))
    while not list((gallery.store / "tasks").glob("*/*")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Interrupted. What was finished is kept; the same command goes on from there.\n"
    summary, _ = gallery.build()
    assert summary.tasks_run < summary.tasks_total
    assert pages_and_pictures(gallery) == pages_and_pictures(built_tiny)


def test_hash_seeds_change_nothing(built_tiny, tmp_path):
    """Two builds at once, with a store each."""
    galleries = [TinyGallery(tmp_path / name).create() for name in "ab"]
    processes = [
        start(LISTENS, *building(gallery), env={"PYTHONHASHSEED": str(seed)}) for seed, gallery in enumerate(galleries)
    ]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    for gallery in galleries:
        assert pages_and_pictures(gallery) == pages_and_pictures(built_tiny)


def test_two_builds_at_once_share_a_store(built_tiny, tmp_path):
    gallery = TinyGallery(tmp_path / "gallery").create()
    outs = [tmp_path / "a", tmp_path / "b"]
    processes = [start(LISTENS, "build", gallery.path, "--store", gallery.store, "--out", out) for out in outs]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    for out in outs:
        assert {path: data for path, data in tree(out).items() if path != ".cnnscope/lock"} == pages_and_pictures(built_tiny)
    assert gallery.build()[1] == {}


def test_two_builds_into_one_folder_take_turns(tiny):
    tiny.config["title"] = "Second"
    with site.locked(tiny.site, lambda: pytest.fail("nobody else is there")):
        process = start(LISTENS, *building(tiny))
        assert process.stdout is not None
        assert process.stdout.readline() == f"Another build is writing to {tiny.site}; waiting for it.\n"
        assert b"Second" not in (tiny.site / "index.html").read_bytes()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert b"Second" in (tiny.site / "index.html").read_bytes()


def test_a_disk_that_is_full_in_the_middle(tiny):
    """A limit on the size of files stands for the end of the disk: the system itself refuses."""
    before = tree(tiny.site)
    tiny.config["title"] = "Another"
    process = start(SMALL_FILES, *building(tiny))
    _, errors = process.communicate()
    assert process.returncode == 2
    assert errors == f"error: {tiny.store}: cannot be written: file too large; free some space or choose another folder\n"
    assert tree(tiny.site) == before


def test_threads_that_write_the_same_result(tmp_path):
    files = {f"{number}.npy": os.urandom(2000) for number in range(5)}
    key = "cd" * 32

    def write(_: int) -> bytes:
        return Store(tmp_path).write(key, files).read("3.npy")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(write, range(200))) == {files["3.npy"]}
    assert json.loads((tmp_path / "objects" / "cd" / key / "manifest.json").read_text())["files"].keys() == files.keys()
    assert list((tmp_path / "new").iterdir()) == []
