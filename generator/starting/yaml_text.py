"""Text that is YAML whatever names it holds: values on one line, and comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

WIDTH = 118
#: Text that needs no quotes anywhere, if it is not read as something else (`yes`, `1e3`).
_PLAIN = re.compile(r"([A-Za-z]|\.{0,2}/)([\w./ -]|:(?=\w))*[A-Za-z0-9_]|[A-Za-z]", re.ASCII)


def inline(value: Any) -> str:
    """A value of a configuration: text, a number, true or false, or a list or mapping of them, on one line."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {inline(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]"


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and " #" not in value and yaml.safe_load(value) == value:
        return value
    return yaml.dump(value, default_style='"', allow_unicode=True, width=float("inf")).rstrip("\n")


def entry(key: str, value: Any, indent: int) -> Iterator[str]:
    """`key: value`; long lists are broken into lines."""
    line = f"{' ' * indent}{key}: {inline(value)}"
    if len(line) <= WIDTH or not isinstance(value, Sequence) or isinstance(value, str):
        yield line
        return
    start = f"{' ' * indent}{key}: ["
    parts = [*(f"{inline(item)}, " for item in value[:-1]), inline(value[-1]) + "]"]
    line = start
    for part in parts:
        if len(line) + len(part.rstrip()) > WIDTH and line.strip() != start.strip():
            yield line.rstrip()
            line = " " * len(start)
        line += part
    yield line


def comment(text: str, indent: int = 0) -> Iterator[str]:
    """Lines of a comment; what cannot be printed is escaped, as it would end the comment or is no YAML."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    for line in textwrap.wrap(shown, WIDTH - indent - 2, break_on_hyphens=False):
        yield f"{' ' * indent}# {line}"
