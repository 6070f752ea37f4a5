"""Imports point one way, as ARCHITECTURE.md's table says; what is slow to import is imported late; files stay short."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "generator"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
#: Where Flax modules are written down, networks become functions, or images are optimised: nothing imports these before it
#: computes.
LATE = ("network/", "zoo/", "sources/flax_modules.py", "sources/onnx_graph/", "views/feature_vis/")


def allowed() -> dict[str, set[str]]:
    """From the table in ARCHITECTURE.md: what each room may import, besides itself."""
    rows = re.findall(r"^\| `([a-z_]+)(?:/|\.py)` \|.*\| ([^|]+) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    rooms = {room for room, _ in rows}
    assert {"cli", "build", "pages", "views", "sources", "probes", "render", "network", "config", "zoo", "naming"} <= rooms
    words = {"nothing": set(), "all of the above": rooms - {"cli"}}
    return {room: words.get(text.strip(), set(re.findall(r"[a-z_.]+", text))) for room, text in rows}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports anywhere, and the line; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def test_rooms_import_only_what_they_may():
    rules, wrong = allowed(), []
    for path in MODULES:
        room = room_of(path)
        if room in ("__init__", "__main__"):
            continue
        for name, line in imported(path):
            _, _, inside = name.partition("generator.")
            target = inside.split(".")[0]
            may = (
                target == room
                or target in rules[room]
                or any(inside.startswith(f"{rule}.") for rule in rules[room] if "." in rule)
            )
            if inside and not may:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} may not import {name}")
    assert wrong == []


def test_the_rules_have_no_circle_and_no_unused_entry():
    rules = allowed()
    used = {
        (room_of(path), name.split(".")[1]) for path in MODULES for name, _ in imported(path) if name.startswith("generator.")
    }
    for room, targets in rules.items():
        for target in (target.split(".")[0] for target in targets if room not in ("build", "cli")):
            assert (room, target) in used, f"ARCHITECTURE.md lets {room} import {target}, but it does not"
            assert room not in {name.split(".")[0] for name in rules[target]}


@pytest.mark.parametrize("name", ["jax._src", "flax.core.frozen_dict._", "numpy.core"])
def test_no_private_modules(name):
    assert [path for path in MODULES for module, _ in imported(path) if module.startswith(name)] == []


def test_slow_libraries_are_imported_late():
    early = []
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            slow = {name.split(".")[0] for name in names} & {"jax", "flax", "optax", "matplotlib", "skimage", "scipy"}
            inside = path.relative_to(PACKAGE).as_posix()
            if slow - {"matplotlib"} and not inside.startswith(LATE):
                early.append(f"{inside}:{node.lineno}: {slow}")
            if "matplotlib" in slow and not inside.startswith("render/"):
                early.append(f"{inside}:{node.lineno}: {slow}")
    assert early == []


@pytest.mark.parametrize("command", ["check", "list", "why", "build"])
def test_what_computes_nothing_imports_neither_jax_nor_matplotlib(tiny, command):
    tiny.write()
    out = ["--out", tiny.site] if command == "build" else []
    code = (
        "import sys; from generator.cli import main; code = main(sys.argv[1:]); "
        "slow = {'jax', 'flax', 'matplotlib', 'scipy', 'skimage'} & set(sys.modules); "
        "sys.exit(code or (f'imported {slow}' if slow else 0))"
    )
    arguments = [sys.executable, "-c", code, command, tiny.path, "--store", tiny.store, *out]
    done = subprocess.run(  # noqa: S603 - ours
        list(map(str, arguments)), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_files_stay_short():
    long = {str(path.relative_to(ROOT)): n for path in MODULES if (n := len(path.read_text().splitlines())) > 350}
    assert long == {}
