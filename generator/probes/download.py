"""Fetching a published file: into the cache, whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

from generator.errors import ProbeError, Problem

#: Called with a file's name, the bytes that have come, and the bytes that it has (0 where the server does not say).
Report = Callable[[str, int, int], None]

_TIMEOUT_S = 30
_CHUNK = 1 << 18
#: More than any file that is fetched here has.
MAX_BYTES = 256 << 20


def cache_folder(name: str) -> Path:
    """Where what was downloaded is kept: below the user's cache folder (XDG Base Directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnnscope" / name


def silent(_: str, __: int, ___: int) -> None:
    """A report that nobody reads."""


def fetch(urls: Sequence[str], md5: str, path: Path, report: Report, way_out: str, max_bytes: int = MAX_BYTES) -> None:
    """Writes what the first of `urls` that answers gives to `path`, which appears only once its MD5 sum is right.

    MD5 because that is what the authors of the data publish; it tells damage, and no more. Raises `ProbeError` with what went
    wrong at every address, and `way_out`.
    """
    problems = []
    for url in urls:
        try:
            _fetch_one(url, md5, path, report, max_bytes)
            return
        except _CannotWriteError as error:
            raise ProbeError(Problem(str(path.parent), f"cannot be written: {error}", way_out)) from error
        except (OSError, HTTPException, ValueError) as error:
            problems.append(Problem(url, f"the download failed: {error}"))
    raise ProbeError([*problems[:-1], replace(problems[-1], way_out=way_out)])


class _CannotWriteError(Exception):
    """The folder of the cache does not take the file."""


def _fetch_one(url: str, md5: str, path: Path, report: Report, max_bytes: int) -> None:
    digest, done = hashlib.md5(usedforsecurity=False), 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - the scheme is the caller's constant
        total = int(response.headers.get("Content-Length") or 0)
        unfinished = _unfinished(path)
        try:
            with unfinished.open("wb") as file:
                while done <= max_bytes and (chunk := response.read(_CHUNK)):
                    try:
                        file.write(chunk)
                    except OSError as error:
                        raise _CannotWriteError(error.strerror) from error
                    digest.update(chunk)
                    done += len(chunk)
                    report(path.name, done, total)
            if digest.hexdigest() != md5:
                raise ValueError(f"it came damaged: its MD5 is {digest.hexdigest()}, not {md5}")
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    """A new file beside `path`, of its own for each download, so that two at a time do not meet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _CannotWriteError(error.strerror) from error
    return Path(name)
