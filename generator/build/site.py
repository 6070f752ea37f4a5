"""The output folder: brought to exactly what the gallery is, touching only what differs and only what is ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from generator.build import digest
from generator.build.store import write_atomically
from generator.errors import OutputError, Problem

OURS = ".cnnscope"
MANIFEST = f"{OURS}/manifest.json"
LOCK = f"{OURS}/lock"


@dataclass(frozen=True)
class SiteFile:
    """digest: sha256 of the content. read: gives the content."""

    digest: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Synced:
    """written: paths that were new or differed. removed: paths of earlier builds that nothing needs any more."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    num_bytes: int


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None]):
    """Hold `folder` against a second build; `on_wait` is called once if another build holds it already."""
    _make(folder / OURS)
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        on_wait()
        lock.acquire()
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def sync(folder: Path, files: Mapping[str, SiteFile]) -> Synced:
    """Make `folder` hold `files` (path from the root -> file), and nothing of ours beside them.

    Pictures and assets are written before the pages that need them, orphans removed last, each step atomic: killed at any
    moment, the folder still serves. Files that no build of ours wrote are never changed; one in the way is an `OutputError`.
    """
    before = _manifest(folder)
    for path in files:
        if path not in before and (folder / path).exists() and digest.of_file(folder / path) != files[path].digest:
            _refuse_foreign(folder, [p for p in files if p not in before and (folder / p).exists()])
    differing = [path for path, file in files.items() if not _holds(folder / path, file.digest)]
    now = {path: file.digest for path, file in files.items()}
    if differing or set(before) - set(now):
        _write_manifest(folder, {**before, **now})  # whatever happens next, all of it is known to be ours
    for path in sorted(differing, key=lambda p: (p.endswith(".html"), p)):
        write_atomically(folder / path, files[path].read())
    orphans = tuple(sorted(path for path in before if path not in now and (folder / path).is_file()))
    for path in orphans:
        _remove(folder, path)
    if before != now:
        _write_manifest(folder, now)
    return Synced(tuple(differing), orphans, sum((folder / path).stat().st_size for path in files))


def clear(folder: Path) -> int:
    """Remove every file that builds of ours wrote; returns how many."""
    paths = [path for path in _manifest(folder) if (folder / path).is_file()]
    for path in paths:
        _remove(folder, path)
    for path in (MANIFEST, LOCK):
        if (folder / path).is_file():
            _remove(folder, path)
    return len(paths)


def _holds(path: Path, expected: str) -> bool:
    return path.is_file() and digest.of_file(path) == expected


def _manifest(folder: Path) -> dict[str, str]:
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        return {path: value for path, value in files.items() if ".." not in Path(path).parts and not Path(path).is_absolute()}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}


def _write_manifest(folder: Path, files: Mapping[str, str]) -> None:
    write_atomically(folder / MANIFEST, json.dumps({"files": files}, sort_keys=True, indent=0).encode())


def _remove(folder: Path, path: str) -> None:
    """Delete one file and the folders that are empty without it."""
    try:
        (folder / path).unlink()
        for parent in (folder / path).parents:
            if parent == folder or any(parent.iterdir()):
                break
            parent.rmdir()
    except OSError as error:
        raise _unusable(folder, error) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder.parent, error) from error


def _unusable(folder: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(Problem(str(folder), f"cannot be used as an output folder: {reason}", "choose another one with --out"))


def _refuse_foreign(folder: Path, paths: list[str]) -> None:
    raise OutputError(
        Problem(
            str(folder / path),
            "is in the way and was not written by CNNscope, so it is left alone",
            "move it away or choose another folder with --out",
        )
        for path in paths[:10]
    )
