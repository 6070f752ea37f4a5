"""From stored artifacts to records whose pictures already point to files of the site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, TypeVar

from generator.build.store import Artifact
from generator.records import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Pictures:
    """Reads records and names their pictures by content. places: task and file of every picture met, by path in the site."""

    def __init__(self, artifacts: Mapping[str, Artifact]):
        self.artifacts = artifacts
        self.places: dict[str, tuple[str, str]] = {}

    def record(self, task: str, file: str, kind: type[AnyRecord]) -> AnyRecord:
        """The record `file` of `task`, its pictures renamed to paths from the site's root."""
        artifact = self.artifacts[task]
        names = {name: f"img/{value[:20]}{PurePath(name).suffix}" for name, value in artifact.files.items()}
        data = json.loads(artifact.read(file))
        for name in _relocate(data, names):
            self.places[names[name]] = (task, name)
        return kind.model_validate(data)


def _relocate(data: Any, names: Mapping[str, str]) -> Iterable[str]:
    """Replace every picture's file name in place; returns the names that occurred."""
    found = []
    front = [data]
    while front:
        value = front.pop()
        if isinstance(value, list):
            front += value
        elif isinstance(value, dict):
            if isinstance(value.get("file"), str) and value["file"] in names:
                found.append(value["file"])
                value["file"] = names[value["file"]]
            front += value.values()
    return found
