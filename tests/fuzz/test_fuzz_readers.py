"""Hundreds of damaged files for every reader: a `UserError` or a result, in little time and little memory.

Each reader is tried in a process of its own, which measures itself: what a test sees of memory is then that reader's alone.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUM_MUTATIONS = 120  # of each sample
MAX_SECONDS, MAX_BYTES = 2.0, 1 << 30
#: A safety net for this machine, far above what is asserted.
HARD_LIMIT = 6 << 30
READERS = ("torch", "arrays", "idx", "cifar", "npz", "csv", "images")


@pytest.mark.parametrize("reader", READERS)
def test_no_file_leads_to_anything_but_a_result_or_a_user_error(reader, tmp_path):
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, __file__, reader],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["failures"] == []
    assert told["slowest"][0] < MAX_SECONDS, told["slowest"]
    assert told["most_bytes"] < MAX_BYTES, told["most_bytes"]
    assert told["tried"] >= 200
    assert told["refused"] > told["tried"] / 4


def try_all(name: str) -> dict[str, object]:
    """Runs in the child process: every damaged file through one reader."""
    from generator.errors import UserError
    from tests.fuzz.mutations import mutations
    from tests.fuzz.samples import plain, readers

    reader = readers()[name]()
    path = Path("file")
    for sample, content in reader.samples.items():
        path.write_bytes(reader.packs.get(sample, plain)(content))
        reader.read(path)  # sound files are read, or the rest means nothing
    before = _peak_bytes()
    failures, slowest, tried, refused = [], (0.0, ""), 0, 0

    def attempt(what: str, content: bytes) -> None:
        nonlocal slowest, tried, refused
        path.write_bytes(content)
        start = time.process_time()
        try:
            reader.read(path)
        except UserError as error:
            refused += 1
            if max(len(str(problem)) for problem in error.problems) > 2000 or len(error.problems) > 50:
                failures.append(f"{what}: a message of {len(str(error))} characters")
        except BaseException as error:
            failures.append(f"{what}: {type(error).__name__}: {error}"[:300])
        tried += 1
        slowest = max(slowest, (time.process_time() - start, what))

    for number, (sample, content) in enumerate(reader.samples.items()):
        pack = reader.packs.get(sample, plain)
        for turn, damaged in enumerate(mutations(content, NUM_MUTATIONS, seed=number)):
            attempt(f"{sample} {turn}", pack(damaged))
    for what, content in reader.bombs():
        attempt(f"bomb: {what}", content)
    return {"failures": failures, "slowest": slowest, "most_bytes": _peak_bytes() - before, "tried": tried, "refused": refused}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (HARD_LIMIT, HARD_LIMIT))
    warnings.simplefilter("error")
    print(json.dumps(try_all(sys.argv[1])))
