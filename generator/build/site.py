"""The output folder: brought to exactly what the gallery is, touching only what differs and only what is ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import filelock

from generator.build import digest
from generator.build.store import UNFINISHED, write_atomically
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
def locked(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold `folder` against a second build; `on_wait` is called once if another build holds it already."""
    lock = filelock.FileLock(folder / LOCK)
    try:
        (folder / OURS).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            on_wait()
            lock.acquire()
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        shutil.rmtree(folder / OURS / UNFINISHED, ignore_errors=True)  # of a build that was killed
        yield
    finally:
        lock.release()


def sync(folder: Path, files: Mapping[str, SiteFile]) -> Synced:
    """Make `folder` hold `files` (path from the root -> file), and nothing of ours beside them.

    Every step is atomic, and their order keeps each link of each page alive: pictures and assets come first, then new pages,
    then changed ones; orphans go last. So the folder still serves when this is killed. Files that no build of ours wrote are
    never changed; one in the way is an `OutputError`.
    """
    before = _manifest(folder)
    _refuse_foreign(folder, files, before)
    differing = [path for path, file in files.items() if not _holds(folder / path, file.digest)]
    now = {path: file.digest for path, file in files.items()}
    if differing or set(before) - set(now):
        _write_manifest(folder, {**before, **now})  # whatever happens next, all of it is known to be ours
    for path in sorted(differing, key=lambda p: (p.endswith(".html"), (folder / p).exists(), p)):
        write_atomically(folder / path, files[path].read(), folder / OURS)
    orphans = _remove(folder, [path for path in before if path not in now])
    if before != now:
        _write_manifest(folder, now)
    return Synced(tuple(differing), orphans, sum((folder / path).stat().st_size for path in files))


def clear(folder: Path, on_wait: Callable[[], None]) -> int:
    """Remove every file that builds of ours wrote; returns how many."""
    if not (folder / OURS).is_dir():
        return 0
    with locked(folder, on_wait):
        removed = _remove(folder, _manifest(folder))
        (folder / MANIFEST).unlink(missing_ok=True)
    _remove(folder, [LOCK])
    return len(removed)


def _holds(path: Path, expected: str) -> bool:
    return path.is_file() and digest.of_file(path) == expected


def _manifest(folder: Path) -> dict[str, str]:
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        return {path: value for path, value in files.items() if ".." not in Path(path).parts and not Path(path).is_absolute()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_manifest(folder: Path, files: Mapping[str, str]) -> None:
    content = json.dumps({"files": files}, sort_keys=True, indent=0).encode()
    write_atomically(folder / MANIFEST, content, folder / OURS)


def _remove(folder: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Delete those of `paths` that are there, and the folders that are empty without them; returns what was deleted."""
    removed = []
    try:
        for path in sorted(paths):
            if _obstacle(folder, PurePath(path).parents) or not os.path.lexists(folder / path) or (folder / path).is_dir():
                continue
            (folder / path).unlink()
            removed.append(path)
            for parent in PurePath(path).parents[:-1]:
                if any((folder / parent).iterdir()):
                    break
                (folder / parent).rmdir()
    except OSError as error:
        raise _unusable(folder, error) from error
    return tuple(removed)


def _unusable(folder: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(Problem(str(folder), f"cannot be used as an output folder: {reason}", "choose another one with --out"))


def _refuse_foreign(folder: Path, files: Mapping[str, SiteFile], ours: Mapping[str, str]) -> None:
    """Raises `OutputError` where something that no build of ours wrote is in the way."""
    folders = {parent for path in files for parent in PurePath(path).parents}
    found = [blocked] if (blocked := _obstacle(folder, folders)) else []
    for path, file in files.items() if not found else ():
        place = folder / path
        foreign = path not in ours and os.path.lexists(place) and (place.is_symlink() or not _holds(place, file.digest))
        if foreign or place.is_dir():
            found.append(place)
    if found:
        rule, way_out = "is in the way and was not written by CNNscope", "move it away or choose another folder with --out"
        raise OutputError(Problem(str(path), rule, way_out) for path in found[:10])


def _obstacle(folder: Path, parents: Iterable[PurePath]) -> Path | None:
    """The first of `parents` that is a file, or a link that leads out of the site, instead of a folder."""
    for parent in sorted(parents):
        place = folder / parent
        if parent != PurePath() and (place.is_symlink() or (place.exists() and not place.is_dir())):
            return place
    return None
