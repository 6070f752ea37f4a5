"""What the schema refuses, in plain words: pydantic's errors become `Problem`s that name the key as the file spells it.

Pydantic's locations hold labels of union members beside keys (`size_px`, `tuple[...]`, 0); walking the schema's own
annotations along them tells the two apart and gives the words for what was expected.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from generator.config.document import Keys
from generator.config.sections import Section
from generator.errors import Problem, did_you_mean

_NOUNS = {
    str: ("text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True)
class _Fault:
    """One pydantic error.

    refused_by: the annotation that refused the value; whole: that, or the union it is a member of. owner: the annotation of
    what holds the last key.
    """

    keys: Keys
    refused_by: Any
    whole: Any
    owner: Any
    error: Any

    @property
    def in_union(self) -> bool:
        return self.whole is not self.refused_by

    @property
    def is_type_error(self) -> bool:
        return self.error["type"].endswith(("_type", "_error", "_from_float")) and self.error["type"] != "value_error"


def problems_of(error: ValidationError, root: type[Section], spot: Callable[[Keys], str]) -> list[Problem]:
    """Every fault of `root`, each once. spot: the place of a path of keys, such as `configs/a.yaml:14: models[0]`."""
    faults = [_locate(root, e) for e in error.errors(include_url=False)]
    kept = [fault for fault in faults if not _is_echo(fault, faults)]
    return list(dict.fromkeys(_problem(fault, spot) for fault in kept))


def quoted(value: Any) -> str:
    """A value as a person would say it, cut to 60 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def expected(annotation: Any) -> str:
    """`a list of 2 whole numbers, or a whole number`."""
    annotation = _plain(annotation)
    if annotation in _NOUNS:
        return _NOUNS[annotation][0]
    if get_origin(annotation) is Literal:
        return _listed([quoted(option) for option in get_args(annotation)])
    if get_origin(annotation) is tuple:
        items = [item for item in get_args(annotation) if item is not ...]
        count = "" if ... in get_args(annotation) else f"{len(items)} "
        return f"a list of {count}{_plural(items[0])}"
    if _is_union(annotation):
        return ", or ".join(dict.fromkeys(expected(member) for member in get_args(annotation)))
    return "keys with values (`key: value`)"


def _plural(annotation: Any) -> str:
    annotation = _plain(annotation)
    if get_origin(annotation) is Literal:
        return expected(annotation)
    return _NOUNS[annotation][1] if annotation in _NOUNS else "entries with keys"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _plain(annotation: Any) -> Any:
    """Without constraints and without the `None` that merely stands for a key left out."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _plain(members[0]) if len(members) == 1 else Union[tuple(members)]  # noqa: UP007 - built at run time
    return annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _locate(root: type[Section], error: Any) -> _Fault:
    keys: list[str | int] = []
    owner = whole = annotation = root
    for step in error["loc"]:
        annotation = _plain(annotation)
        if _is_union(annotation):
            annotation = _member(annotation, step)
            continue
        keys.append(step)
        owner = annotation
        whole = annotation = _plain(_child(annotation, step))
    return _Fault(tuple(keys), annotation, whole, owner, error)


def _child(annotation: Any, key: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return get_type_hints(annotation, include_extras=True).get(key, Any)
    if get_origin(annotation) is tuple:
        items = get_args(annotation)
        return items[0] if ... in items else items[min(key, len(items) - 1)]
    return Any


def _member(union: Any, label: str | int) -> Any:
    """The member of a union that pydantic calls `label`: a `kind`, a section's name, or `tuple[...]`."""
    for member in map(_plain, get_args(union)):
        named = isinstance(member, type) and issubclass(member, Section)
        if named and (label == member.__name__ or label in _kinds(member)):
            return member
        if get_origin(member) is tuple and str(label).startswith("tuple["):
            return member
    return Any


