"""A task: something to compute, what it depends on, and the name a person knows it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from generator.build import digest
from generator.build.store import Artifact

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Use:
    """Files of another task's artifact. Their contents, not that task's key, are what counts: a result that comes out the same
    again stops a rebuild there."""

    task: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """What a running task reads of others."""

    artifacts: Mapping[str, Artifact]

    def read(self, use: str, file: str) -> bytes:
        return self.artifacts[use].read(file)


@dataclass(frozen=True)
class Task:
    """id: `maps:efficientnet-lite0/stem/cat`, what a person reads. parameters: named digests known before anything runs.

    uses: other tasks' files, by the name `run` reads them under. lane: `compute` tasks run one at a time (JAX uses every core
    itself), `draw` tasks side by side. run: from the inputs to the artifact's files; pure.
    """

    id: str
    parameters: Mapping[str, str]
    uses: Mapping[str, Use] = field(default_factory=dict)
    lane: Literal["compute", "draw"] = "draw"
    run: Callable[[Inputs], Files] = field(repr=False, kw_only=True)

    def parts(self, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """Named digests of everything the result depends on. artifacts: of the tasks in `uses`, by task."""
        read = {f"{use.task} {file}": artifacts[use.task].files[file] for use in self.uses.values() for file in use.files}
        return {**{f"its {name}": value for name, value in self.parameters.items()}, **read}

    def key(self, parts: Mapping[str, str]) -> str:
        return digest.combine({"task": self.id, **parts})
