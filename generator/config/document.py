"""YAML text as plain data, with the line of every key and item.

Nothing in the text is ever executed: nodes are composed by PyYAML's safe loader and turned into data here, so that lines,
duplicate keys and aliases stay visible.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from generator.errors import ConfigError, Problem, did_you_mean

Keys = tuple[str | int, ...]

#: Far above any gallery; keeps a hostile file from filling the memory or the stack.
MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
MAX_DEPTH = 50
MAX_INTEGER = 2**63 - 1

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
#: Scalars that plain text is read as; dates stay text, as no key takes one.
_READ_AS = {_TAG + "str", _TAG + "timestamp", _TAG + "value"}


class _Loader(yaml.SafeLoader):
    """The safe loader, which also takes `1e-3` for a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(_TAG + "float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


@dataclass(frozen=True)
class Document:
    """data: dicts with text keys, lists, and scalars. lines: 1-based, by path of keys; the document itself is `()`."""

    text: str
    data: dict[str, Any]
    lines: dict[Keys, int]
    problems: tuple[Problem, ...]


def key_path(keys: Keys) -> str:
    """`models[0].layers[2]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def place(path: Path, lines: Mapping[Keys, int], keys: Keys) -> str:
    """`configs/a.yaml:14: models[0].layers[2]`; what is not in the file has the line of what it is missing from.

    Without `lines`, as for text that nobody sees, the path alone.
    """
    known = next(keys[:end] for end in range(len(keys), -1, -1) if end == 0 or keys[:end] in lines)
    spot = f"{path}:{lines.get(known, 1)}" if lines else str(path)
    return f"{spot}: {key_path(keys)}" if keys else spot


def read_document(path: Path) -> Document:
    """Raises ConfigError where the file cannot be read as one YAML mapping; smaller faults are in `problems`."""
    return parse_document(_read_text(path), path)


def parse_document(text: str, path: Path) -> Document:
    """path: what problems name. Raises ConfigError where text is no YAML mapping; smaller faults are in `problems`."""
    loader = _Loader("")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refusal(f"{path}:{line}", f"character {chr(error.character)!r} is not allowed in YAML", "remove it") from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(path, text, error) from error
    except RecursionError as error:
        raise _too_deep(str(path)) from error
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF" has no character
        mark = loader.get_mark()
        rule = f"not valid YAML near column {mark.column + 1}: {error}"
        raise _refusal(f"{path}:{mark.line + 1}", rule, "check escapes such as \\U and numbers") from error
    finally:
        loader.dispose()
    if node is None:
        raise _refusal(str(path), "the file is empty", "it needs at least `models:` and `probes:`; see configs/default.yaml")
    if not isinstance(node, yaml.MappingNode):
        found = "a list" if isinstance(node, yaml.SequenceNode) else "plain text"
        raise _refusal(f"{path}:{_line(node)}", f"expected keys such as `models:`, got {found}", "see configs/default.yaml")
    reader = _Reader(path)
    data = reader.value(node, ())
    return Document(text, data, {(): 1, **reader.lines}, tuple(reader.problems))


def _read_text(path: Path) -> str:
    if os.path.isdir(path):
        found = ", ".join(_yaml_files(path)) or "none"
        raise _refusal(str(path), "is a folder, not a configuration file", f"YAML files in it: {found}")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        near = did_you_mean(path.name, _yaml_files(path.parent))
        raise _refusal(
            str(path), "no such file", near or "give the path of a YAML file, such as configs/default.yaml"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(str(path), f"cannot be read: {reason}", "check the path and its permissions") from error
    if len(raw) > MAX_BYTES:
        raise _refusal(
            str(path), f"is larger than {MAX_BYTES:,} bytes", "keep long lists of labels in a text file of their own"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refusal(f"{path}:{line}", f"byte 0x{raw[error.start]:02x} is not UTF-8", "save the file as UTF-8") from error


def _yaml_files(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".yml")))
    except OSError:
        return []


def _syntax_error(path: Path, text: str, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    indent = lines[line][: column + 1] if line < len(lines) else ""
    spot = f"{path}:{line + 1}"
    if "\t" in indent and not indent.strip():
        return _refusal(spot, f"a tab at column {indent.index(chr(9)) + 1}", "YAML is indented with spaces")
    if "single document" in (error.context or ""):
        return _refusal(spot, "a second document starts at `---`", "one file holds one gallery")
    context = f" ({error.context})" if error.context else ""
    return _refusal(spot, f"not valid YAML at column {column + 1}: {error.problem}{context}", "check indentation and quotes")


@dataclass
class _Reader:
    """Turns nodes into data, gathering lines and problems on the way."""

    path: Path
    lines: dict[Keys, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    reported: set[tuple[int, str]] = field(default_factory=set)
    num_values: int = 0
    #: Composes no text; asked only to resolve and construct scalars.
    scalars: _Loader = field(default_factory=lambda: _Loader(""))

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        self.num_values += 1
        if self.num_values > MAX_VALUES:
            rule = f"holds more than {MAX_VALUES:,} values once its aliases are written out"
            raise _refusal(str(self.path), rule, "use fewer aliases (`*name`)")
        if len(keys) > MAX_DEPTH:
            raise _too_deep(f"{self.path}:{_line(node)}")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[*keys, index] = _line(item)
            self.refuse_tag(node, "seq", keys)
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, keys)

    def mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        self.refuse_tag(node, "map", keys)
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in self.pairs(node, keys):
            if key.value in entries:
                first = _line(entries[key.value][0])
                rule = f"the key is given twice, in lines {first} and {_line(key)}"
                self.problem((*keys, key.value), rule, "keep one of them", line=_line(key))
            entries.setdefault(key.value, (key, value))
        for name, pair in self.merged(node, keys, depth=0).items():
            entries.setdefault(name, pair)
        for name, (key, _) in entries.items():
            self.lines[*keys, name] = _line(key)
        return {name: self.value(value, (*keys, name)) for name, (_, value) in entries.items()}

    def pairs(self, node: yaml.MappingNode, keys: Keys) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """The entries that a mapping states itself, without `<<`."""
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem(keys, "a key must be plain text, not a list or mapping", "quote it", line=_line(key))
            elif _unpaired(key.value):
                self.problem(keys, "a key holds half a character (a lone surrogate)", "write it out", line=_line(key))
            elif key.tag != _MERGE:
                yield key, value

    def merged(self, node: yaml.MappingNode, keys: Keys, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Entries that come in by `<<: *name` or `<<: [*a, *b]`; the first one named wins."""
        if depth > MAX_DEPTH:
            raise _too_deep(f"{self.path}:{_line(node)}")
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                self.num_values += 1
                if not isinstance(source, yaml.MappingNode):
                    self.problem(keys, "`<<` takes a mapping or a list of them", "write `<<: *name`", line=_line(key))
                    continue
                if self.num_values > MAX_VALUES:
                    raise _refusal(str(self.path), f"merges more than {MAX_VALUES:,} mappings", "use fewer aliases (`*name`)")
                stated = {k.value: (k, v) for k, v in source.value if isinstance(k, yaml.ScalarNode) and k.tag != _MERGE}
                for name, pair in {**self.merged(source, keys, depth + 1), **stated}.items():
                    entries.setdefault(name, pair)
        return entries

    def scalar(self, node: yaml.ScalarNode, keys: Keys) -> Any:
        if node.tag in _READ_AS or node.tag == _MERGE:
            if _unpaired(node.value):
                self.problem(keys, "holds half a character (a lone surrogate)", "write the character out")
                return ""
            return node.value
        if self.scalars.resolve(yaml.ScalarNode, node.value, (True, False)) != node.tag:
            return self.refuse_tag(node, "str", keys)
        try:
            value = self.scalars.construct_object(node)
        except ValueError:  # more than 4,300 digits, or `0x_`
            value = MAX_INTEGER + 1
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            self.problem(keys, f"no usable number: {node.value[:20]}", "use a smaller number, or quotes for text")
            return 0
        return value

    def refuse_tag(self, node: yaml.Node, usual: str, keys: Keys) -> None:
        if node.tag != _TAG + usual:
            tag = node.tag.replace(_TAG, "!!")
            self.problem(
                keys, f"the tag {tag!r} is not allowed", "remove it; quote text that looks like a number", line=_line(node)
            )

    def problem(self, keys: Keys, message: str, way_out: str, line: int | None = None) -> None:
        line = line or self.lines.get(keys, 1)
        if (line, message) not in self.reported:  # aliases lead to the same line again
            self.reported.add((line, message))
            self.problems.append(Problem(place(self.path, {keys: line}, keys), message, way_out))


def _unpaired(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _too_deep(spot: str) -> ConfigError:
    return _refusal(spot, f"nested more than {MAX_DEPTH} levels deep", "a gallery needs six; check brackets and aliases")


def _refusal(spot: str, message: str, way_out: str) -> ConfigError:
    return ConfigError(Problem(spot, message, way_out))
