"""From a YAML file to a validated configuration, or to all that is wrong with it at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from generator.config import checks
from generator.config.document import Document, Keys, parse_document, place, read_document
from generator.config.faults import problems_of
from generator.config.schema import Config
from generator.errors import ConfigError, Problem


@dataclass(frozen=True)
class LoadedConfig:
    """text: the YAML. path: as the user gave it. base: the absolute folder that relative paths in it start from.

    lines: 1-based, by path of keys: `('models', 0, 'layers', 2)`; none for text that is in no file.
    """

    config: Config
    text: str
    path: Path
    base: Path
    lines: Mapping[Keys, int]

    def place(self, *keys: str | int) -> str:
        """`configs/a.yaml:14: models[0].layers[2]`; a key the file leaves out has the line of what would hold it."""
        return place(self.path, self.lines, keys)


def load(path: Path) -> LoadedConfig:
    """Read, validate and cross-check a configuration. Raises ConfigError with every problem, by line."""
    document = read_document(path)
    return _validated(document, path, path.parent.resolve(), document.lines)


def parse(text: str, about: Path, base: Path) -> LoadedConfig:
    """A configuration that is in no file. about: what problems name instead. base: the folder that paths in it start from."""
    return _validated(parse_document(text, about), about, base.resolve(), {})


def _validated(document: Document, path: Path, base: Path, lines: Mapping[Keys, int]) -> LoadedConfig:
    spot = partial(place, path, lines)
    problems = list(document.problems)
    config = None
    try:
        # JSON is pydantic's strictest input: no text that becomes a number, no number that becomes true.
        config = Config.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems += problems_of(error, Config, spot)
    problems += checks.name_problems(document.data, spot)
    problems += checks.reference_problems(document.data, spot)
    problems += checks.preprocessing_problems(document.data, spot)
    problems += checks.file_problems(document.data, base, spot)
    if problems or config is None:
        raise ConfigError(sorted(dict.fromkeys(problems), key=_line))
    return LoadedConfig(config, document.text, path, base, MappingProxyType(lines))


def _line(problem: Problem) -> int:
    number = re.match(r".*?:(\d+)(?=$|: )", problem.place)
    return int(number[1]) if number else 0
