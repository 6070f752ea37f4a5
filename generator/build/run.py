"""Runs tasks: in the order of what they read, side by side where they can, each one only if its result is not stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Literal

from generator.build.reasons import Reason, explain
from generator.build.store import MANIFEST, Artifact, DamagedArtifact, Store
from generator.build.task import Files, Inputs, Task

Event = Literal["planned", "start", "ran", "stored", "damaged"]
Report = Callable[[Event, str], None]


@dataclass(frozen=True)
class Status:
    """Where a task stands.

    artifact: its stored result. reason: why it will run. waits_for: tasks that must run before one can tell.
    """

    task: Task
    artifact: Artifact | None
    reason: Reason | None
    waits_for: tuple[str, ...] = ()


def statuses(tasks: Iterable[Task], store: Store, artifacts: dict[str, Artifact]) -> list[Status]:
    """Where every task stands, without running any. tasks: each after those it uses. artifacts: known results; added to."""
    result = []
    for task in tasks:
        waits_for = tuple(dict.fromkeys(use.task for use in task.uses.values() if use.task not in artifacts))
        if waits_for:
            result.append(Status(task, None, None, waits_for))
            continue
        parts = task.parts(artifacts)
        artifact = store.find(task.key(parts))
        if artifact is None:
            result.append(Status(task, None, _reason(task, parts, store)))
        else:
            artifacts[task.id] = artifact
            result.append(Status(task, artifact, None))
    return result


def _reason(task: Task, parts: Mapping[str, str], store: Store) -> Reason:
    """Why a task whose result is not stored has to run."""
    if store.is_damaged(task.key(parts)):
        return Reason(task.id, "damaged", (MANIFEST,))
    return explain(task.id, store.remembered(task.id), parts)


class Runner:
    """Brings tasks' results into `artifacts`, computing those that the store lacks.

    report: called with what happens and to which task, always from the thread that calls `run`. ran: why each task that ran
    had to. artifacts: by task.
    """

    def __init__(self, store: Store, jobs: int, report: Report):
        self.store, self._jobs, self._report = store, max(1, jobs), report
        self.artifacts: dict[str, Artifact] = {}
        self.ran: list[Reason] = []
        self._tasks: dict[str, Task] = {}
        self._computing = threading.Lock()

    @property
    def num_tasks(self) -> int:
        return len(self._tasks)

    def run(self, tasks: Iterable[Task]) -> None:
        """Run what must be run. An exception of a task ends the run; whatever finished before it stays stored."""
        tasks = {task.id: task for task in tasks}
        self._tasks.update(tasks)
        for name in tasks:
            self._report("planned", name)
        before = {name: {use.task for use in task.uses.values()} & tasks.keys() for name, task in tasks.items()}
        sorter = TopologicalSorter(before)
        sorter.prepare()
        with ThreadPoolExecutor(1) as compute, ThreadPoolExecutor(self._jobs) as draw:
            lanes = {"compute": compute, "draw": draw}
            running: dict[Future[list[Files]], tuple[Task, ...]] = {}
            try:
                while sorter.is_active():
                    ready = sorter.get_ready()
                    missing = []
                    for name in ready:
                        if self._is_stored(tasks[name]):
                            self._report("stored", name)
                            sorter.done(name)
                        else:
                            self._report("start", name)
                            missing.append(tasks[name])
                    for some in _grouped(missing):
                        running[lanes[some[0].lane].submit(self._work, some)] = some
                    if running and not ready:
                        for future in wait(running, return_when=FIRST_COMPLETED).done:
                            some = running.pop(future)
                            self._finish(some, future)
                            sorter.done(*(task.id for task in some))
            except BaseException:
                for future in running:
                    future.cancel()
                raise

    def read(self, task: str, file: str) -> bytes:
        """A file of a task's result; computed again if the stored one is damaged."""
        try:
            return self.artifacts[task].read(file)
        except DamagedArtifact as damaged:
            self._repair(damaged)
            return self.artifacts[task].read(file)

    def _work(self, tasks: Sequence[Task]) -> list[Files]:
        """Run a task, or some of one group, in whatever thread this is."""
        first = tasks[0]
        inputs = Inputs({name: self.artifacts[use.task] for name, use in first.uses.items()})
        with self._computing if first.lane == "compute" else nullcontext():
            if len(tasks) == 1 or first.group is None:
                return [task.run(inputs) for task in tasks]
            return first.group.run([task.work for task in tasks], inputs)

    def _is_stored(self, task: Task) -> bool:
        key = task.key(task.parts(self.artifacts))
        artifact = self.store.find(key)
        if artifact is not None:
            self.artifacts[task.id] = artifact
        elif self.store.is_damaged(key):
            self._report("damaged", task.id)
        return artifact is not None

    def _finish(self, tasks: Sequence[Task], future: Future[list[Files]]) -> None:
        try:
            found = future.result()
        except DamagedArtifact as damaged:
            self._repair(damaged)
            found = [self._compute(task) for task in tasks]
        for task, files in zip(tasks, found, strict=True):
            self._keep(task, files)

    def _compute(self, task: Task) -> Files:
        """Run a task here and now, mending what it reads as often as needed."""
        while True:
            try:
                return self._work([task])[0]
            except DamagedArtifact as damaged:
                self._repair(damaged)

    def _repair(self, damaged: DamagedArtifact) -> None:
        (name,) = (name for name, artifact in self.artifacts.items() if artifact.key == damaged.artifact.key)
        if self._is_intact(name, damaged.file):
            return  # repaired since, for another task that reads it
        self._report("damaged", name)
        self.store.discard(damaged.artifact.key)
        self._keep(self._tasks[name], self._compute(self._tasks[name]), Reason(name, "damaged", (damaged.file,)))

    def _is_intact(self, task: str, file: str) -> bool:
        try:
            self.artifacts[task].read(file)
        except DamagedArtifact:
            return False
        return True

    def _keep(self, task: Task, files: Files, reason: Reason | None = None) -> None:
        parts = task.parts(self.artifacts)
        self.ran.append(reason or _reason(task, parts, self.store))
        self.artifacts[task.id] = self.store.write(task.key(parts), files)
        self.store.remember(task.id, parts)
        self._report("ran", task.id)


def _grouped(tasks: Iterable[Task]) -> Iterator[tuple[Task, ...]]:
    """Which tasks are run at once: as many of one group as it takes, any other alone."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        if task.group is None:
            yield (task,)
        else:
            groups.setdefault(task.group.key, []).append(task)
    for members in groups.values():
        size = members[0].group.size
        yield from (tuple(members[start : start + size]) for start in range(0, len(members), size))
