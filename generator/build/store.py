"""The store: artifacts under the digest of what made them. The only module that writes artifacts.

An artifact is a folder of files and a manifest with the checksum of each. It appears whole or not at all (written beside, then
renamed), and every read verifies the checksum, so damage is noticed before anything damaged is shown.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generator.build import digest
from generator.errors import OutputError, Problem

MANIFEST = "manifest.json"


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
        if key in self._found:
            return self._found[key]
        folder = self._folder(key)
        try:
            files = json.loads((folder / MANIFEST).read_bytes())["files"]
        except (OSError, ValueError, KeyError):
            return None
        self._found[key] = Artifact(key, folder, files)
        return self._found[key]

    def write(self, key: str, files: Mapping[str, bytes]) -> Artifact:
        """Keep `files` under `key`. Raises `OutputError` where the folder cannot be written."""
        folder = self._folder(key)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix="new-", dir=folder.parent))
            try:
                for name, content in files.items():
                    (beside / name).write_bytes(content)
                sums = {name: digest.of_bytes(content) for name, content in files.items()}
                (beside / MANIFEST).write_text(json.dumps({"files": sums}, sort_keys=True), encoding="utf-8")
                self.discard(key)
                os.replace(beside, folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        except OSError as error:
            if self.find(key) is None:
                raise unwritable(self.root, error) from error
        self._found[key] = Artifact(key, folder, sums)
        return self._found[key]

    def discard(self, key: str) -> None:
        self._found.pop(key, None)
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def remember(self, task: str, parts: Mapping[str, str]) -> None:
        """Keep what `task` depended on when it last ran, for telling why it runs again."""
        path = self._memory(task)
        write_atomically(path, json.dumps({"task": task, "parts": dict(parts)}, sort_keys=True).encode())

    def remembered(self, task: str) -> dict[str, str] | None:
        try:
            return json.loads(self._memory(task).read_bytes())["parts"]
        except (OSError, ValueError, KeyError):
            return None

    def keys(self) -> set[str]:
        """Keys of all artifacts."""
        return {folder.name for folder in self.root.glob("objects/??/*") if not folder.name.startswith("new-")}

    def _folder(self, key: str) -> Path:
        return self.root / "objects" / key[:2] / key

    def _memory(self, task: str) -> Path:
        name = digest.of_bytes(task.encode())
        return self.root / "tasks" / name[:2] / f"{name}.json"


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(beside, 0o644)
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(Problem(str(path), f"cannot be written: {reason}", "free some space or choose another folder"))
