"""Reading YAML: lines, duplicate keys, aliases, and every way a file can be unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator.config import document
from generator.config.document import key_path, place, read_document
from generator.errors import ConfigError


@pytest.fixture
def read(tmp_path: Path):
    def _read(text: str | bytes):
        file = tmp_path / "a.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_document(file)

    return _read


def refused(read, text) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    (problem,) = caught.value.problems
    assert problem.way_out
    return str(problem)


def found(read, text) -> list[str]:
    return [str(problem).split("a.yaml:")[-1] for problem in read(text).problems]


def test_every_key_and_item_has_its_line(read):
    seen = read("a: 1\nb:\n  - x\n  - c: 2\n    d: [5,\n      6]\n")
    assert seen.data == {"a": 1, "b": ["x", {"c": 2, "d": [5, 6]}]}
    assert seen.lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "c"): 4,
        ("b", 1, "d"): 5,
        ("b", 1, "d", 0): 5,
        ("b", 1, "d", 1): 6,
    }


def test_place_of_a_missing_key_is_the_line_that_would_hold_it():
    lines = {(): 1, ("models",): 3, ("models", 0): 4}
    assert place(Path("c/a.yaml"), lines, ("models", 0, "layers", 2)) == "c/a.yaml:4: models[0].layers[2]"
    assert place(Path("c/a.yaml"), lines, ("title",)) == "c/a.yaml:1: title"
    assert place(Path("c/a.yaml"), lines, ()) == "c/a.yaml:1"
    assert key_path(("models", 0, "source", "kind")) == "models[0].source.kind"


def test_scalars_are_read_as_a_person_means_them(read):
    text = "a: 1e-3\nb: 2024-01-31\nc: 'no'\nd: no\ne: ~\nf: 0.5\ng: .inf\nh: !!str 5\non: 1\ni: '<<'\n"
    data = read(text).data
    assert data["g"] == float("inf")
    assert {key: value for key, value in data.items() if key != "g"} == {
        "a": 0.001,
        "b": "2024-01-31",
        "c": "no",
        "d": False,
        "e": None,
        "f": 0.5,
        "h": "5",
        "on": 1,
        "i": "<<",
    }


def test_duplicate_keys_name_both_lines(read):
    text = "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n"
    assert found(read, text) == [
        "6: a: the key is given twice, in lines 1 and 6; keep one of them",
        "5: b.c: the key is given twice, in lines 3 and 5; keep one of them",
    ]


def test_aliases_and_merge_keys_work_and_keep_their_lines(read):
    seen = read("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\nd: {<<: [{x: 7}, *a]}\n")
    assert seen.data["b"] == {"x": 1, "y": 3}
    assert seen.data["c"] == {"x": 1, "y": 2}
    assert seen.data["d"] == {"x": 7, "y": 2}
    assert seen.problems == ()
    assert seen.lines["b", "x"] == 1
    assert seen.lines["b", "y"] == 4


def test_a_fault_that_aliases_repeat_is_reported_once(read):
    assert len(found(read, "a: &a {x: 1, x: 2}\nb: [*a, *a]\n")) == 1


def test_a_merge_of_something_else_is_refused(read):
    assert found(read, "a: 1\nb: {<<: 5}\n") == ["2: b: `<<` takes a mapping or a list of them; write `<<: *name`"]


@pytest.mark.parametrize("leaf", ["x", "{k: x}"])
def test_an_alias_bomb_is_refused(read, leaf):
    rows = [f"a0: &a0 [{', '.join([leaf] * 9)}]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "more than 100,000 values once its aliases are written out" in refused(read, "\n".join(rows))


def test_a_merge_bomb_is_refused(read):
    rows = ["a0: &a0 {x: 1}"]
    rows += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 10)]
    assert "100,000" in refused(read, "\n".join(rows))


def test_a_mapping_that_holds_itself_is_refused(read):
    assert "a.yaml:1: nested more than 50 levels deep" in refused(read, "a: &a {b: *a}")
    assert "nested more than 50 levels deep" in refused(read, "a: &a\n  <<: *a")


def test_deep_nesting_is_refused(read):
    assert "a.yaml:1: nested more than 50 levels deep" in refused(read, "a: " + "[" * 60 + "]" * 60)
    assert "nested more than 50 levels deep" in refused(read, "a: " + "[" * 5000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.yaml: the file is empty"),
        ("# only a comment\n", "a.yaml: the file is empty"),
        ("\n- a\n- b\n", "a.yaml:2: expected keys such as `models:`, got a list"),
        ("hello\n", "a.yaml:1: expected keys such as `models:`, got plain text"),
        ("a: 1\nb: [1, 2\nc: 3\n", "a.yaml:3: not valid YAML at column 2: expected ',' or ']', but got ':'"),
        ('a: 1\nb: "x\n', "a.yaml:3: not valid YAML at column 1: found unexpected end of stream"),
        ("a:\n\tb: 1\n", "a.yaml:2: a tab at column 1; YAML is indented with spaces"),
        ("a:\n  b: 1\n\t c: 1\n", "a.yaml:3: a tab at column 1"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: a second document starts at `---`"),
        ("a: *nowhere\n", "a.yaml:1: not valid YAML at column 4: found undefined alias 'nowhere'"),
        (b"a: 1\nb: caf\xe9\n", "a.yaml:2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a: 1\nb: x\x07y\n", "a.yaml:2: character '\\x07' is not allowed in YAML"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "a.yaml:2: not valid YAML near column"),
        ("a: " + "x" * document.MAX_BYTES, "a.yaml: is larger than 1,000,000 bytes"),
    ],
)
def test_unreadable_text(read, text, message):
    assert message in refused(read, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: !!python/object/apply:os.system ['x']\n", "2: b: the tag '!!python/object/apply:os.system' is not allowed"),
        ("a: !!int x\n", "1: a: the tag '!!int' is not allowed"),
        ("a: !!set {x, y}\n", "1: a: the tag '!!set' is not allowed"),
        ("a: " + "9" * 5000 + "\n", "1: a: no usable number: 99999999999999999999; use a smaller number"),
        ("a: 0x_\n", "1: a: no usable number: 0x_;"),
        ("? [a, b]\n: 1\n", "1: a key must be plain text, not a list or mapping"),
        ('a: "\\uD800"\n', "1: a: holds half a character"),
        ('"\\uD800": 1\n', "1: a key holds half a character"),
    ],
)
def test_faults_within_a_readable_file(read, text, message):
    (problem,) = found(read, text)
    assert problem.startswith(message)


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read(b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "default.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"defalt\.yaml: no such file; did you mean 'default\.yaml'\?"):
        read_document(tmp_path / "defalt.yaml")
    with pytest.raises(ConfigError, match=r"nowhere/a\.yaml: no such file; give the path of a YAML file"):
        read_document(tmp_path / "nowhere" / "a.yaml")


def test_a_folder_is_not_a_file(tmp_path):
    (tmp_path / "b.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"is a folder, not a configuration file; YAML files in it: b\.yaml"):
        read_document(tmp_path)


def test_a_path_that_cannot_exist_is_refused():
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(Path("a" * 5000))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(Path("a\0b"))
