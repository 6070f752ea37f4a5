"""Digests: short fingerprints of everything a task's result depends on."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent


def of_bytes(content: bytes) -> str:
    """sha256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_json(value: Any) -> str:
    """Digest of anything JSON can hold; the order of keys does not matter."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def combine(parts: Mapping[str, str]) -> str:
    """One digest of named digests."""
    return of_json(dict(parts))


@cache
def of_code(*modules: str) -> str:
    """Digest of the source of `modules` (dotted names inside this package) and of every module of ours they import.

    Read from the files' import statements, so it needs no import and can never forget a dependency.
    """
    seen: dict[Path, str] = {}
    front = [_file(name) for name in modules]
    while front:
        path = front.pop()
        if path is None or path in seen:
            continue
        seen[path], imported = _source(path)
        front += imported
    return of_json({path.relative_to(PACKAGE).as_posix(): value for path, value in seen.items()})


@cache
def _source(path: Path) -> tuple[str, tuple[Path | None, ...]]:
    """The digest of one of our files, and the files of ours that it imports."""
    text = path.read_text(encoding="utf-8")
    return of_bytes(text.encode()), tuple(_file(name) for name in _imports(text))


@cache
def of_module(name: str) -> str:
    """Digest of one module's own source, without what it imports."""
    return of_bytes((_file(name) or PACKAGE).read_bytes())


def _imports(text: str) -> Iterable[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("generator"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("generator"))


def _file(module: str) -> Path | None:
    """The source file of a module of ours; None for names inside modules."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    if path.is_dir():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


@cache
def of_libraries(*names: str) -> str:
    """Digest of the installed versions of `names`."""
    return of_json(dict(versions(*names)))


def versions(*names: str) -> list[tuple[str, str]]:
    """Installed version of each distribution, `absent` where there is none."""
    found = []
    for name in names:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "absent"))
    return found


@cache
def backend() -> str:
    """What JAX will compute on, told without importing it: `JAX_PLATFORMS`, else an installed accelerator plugin, else cpu."""
    chosen = os.environ.get("JAX_PLATFORMS")
    if chosen:
        return chosen
    plugins = sorted(
        name for d in metadata.distributions() if (name := (d.name or "").lower()).startswith("jax") and "-plugin" in name
    )
    return plugins[0] if plugins else "cpu"
