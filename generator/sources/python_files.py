"""Finding, reading and importing the Python files of a user's network.

Finding imports nothing: a parent package could pull in JAX, and planning must stay fast.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generator.errors import ConfigError, NetworkError, Problem, did_you_mean


def source_files(module: str, base: Path) -> tuple[Path, ...]:
    """The file of `module`, then, sorted, the files it imports from beside the config or from its own package.

    Raises `ConfigError` if there is no such module, or if one of the files is not valid Python.
    """
    return tuple(dict.fromkeys(_closure(module, base).values()))


def import_name(text: str, base: Path) -> Any:
    """What stands at `package.file:Name`, looked up in `base` first. Files there are run afresh each time.

    Raises `ConfigError` if there is no such module or name and `NetworkError` if importing it fails.
    """
    module, _, name = text.partition(":")
    for name_used, path in _closure(module, base).items():
        if _is_beside(name_used, path, base):
            sys.modules.pop(name_used, None)
    try:
        with _importing_from(base):
            found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file does is theirs to fix
        reason = f"importing {module} failed: {described(error)}"
        raise NetworkError(Problem(raised_at(error, text, base), reason, f"try `python -c 'import {module}'`")) from error
    if not hasattr(found, name):
        named = [key for key, value in vars(found).items() if callable(value)]
        raise ConfigError(Problem(text, f"{module} has no {name!r}", did_you_mean(name, named)))
    return getattr(found, name)


def raised_at(error: BaseException, text: str, base: Path) -> str:
    """`net.py:12`, the innermost line of the network's own files that an error came through; else `text`, its import path."""
    files = {str(path): path for path in source_files(text.partition(":")[0], base)}
    frames = ((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__))
    lines = [(files[name], line) for name, line in frames if name in files]
    if not lines:
        return text
    path, line = lines[-1]
    shown = path.relative_to(base.resolve()) if path.is_relative_to(base.resolve()) else path
    return f"{shown}:{line}"


def described(error: BaseException) -> str:
    """An error's type and the first line of what it says."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextlib.contextmanager
def _importing_from(base: Path) -> Iterator[None]:
    """`base` first on the import path, and no `__pycache__` left in the user's folder."""
    before = sys.dont_write_bytecode
    sys.path.insert(0, str(base.resolve()))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
        with contextlib.suppress(ValueError):
            sys.path.remove(str(base.resolve()))


def _closure(module: str, base: Path) -> dict[str, Path]:
    """Module names to files: `module`, its parent packages, and what they import of the same owner."""
    files: dict[str, Path] = {}
    waiting = [module]
    if _file_of(module, base) is None:
        known = [path.stem for path in sorted(base.glob("*.py"))]
        raise ConfigError(Problem(module, f"no module {module!r} beside the config or installed", did_you_mean(module, known)))
    while waiting:
        name = waiting.pop()
        path = _file_of(name, base)
        if path is None or name in files or not _same_owner(name, path, module, base):
            continue
        files[name] = path
        waiting += _imports(path, name, is_package=path.name == "__init__.py")
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return {module: files.pop(module), **dict(sorted(files.items()))}


def _same_owner(name: str, path: Path, module: str, base: Path) -> bool:
    return _is_beside(name, path, base) or name.partition(".")[0] == module.partition(".")[0]


def _is_beside(name: str, path: Path, base: Path) -> bool:
    """Whether `path` is a file of the config's folder under its own name; packages of an environment in there are not."""
    return path == _file_in([base.resolve()], name.split("."))


def _file_of(module: str, base: Path) -> Path | None:
    """The source file of a module: beside the config, else installed. Imports nothing."""
    top, *rest = module.split(".")
    folders = [base.resolve()]
    path = _file_in(folders, [top, *rest])
    if path is not None:
        return path
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if rest:
        return _file_in([Path(folder) for folder in spec.submodule_search_locations or ()], rest)
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _file_in(folders: list[Path], parts: list[str]) -> Path | None:
    for folder in folders:
        stem = folder.joinpath(*parts)
        for path in (stem / "__init__.py", stem.with_name(stem.name + ".py")):
            if path.is_file():
                return path
    return None


def _imports(path: Path, name: str, *, is_package: bool) -> list[str]:
    """Names of modules that a file may import; `from a import b` may mean the module `a.b`."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{path}:{line}" if line else str(path)
        raise ConfigError(Problem(place, f"this is not valid Python: {getattr(error, 'msg', error)}")) from error
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".")[: -node.level or None] if not is_package else name.split(".")[: 1 - node.level or None]
            parent = ".".join([*(package if node.level else []), *([node.module] if node.module else [])])
            names += [parent, *(f"{parent}.{alias.name}" for alias in node.names)]
    return [found for found in names if found]
