"""A task: something to compute, what it depends on, and the name a person knows it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
class Group:
    """Tasks that take less time together than one after the other; each result is stored on its own all the same.

    key: those with the same key, which must read the same files, may run together. size: so many at a time. run: from the
    works of some of them, and what they read, to the files of each; what comes out for one does not depend on the others.
    """

    key: str
    size: int
    run: Callable[[Sequence[Any], Inputs], list[Files]] = field(repr=False)


@dataclass(frozen=True)
class Task:
    """id: `maps:efficientnet-lite0/stem/cat`, what a person reads. parameters: named digests known before anything runs.

    uses: other tasks' files, by the name `run` reads them under. lane: `compute` tasks run one at a time (JAX uses every core
    itself), `draw` tasks side by side. run: from the inputs to the artifact's files; pure. group, work: for tasks that can run
    with others, and what this one's part is.
    """

    id: str
    parameters: Mapping[str, str]
    uses: Mapping[str, Use] = field(default_factory=dict)
    lane: Literal["compute", "draw"] = "draw"
    run: Callable[[Inputs], Files] = field(repr=False, kw_only=True)
    group: Group | None = None
    work: Any = None

    @classmethod
    def in_group(cls, id: str, parameters: Mapping[str, str], uses: Mapping[str, Use], group: Group, work: Any) -> Task:
        """A task of the compute lane that `group` runs."""
        return cls(id, parameters, uses, "compute", run=lambda inputs: group.run([work], inputs)[0], group=group, work=work)

    def parts(self, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """Named digests of everything the result depends on. artifacts: of the tasks in `uses`, by task."""
        read = {f"{use.task} {file}": artifacts[use.task].files[file] for use in self.uses.values() for file in use.files}
        return {**{f"its {name}": value for name, value in self.parameters.items()}, **read}

    def key(self, parts: Mapping[str, str]) -> str:
        return digest.combine({"task": self.id, **parts})
