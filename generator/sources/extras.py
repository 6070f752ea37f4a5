"""Frameworks that are installed only where somebody needs them."""

from __future__ import annotations

import importlib.util

from generator.errors import ConfigError, Problem

#: Which modules each optional extra of pyproject.toml brings.
MODULES = {"onnx": ("onnx",), "keras": ("keras", "h5py"), "torch": ("torch", "onnx", "onnxscript"), "hub": ("huggingface_hub",)}


def require(extra: str, place: str) -> None:
    """Raises `ConfigError`, at `place`, if what `extra` brings is not installed. Imports nothing."""
    missing = [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        rule = f"this needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise ConfigError(Problem(place, rule, f"pip install 'cnnscope[{extra}]'"))
