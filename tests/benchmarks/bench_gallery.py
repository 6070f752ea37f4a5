"""From a clean clone to a finished gallery, as a new user meets it: the commit checked out here, an empty home, a new `.venv`.

Changes that are not committed are not measured. Installing needs a package registry, as pip and uv are set up on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measuring import ROOT, Measurement

#: With featured units optimised and their exemplars found.
TOTAL_S, AGAIN_S = 600.0, 3.0
MEMORY_MB, SITE_MB = 2_000.0, 120.0


def run(config: str = "configs/default.yaml") -> list[Measurement]:
    """config: in the clone."""
    with tempfile.TemporaryDirectory(prefix="cnnscope-bench-") as folder:
        clone, home = Path(folder, "clone"), Path(folder, "home")
        home.mkdir()
        env = _environment(home)
        cloning = _timed(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT, env)
        installing = _timed(["make", ".venv/.installed"], clone, env)
        building = _timed(["make", "gallery", f"CONFIG={config}"], clone, env)
        num_bytes = sum(file.stat().st_size for file in (clone / "site").rglob("*") if file.is_file())
        again = _timed([".venv/bin/cnnscope", "build", config, "--json"], clone, env)
        summary = json.loads(again.output.splitlines()[-1])
        commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=clone, text=True).strip()  # noqa: S607
    total = cloning.seconds + installing.seconds + building.seconds
    tasks = f"{summary['tasks_total']:,} tasks, {summary['pages']} pages"
    return [
        Measurement("clean clone to gallery", total, "s", at_most=TOTAL_S, note=f"commit {commit}, {config}"),
        Measurement("  of which installing", installing.seconds, "s", note="packages come from the registry"),
        Measurement("  of which building", building.seconds, "s", note=tasks),
        Measurement("  peak memory", building.peak_mb, "MB", at_most=MEMORY_MB, note="resident, largest process"),
        Measurement("  site", num_bytes / 1e6, "MB", at_most=SITE_MB),
        Measurement("second build, tasks run", summary["tasks_run"], at_most=0),
        Measurement("  seconds, with Python's start", again.seconds, "s", at_most=AGAIN_S),
    ]


@dataclass(frozen=True)
class _Done:
    """peak_mb: of the largest process among the command and all it started."""

    seconds: float
    peak_mb: float
    output: str


def _timed(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> _Done:
    """Run to the end. Raises RuntimeError with the command's last words if it fails."""
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=dict(env), stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        output = log.read()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {process.returncode}:\n{output[-2000:]}")
    return _Done(seconds, usage.ru_maxrss * 1024 / 1e6, output)


def _environment(home: Path) -> dict[str, str]:
    """This process's environment with another home and no caches or virtual environment; where packages come from stays."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "VIRTUAL_ENV", "PYTHON", "JAX_"))}
    env.pop("MAKEFLAGS", None)
    env.pop("MAKELEVEL", None)
    settings = Path.home() / ".config" / "pip" / "pip.conf"
    if settings.is_file():
        env.setdefault("PIP_CONFIG_FILE", str(settings))
    return {**env, "HOME": str(home)}
