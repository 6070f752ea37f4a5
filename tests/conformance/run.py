"""Runs the conformance suites in pieces and writes CONFORMANCE.md: `make conformance`, or `python -m tests.conformance.run`.

A suite is a module with `cases() -> list[str]` and `run(name) -> dict`, json-able, with `ok` and, if that is false, `failure`,
and with `DEPENDS_ON`, patterns of the files below `generator/` that its results depend on.
Each piece runs in a process of its own, within bounds of time and memory, and its result is stored at once under
`build/conformance/`, with a digest of everything it depends on: an interrupted run goes on where it stopped, and what no
longer holds runs again. Exit codes: 0 all is well, 1 a piece failed, 3 not finished within the budget.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import fnmatch
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from generator.sources.python_files import source_files

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("torch_behaviour", "torchvision_models", "zoo_models", "keras_applications", "onnx_operators", "forward_speed")
LIBRARIES = ("jax", "jaxlib", "numpy", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "keras", "timm")
FAILED, UNFINISHED = 1, 3


@dataclass(frozen=True)
class Place:
    """Where suites are found and results kept. base: the folder that holds `package`. limits: of one piece."""

    base: Path = ROOT
    package: str = "tests.conformance"
    store: Path = ROOT / "build" / "conformance"
    table: Path = ROOT / "CONFORMANCE.md"
    limit_s: float = 300
    limit_mb: int = 8192

    def module(self, suite: str) -> str:
        return f"{self.package}.{suite}"

    def source(self, suite: str) -> Path:
        return (self.base / Path(*self.module(suite).split("."))).with_suffix(".py")

    def file(self, suite: str, case: str) -> Path:
        return self.store / suite / f"{quote(case, safe='')}.json"

    def listing(self, suite: str) -> Path:
        return self.store / f"{suite}.cases.json"


@dataclass(frozen=True)
class Listed:
    """A suite's cases as last listed. failure: why they could not be."""

    cases: tuple[str, ...]
    digest: str
    failure: str = ""


def main(arguments: Sequence[str] | None = None, place: Place | None = None, suites: Sequence[str] = SUITES) -> int:
    parser = argparse.ArgumentParser(prog="make conformance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suite", choices=suites, action="append", help="run this one; may be given more than once")
    parser.add_argument("--only", metavar="GLOB", default="*", help="run the pieces of these names")
    parser.add_argument("--budget", type=float, metavar="SECONDS", default=float("inf"), help="start no piece after that time")
    parser.add_argument("--here", nargs=2, metavar=("MODULE", "CASE"), help=argparse.SUPPRESS)
    parser.add_argument("--list-here", metavar="MODULE", help=argparse.SUPPRESS)
    parser.add_argument("--limit-mb", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.limit_mb:
        _limit(options.limit_mb)
    if options.list_here:
        print(json.dumps(list(importlib.import_module(options.list_here).cases())))
        return 0
    if options.here:
        print(json.dumps(_run_here(*options.here)))
        return 0
    from tests.conformance.table import write

    place = place or Place()
    end = time.monotonic() + options.budget
    finished, failed = True, False
    for suite in options.suite or suites:
        listed = list_cases(place, suite)
        if listed.failure:
            print(f"{suite}: {listed.failure}", file=sys.stderr)
            failed = True
        for case in fnmatch.filter(listed.cases, options.only):
            found = stored(place, suite, case, listed.digest)
            if found is None and time.monotonic() >= end:
                finished = False
                continue
            if found is None:
                found = run_piece(place, suite, case, listed.digest)
                word = "ok" if found["ok"] else f"FAILED: {found['failure']}"
                print(f"{suite} {case}: {word} ({found['seconds']:.1f} s)", file=sys.stderr, flush=True)
            failed |= not found["ok"]
    write(place, suites)
    if not finished:
        print("not finished: run it again to go on", file=sys.stderr)
        return UNFINISHED
    return FAILED if failed else 0


def versions() -> dict[str, str]:
    """Of Python and every library that results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def digest_of(place: Place, suite: str) -> str:
    """sha256 over the suite, what it imports of the tests, the files that it says it depends on, and the versions."""
    generator = ROOT / "generator"
    files = {path for path in source_files(place.module(suite), place.base) if not path.is_relative_to(generator)}
    for pattern in depends_on(place, suite):
        files.update(generator.glob(pattern))
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def depends_on(place: Place, suite: str) -> tuple[str, ...]:
    """Read from the suite's text: to import it would import its framework."""
    tree = ast.parse(place.source(suite).read_bytes())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "DEPENDS_ON" for t in node.targets):
            return tuple(ast.literal_eval(node.value))
    return ("**/*.py",)


def list_cases(place: Place, suite: str) -> Listed:
    """The suite's cases, asked of it in a process of its own unless nothing has changed since."""
    if not place.source(suite).is_file():
        return _keep(place, suite, Listed((), "", "there is no such suite here"))
    digest = digest_of(place, suite)
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = Listed(**json.loads(place.listing(suite).read_text()))
        if known.digest == digest and not known.failure:
            return known
    done, reason = _process(place, ["--list-here", place.module(suite)])
    cases = () if done is None else tuple(done)
    return _keep(place, suite, Listed(cases, digest, f"its cases cannot be listed: {reason}" if reason else ""))


def stored(place: Place, suite: str, case: str, digest: str) -> dict[str, Any] | None:
    """The result of a piece, if it is there and still holds."""
    try:
        found = json.loads(place.file(suite, case).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("digest") == digest else None


def run_piece(place: Place, suite: str, case: str, digest: str) -> dict[str, Any]:
    """Runs one piece and stores what came of it, be it a crash."""
    start = time.monotonic()
    found, reason = _process(place, ["--here", place.module(suite), case])
    result = found if isinstance(found, dict) else {"ok": False, "failure": reason}
    result = {**result, "case": case, "digest": digest, "seconds": round(time.monotonic() - start, 1)}
    _write(place.file(suite, case), result)
    return result


def _run_here(module: str, case: str) -> dict[str, Any]:
    try:
        found = dict(importlib.import_module(module).run(case))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        return {"ok": False, "failure": f"{type(error).__name__}: {str(error)[:1000]} ({place})"}
    return {"failure": "" if found["ok"] else "no reason given", **found}


def _limit(megabytes: int) -> None:
    """Bounds this process's memory. It does so itself: to set it from outside would fork a process that may run JAX."""
    with contextlib.suppress(ValueError, OSError):  # not every system bounds memory
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _process(place: Place, arguments: list[str]) -> tuple[Any, str]:
    """What our own program prints last, as JSON, in a process within the limits; else why there is nothing."""
    paths = dict.fromkeys([str(ROOT), str(place.base)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-m", "tests.conformance.run", "--limit-mb", str(place.limit_mb), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=place.limit_s,
        )
    except subprocess.TimeoutExpired:
        return None, f"not done after {place.limit_s:g} s"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1]), ""
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return None, f"its process ended with {done.returncode}: {said[:500]}"


def _keep(place: Place, suite: str, listed: Listed) -> Listed:
    _write(place.listing(suite), {"cases": listed.cases, "digest": listed.digest, "failure": listed.failure})
    return listed


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
