"""Frameworks that are installed only where somebody needs them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from generator.errors import ConfigError, Problem

#: Which modules each optional extra of pyproject.toml brings.
MODULES = {"onnx": ("onnx",), "keras": ("keras", "h5py"), "torch": ("torch", "onnx", "onnxscript"), "hub": ("huggingface_hub",)}

_ROOT = Path(__file__).parents[2]


def require(extra: str, place: str) -> None:
    """Raises `ConfigError`, at `place`, if what `extra` brings is not installed. Imports nothing."""
    missing = [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        rule = f"this needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise ConfigError(Problem(place, rule, way_out(extra, missing)))


def way_out(extra: str, missing: Sequence[str] = ()) -> str:
    """What installs `extra` into the environment in use; the one that make sets up in a checkout may hold no pip."""
    made = (_ROOT / "Makefile").is_file() and Path(sys.prefix).resolve() == (_ROOT / ".venv").resolve()
    command = f"make extras EXTRAS={extra}" if made else f"{sys.executable} -m pip install 'cnnscope[{extra}]'"
    spared = "; PyTorch's CPU build is enough, and installed first spares several GB of CUDA libraries"
    return f"run `{command}`{spared if 'torch' in missing and sys.platform == 'linux' else ''}"