def _kinds(annotation: Any) -> tuple[str, ...]:
    """The values `kind:` may have in a section, or in any of a union's sections."""
    annotation = _plain(annotation)
    if _is_union(annotation):
        return tuple(kind for member in get_args(annotation) for kind in _kinds(member))
    return get_args(annotation.model_fields["kind"].annotation) if "kind" in annotation.model_fields else ()


def _is_echo(fault: _Fault, faults: list[_Fault]) -> bool:
    """Whether another fault says it better: one deeper inside, a broken rule, or the misspelling of what is missing."""
    keys, kind = fault.keys, fault.error["type"]
    deeper = (f for f in faults if len(f.keys) > len(keys) and f.keys[: len(keys)] == keys)
    if (fault.in_union or kind == "too_short") and any(deeper):
        return True
    if kind == "missing":
        strangers = (f.keys[-1] for f in faults if f.error["type"] == "extra_forbidden" and f.keys[:-1] == keys[:-1])
        return any(difflib.get_close_matches(name, fault.owner.model_fields, n=1) == [keys[-1]] for name in strangers)
    return fault.in_union and fault.is_type_error and any(f.keys == keys and not f.is_type_error for f in faults)


def _problem(fault: _Fault, spot: Callable[[Keys], str]) -> Problem:
    keys, kind, value, context = fault.keys, fault.error["type"], fault.error["input"], fault.error.get("ctx", {})
    if kind == "value_error":
        return Problem(spot(keys), str(context["error"]), getattr(context["error"], "way_out", ""))
    if kind == "extra_forbidden":
        return Problem(spot(keys), f"unknown key {keys[-1]!r}", did_you_mean(str(keys[-1]), fault.owner.model_fields))
    if kind == "missing" and isinstance(keys[-1], int):
        return Problem(spot(keys[:-1]), f"expected {expected(fault.owner)}, got {quoted(value)}")
    if kind == "missing":
        return Problem(spot(keys), "this key is missing", f"add `{keys[-1]}:` with {expected(fault.whole)}")
    if kind == "union_tag_not_found":
        return Problem(spot((*keys, "kind")), "this key is missing", f"add `kind:` with {_listed(_kinds(fault.whole))}")
    if kind == "union_tag_invalid":
        kinds = _kinds(fault.whole)
        return Problem(spot((*keys, "kind")), f"unknown kind {context['tag']!r}", did_you_mean(context["tag"], kinds))
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return Problem(spot(keys), f"must be {words} {context[bound]:,g}, got {quoted(value)}")
    if kind in ("too_short", "string_too_short"):
        return Problem(
            spot(keys), "is empty", "give at least one entry" if kind == "too_short" else "give a value, or leave it out"
        )
    if kind == "string_too_long":
        return Problem(spot(keys), f"is longer than {context['max_length']:,} characters: {quoted(value)}")
    if kind == "too_long":
        return Problem(spot(keys), f"expected {expected(fault.whole)}, got {quoted(value)}")
    if kind == "finite_number":
        return Problem(spot(keys), f"must be a finite number, got {quoted(value)}")
    if fault.is_type_error:
        return Problem(spot(keys), f"expected {expected(fault.whole)}, got {quoted(value)}", _way_out(fault.whole, value))
    return Problem(spot(keys), f"{fault.error['msg'][0].lower()}{fault.error['msg'][1:]}, got {quoted(value)}")


def _way_out(annotation: Any, value: Any) -> str:
    accepted = {_plain(member) for member in (get_args(annotation) if _is_union(annotation) else [annotation])}
    options = [option for kind in accepted if get_origin(kind) is Literal for option in get_args(kind)]
    if isinstance(value, str) and all(isinstance(option, str) for option in options):
        near = difflib.get_close_matches(value, options, n=1)
        if near:
            return f"did you mean {near[0]!r}?"
    if value is None:
        return "give a value, or leave the key out if it has a default"
    if str in accepted and isinstance(value, bool | int | float):
        return "put it in quotes to make it text"
    if any(get_origin(kind) is tuple for kind in accepted) and isinstance(value, str | int | float):
        return f"write a list: [{value}]" if len(str(value)) <= 60 else "write a list: [...]"
    return ""
