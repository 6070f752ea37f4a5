"""What is said where an optional framework is missing: a command for the very environment that runs."""

from __future__ import annotations

import sys
import tomllib

import pytest

from generator.errors import ConfigError
from generator.sources import extras


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout in whose `.venv` the tests seem to run."""
    (tmp_path / "Makefile").touch()
    monkeypatch.setattr(extras, "_ROOT", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    return tmp_path


def test_a_checkout_has_a_target_of_make(checkout):
    assert extras.way_out("onnx") == "run `make extras EXTRAS=onnx`"


def test_elsewhere_the_pip_of_the_interpreter_is_named(checkout, monkeypatch):
    command = f"run `{sys.executable} -m pip install 'cnnscope[onnx]'`"
    monkeypatch.setattr(sys, "prefix", str(checkout / ".venv-other"))
    assert extras.way_out("onnx") == command
    monkeypatch.setattr(sys, "prefix", str(checkout / ".venv"))
    (checkout / "Makefile").unlink()
    assert extras.way_out("onnx") == command


@pytest.mark.parametrize(("platform", "missing", "said"), [("linux", "torch", 1), ("linux", "onnx", 0), ("darwin", "torch", 0)])
def test_the_small_build_of_pytorch_is_told_of_where_there_is_a_large_one(monkeypatch, platform, missing, said):
    monkeypatch.setattr(sys, "platform", platform)
    assert extras.way_out("torch", [missing]).count("CPU build is enough") == said


def test_only_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(extras.MODULES, "hub", ("numpy", "no_such_module", "no_other"))
    with pytest.raises(
        ConfigError, match=r"^model\.yaml: this needs no_such_module and no_other, which are not installed; run `"
    ):
        extras.require("hub", "model.yaml")


def test_make_knows_the_extras_of_the_project():
    root = extras._ROOT
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys() - {"test"}
    known = next(line for line in (root / "Makefile").read_text().splitlines() if line.startswith("KNOWN")).split()[2:]
    assert set(known) == declared == extras.MODULES.keys()
