"""The store: artifacts under the digest of what made them. The only module that writes artifacts.

An artifact is a folder of files and a manifest with the checksum of each. It appears whole or not at all (written beside, then
renamed), and every read verifies the checksum, so damage is noticed before anything damaged is shown.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from generator.build import digest
from generator.errors import OutputError, Problem

MANIFEST = "manifest.json"
UNFINISHED = "new"
#: What a store's folder holds; `compiled` is JAX's own cache.
OURS = frozenset({"objects", "tasks", "compiled", UNFINISHED})


class DamagedArtifact(Exception):  # noqa: N818 -- not an error of the user's: the engine computes the artifact again
    """A file of an artifact is missing or not what its manifest says."""

    def __init__(self, artifact: Artifact, file: str):
        super().__init__(f"{artifact.folder / file} is damaged")
        self.artifact, self.file = artifact, file


@dataclass(frozen=True)
class Artifact:
    """key: digest it is stored under. files: sha256 of each file by name."""

    key: str
    folder: Path
    files: Mapping[str, str]

    def read(self, file: str) -> bytes:
        """The bytes of `file`; raises `DamagedArtifact` where they do not match the manifest."""
        try:
            content = (self.folder / file).read_bytes()
        except OSError as error:
            raise DamagedArtifact(self, file) from error
        if digest.of_bytes(content) != self.files[file]:
            raise DamagedArtifact(self, file)
        return content


class Store:
    """Artifacts and what the last build knew of each task, in one folder. Safe for several builds at once."""

    def __init__(self, root: Path):
        self.root = root
        self._found: dict[str, Artifact] = {}

    def find(self, key: str) -> Artifact | None:
        """The artifact under `key`, or None where there is none or its manifest is damaged."""
        if key not in self._found:
            files = _files(self._folder(key) / MANIFEST)
            if files is None:
                return None
            self._found[key] = Artifact(key, self._folder(key), files)
        return self._found[key]

    def is_damaged(self, key: str) -> bool:
        """Whether there is something under `key`, but no manifest that can be trusted."""
        return self.find(key) is None and self._folder(key).exists()

    def write(self, key: str, files: Mapping[str, bytes]) -> Artifact:
        """Keep `files` under `key`. Raises `OutputError` where the folder cannot be written."""
        folder, sums = self._folder(key), {name: digest.of_bytes(content) for name, content in files.items()}
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _beside(self.root) as beside:
                for name, content in files.items():
                    (beside / name).write_bytes(content)
                manifest = json.dumps({"files": sums, "digest": digest.of_json(sums)}, sort_keys=True)
                (beside / MANIFEST).write_text(manifest, encoding="utf-8")
                if self.is_damaged(key):
                    self.discard(key)
                os.replace(beside, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise unwritable(self.root, error) from error
            # Another build was faster; its result is as good.
        self._found[key] = Artifact(key, folder, sums)
        return self._found[key]

    def discard(self, key: str) -> None:
        self._found.pop(key, None)
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def remember(self, task: str, parts: Mapping[str, str]) -> None:
        """Keep what `task` depended on when it last ran, for telling why it runs again."""
        path = self._memory(task)
        write_atomically(path, json.dumps({"task": task, "parts": dict(parts)}, sort_keys=True).encode(), self.root)

    def remembered(self, task: str) -> dict[str, str] | None:
        try:
            return json.loads(self._memory(task).read_bytes())["parts"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # only the reason for a rebuild is lost with it

    def clear(self) -> None:
        """Remove all of it. Raises `OutputError`, and removes nothing, where the folder holds anything else."""
        foreign = [path.name for path in self.root.iterdir() if path.name not in OURS] if self.root.is_dir() else []
        if foreign:
            rule = f"holds {sorted(foreign)[0]!r}, which CNNscope did not write"
            raise OutputError(Problem(str(self.root), rule, "name the right folder with --store"))
        shutil.rmtree(self.root, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self.root / "objects" / key[:2] / key

    def _memory(self, task: str) -> Path:
        name = digest.of_bytes(task.encode())
        return self.root / "tasks" / name[:2] / f"{name}.json"


def write_atomically(path: Path, content: bytes, root: Path) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one.

    root: a folder on the same disk whose `new/` holds unfinished files; what a killed process leaves there means nothing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(root) as beside:
            (beside / "file").write_bytes(content)
            os.replace(beside / "file", path)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    """A new folder for what is not finished yet, removed afterwards unless it was renamed."""
    (root / UNFINISHED).mkdir(parents=True, exist_ok=True)
    beside = root / UNFINISHED / uuid.uuid4().hex
    beside.mkdir()
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _files(manifest: Path) -> dict[str, str] | None:
    """The checksums in an artifact's manifest, or None where it is missing or not as it was written."""
    try:
        content = json.loads(manifest.read_bytes())
        return content["files"] if content["digest"] == digest.of_json(content["files"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unwritable(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(Problem(str(path), f"cannot be written: {reason}", "free some space or choose another folder"))
