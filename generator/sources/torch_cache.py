"""What PyTorch's exporters wrote, kept: importing PyTorch and exporting takes longer than everything else about a network."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from generator.errors import OutputError, Problem

#: What decides how a module is exported, besides its own files.
_LIBRARIES = ("torch", "onnx", "onnxscript", "torchvision", "timm")
_CODE = ("torch_export.py", "torch_modules.py", "torch_programs.py", "torch_sources.py")
KEPT = 12


def folder() -> Path:
    """Below the user's cache folder (XDG Base Directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnnscope" / "torch"


def key(facts: Mapping[str, Any], files: Iterable[Path]) -> str:
    """sha256 over `facts`, the content of `files`, our exporting code, and the versions of the libraries."""
    digest = hashlib.sha256()
    code = [Path(__file__).with_name(name) for name in _CODE]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (*files, *code)]
    versions = {name: _version(name) for name in _LIBRARIES}
    digest.update(json.dumps([facts, contents, versions], sort_keys=True, default=str).encode())
    return digest.hexdigest()


def obtain(name: str, make: Callable[[], bytes]) -> Path:
    """The file kept under the key `name`, made first if need be; it appears whole or not at all. The oldest ones go."""
    path = folder() / f"{name}.onnx"
    if path.is_file():
        os.utime(path)
        return path
    content = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            part.write(content)
        os.replace(part.name, path)
    except OSError as error:
        rule = f"the exported network cannot be kept here ({error.strerror})"
        raise OutputError(Problem(str(path.parent), rule, "make room, or set XDG_CACHE_HOME to another folder")) from error
    by_age = sorted(path.parent.glob("*.onnx"), key=lambda kept: kept.stat().st_mtime, reverse=True)
    for old in by_age[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
