"""Slugs are safe, unique and stable whatever the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.naming import MAX_LENGTH, slug, unique_slugs

SAFE = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9_])?")
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
texts = st.text(max_size=100) | st.text(alphabet="aA./\\-_ é猫😀<con1", max_size=90)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ankle boot", "ankle-boot"),
        ("blocks.3.expand", "blocks.3.expand"),
        ("features/0/conv", "features.0.conv"),
        ("_blocks.3._expand_conv", "blocks.3._expand_conv"),
        ("T-shirt/top", "t-shirt.top"),
        ("../x", "x"),
        ("a/../../b", "a.b"),
        ("..\\..\\etc", "etc"),
        ("<script>alert(1)</script>", "script-alert-1.script"),
        ("  spaces   here ", "spaces-here"),
        ("Süße Katze", "susse-katze"),
        ("Ærø", "aero"),
        ("cat 🐈", "cat"),
        ("ﬁle①", "file1"),
        (".hidden", "hidden"),
        ("CON", "con_"),
        ("aux/conv", "aux_.conv"),
        ("COM1.png", "com1_.png"),
        ("console", "console"),
        ("trailing...", "trailing"),
    ],
)
def test_slug_examples(text, expected):
    assert slug(text) == expected


@pytest.mark.parametrize("text", ["", "🐈", "///", "...", "猫", "Ω", "\ud800"])
def test_texts_without_latin_letters_fall_back_to_a_digest(text):
    assert re.fullmatch(r"[0-9a-f]{8}", slug(text))


def test_letters_of_other_scripts_keep_names_apart():
    assert slug("犬 dog") != slug("猫 dog")
    assert slug("犬 dog").startswith("dog-")


def test_long_names_are_cut_and_stay_apart():
    first, second = slug("a" * 300), slug("a" * 301)
    assert first != second
    assert len(first) == len(second) == MAX_LENGTH


@given(texts)
def test_slug_is_safe(text):
    name = slug(text)
    assert SAFE.fullmatch(name)
    assert len(name) <= MAX_LENGTH
    assert ".." not in name
    assert name.split(".")[0] not in DEVICES


@given(texts)
def test_slug_is_idempotent(text):
    assert slug(slug(text)) == slug(text)


@given(st.lists(texts | st.sampled_from(["a", "A", "a-2", "a-3", "b" * 64]), max_size=12))
def test_unique_slugs_are_unique_safe_and_idempotent(names):
    slugs = unique_slugs(names)
    assert len(set(slugs)) == len(names)
    assert all(SAFE.fullmatch(name) and len(name) <= MAX_LENGTH for name in slugs)
    assert unique_slugs(slugs) == slugs


def test_the_first_of_equals_keeps_its_slug_and_nobody_takes_a_later_name():
    assert unique_slugs(["a", "A", "a-2", "a"]) == ("a", "a-3", "a-2", "a-4")


def test_reserved_names_are_avoided():
    assert unique_slugs(["index", "Index", "x"], reserved=["index"]) == ("index-2", "index-3", "x")
