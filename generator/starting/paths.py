"""Paths of the command line, as a configuration in another folder would write them."""

from __future__ import annotations

import os
from pathlib import Path

from generator.errors import ConfigError, Problem


def as_written(text: str, base: Path) -> str:
    """A path or pattern of the command line, relative to `base` (a folder); an absolute one outside of it stays absolute.

    Raises `ConfigError` for a name that is no text, which no YAML file can hold.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raise ConfigError(Problem(shown, "the name is not UTF-8", "rename it, or the folder it is in")) from error
    whole = Path(text).expanduser()
    if whole.is_absolute():
        return whole.relative_to(base.resolve()).as_posix() if whole.is_relative_to(base.resolve()) else whole.as_posix()
    return Path(os.path.relpath(whole.absolute(), base.resolve())).as_posix()
