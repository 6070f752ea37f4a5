"""Whatever names hold, what is written reads back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from generator.config.document import parse_document
from generator.errors import ConfigError
from generator.starting.paths import as_written
from generator.starting.yaml_text import WIDTH, comment, entry, inline

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HOSTILE = [
    *("yes", "null", "~", "1e3", ".5e3", "0x1f", "2001-01-01", "a: b", "a #b", "- a", "*a", "&a", "!!python/object:os.system"),
    *("{a}", "[a", "a, b", "'", '"', "\\", "a\nb", "\ttab", "\x00", "\x85", "\u2028", "\ufeff", "😀", "<<", "=", "%", "@", "`"),
    *("", " ", " a", "a ", "net:Net", "../a/b.onnx", "/a", "a:", ":a", "?", "? a", "---", "..."),
]


def read(lines) -> dict:
    document = parse_document("\n".join(lines), Path("x.yaml"))
    assert document.problems == ()
    return document.data


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(text):
    assert read([f"a: {inline(text)}", f"b: {inline([text, text])}"]) == {"a": text, "b": [text, text]}


@given(TEXT, st.lists(TEXT, max_size=20))
def test_any_text(text, texts):
    data = {"one": text, "list": texts, "map": {"key": texts}}
    assert read(line for key, value in data.items() for line in entry(key, value, 0)) == data


@given(st.one_of(st.integers(-(10**9), 10**9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers(number):
    assert read([f"a: {inline(number)}"])["a"] == number


@given(TEXT)
def test_comments_hold_nothing_but_comments(text):
    lines = list(comment(text, 4))
    assert all(line.startswith("    # ") and line.isprintable() for line in lines)
    assert yaml.safe_load("\n".join([*lines, "a: 1"])) == {"a": 1}


def test_long_lists_are_broken():
    lines = list(entry("labels", [f"class number {number}" for number in range(100)], 4))
    assert len(lines) > 10
    assert max(map(len, lines)) <= WIDTH


def test_a_name_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the name is not UTF-8; rename it"):
        as_written("photos\udcff", tmp_path)
