"""What the commands print, and that everything they take is described."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from generator import cli
from generator.cli import galleries
from tests.tiny_gallery import run

ROOT = Path(__file__).parents[2]
COMMANDS = ("build", "init", "check", "doctor", "why", "list", "inspect", "links", "clean", "ship-findings", "train-fashion")


def parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices


def test_every_command_and_option_is_described():
    assert tuple(parsers()) == COMMANDS
    helped = run("--help").out
    for name, parser in parsers().items():
        assert re.search(rf"^    {name}\s", helped, re.MULTILINE)
        assert parser.description
        for action in parser._actions:
            assert action.help, f"{name} {action.dest}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert re.search(rf"cnnscope {command}\b", (ROOT / "README.md").read_text()), f"README.md lacks `cnnscope {command}`"


def test_version():
    assert run("--version").out == f"cnnscope {metadata.version('cnnscope')}\n"


def test_build_says_what_it_did(tiny):
    tiny.config["title"] = "New"
    assert re.fullmatch(
        rf"21 pages, 0\.\d MB, in {tiny.site}/index\.html \(\d+ of \d+ tasks ran, \d+\.\d s\)\n", tiny.run("build").out
    )


def test_build_for_machines(tiny):
    outcome = tiny.run("build", "--json")
    summary = json.loads(outcome.out)
    assert outcome.err == ""
    assert {"tasks_total", "tasks_run", "seconds", "pages", "bytes"} <= summary.keys()
    num_bytes = sum(path.stat().st_size for path in tiny.site.rglob("*") if path.is_file() and ".cnnscope" not in path.parts)
    assert (summary["tasks_run"], summary["pages"], summary["bytes"]) == (0, 21, num_bytes)


def test_inspect_for_machines(tiny):
    found = json.loads(tiny.run("inspect", "--json").out)
    assert found.keys() == {"models"}
    (model,) = found["models"]
    assert model.keys() == {"name", "layers"}
    layers = [(layer["name"], layer["kind"], layer["inputs"], layer["shape"]) for layer in model["layers"]]
    assert layers == [
        ("edges", "conv", ["input"], [16, 16, 4]),
        ("max_pool_1", "max_pool", ["edges"], [8, 8, 4]),
        ("corners", "conv", ["max_pool_1"], [8, 8, 6]),
        ("mean_1", "mean", ["corners"], [6]),
        ("classes", "dense", ["mean_1"], [3]),
    ]


def test_inspect_for_people(tiny):
    table = tiny.run("inspect").out
    assert "net: 5 layers, input 16×16×3" in table
    assert re.search(r"edges +conv +input +16×16×4 +112 +0\.06 +3×3 +1×1", table)
    assert re.search(r"classes +dense +↑ +3 +21 +0\.00 +all", table)
    assert re.search(r"total +355 +0\.08", table)


def test_why_and_list(tiny):
    assert tiny.run("why").out == "Nothing to do: every result is stored.\n"
    assert tiny.run("why", "network:net").out == "network:net: stored\n"
    tiny.model["labels"] = ["a", "b", "c"]
    lines = tiny.run("why").out.splitlines()
    assert "predictions:net/noise: changed: its labels" in lines
    assert "outline: depends on predictions:net/zone-plate and 3 more, which must run first" in lines
    assert "to run  predictions:net/noise" in tiny.run("list").out.splitlines()
    assert "stored  network:net" in tiny.run("list").out.splitlines()
    rows = json.loads(tiny.run("list", "--json").out)["tasks"]
    assert {"task": "predictions:net/x-0", "stored": False, "standing": "changed: its labels"} in rows


def test_why_of_a_task_that_is_not_there(tiny):
    outcome = tiny.run("why", "network:nett")
    assert outcome.code == 2
    assert "no task 'network:nett'; did you mean 'network:net'?" in outcome.err


def test_why_takes_a_task_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(galleries, "DEFAULT_CONFIG", Path("gallery.yaml"))
    assert "gallery.yaml: no such file" in run("why", "outline").err


def test_check(tiny):
    assert tiny.run("check").out == f"{tiny.path}: 1 models and 4 probes, nothing wrong\n"
    (tiny.store / "objects").rename(tiny.store / "elsewhere")
    assert "The layers of net are checked once `cnnscope inspect` or `build` has traced them." in tiny.run("check").out


def test_links(tiny):
    assert run("links", str(tiny.site)).out == f"{tiny.site}: every link leads somewhere\n"
    (tiny.site / "about.html").unlink()
    outcome = run("links", str(tiny.site))
    assert outcome.code == 2
    assert "index.html: 'about.html' leads to no file" in outcome.err
    assert "holds no built gallery; build one with `cnnscope build`" in run("links", str(tiny.folder)).err


def test_progress_on_a_terminal(tiny):
    """A bar with the tasks done and the time left, which goes when the build is done."""
    tiny.config["title"] = "New"
    tiny.write()
    inside, outside = pty.openpty()
    arguments = ["build", tiny.path, "--out", tiny.site, "--store", tiny.store]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "generator", *map(str, arguments)], stdout=outside, stderr=outside, cwd=ROOT, env=environment
    )
    os.close(outside)
    shown = b""
    try:
        while chunk := os.read(inside, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(inside)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"━+ \d+/\d+ 0:00:0\d left: ", text), text
    assert "21 pages, 0." in text.splitlines()[-1] or "21 pages, 0." in text


def test_a_reader_that_goes_away_is_no_error(tiny):
    tiny.write()
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "generator", "check", str(tiny.path), "--store", str(tiny.store)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True)  # noqa: S603 - ours
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
