"""What `pip install .` installs: a `cnnscope` that needs nothing of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)  # noqa: S603 - ours
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def files_of(folder: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT / folder).as_posix() for path in found}


def test_modules_data_templates_and_the_default_gallery_are_inside(wheel):
    expected = {f"generator/{name}" for name in files_of("generator")}
    expected |= {f"generator/_templates/{name}" for name in files_of("templates")}
    expected |= {"generator/_configs/default.yaml"}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_licence_and_the_command_are_declared(wheel):
    names = wheel.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    commands = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "cnnscope = generator.cli:main" in commands
    metadata = Parser().parsestr(wheel.read(next(name for name in names if name.endswith("METADATA"))).decode())
    assert metadata["License-Expression"] == "MIT"


def test_it_works_outside_the_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / "installed")
    code = "import generator, generator.cli; print(generator.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)  # noqa: S603 - ours
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run("-c", code).strip()).is_relative_to(tmp_path)
    assert "gallery" in run("-m", "generator", "--help").lower()
    run("-m", "generator", "check", str(tmp_path / "installed" / "generator" / "_configs" / "default.yaml"))


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    pinned = {name.lower().replace("_", "-") for name, equals, version in pins if equals and version}
    extras = project["optional-dependencies"]
    own, *others = extras["test"]  # `make test` also reads models of the frameworks that are small to install
    assert re.fullmatch(r"cnnscope\[[a-z,]+\]", own)
    brought = [requirement for extra in own[9:-1].split(",") for requirement in extras[extra]]
    wanted = project["dependencies"] + others + brought
    assert {requirement.partition(">=")[0] for requirement in wanted} <= pinned
