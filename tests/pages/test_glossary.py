"""The glossary: every word that is linked has an entry, and every entry is linked from some page."""

from __future__ import annotations

import re

import pytest
from small_gallery import small_gallery
from test_pages import Reader

from generator.pages import glossary
from generator.pages.assets import templates_folder
from generator.pages.gallery import Gallery
from generator.pages.glossary import ENTRIES, TOPICS, glossary_page, term
from generator.pages.rendering import render


@pytest.fixture(scope="module")
def html() -> str:
    return render(glossary_page(Gallery(small_gallery()[0])))


def linked() -> dict[str, set[str]]:
    """By word, the templates that link it; the glossary's own links are not counted."""
    found: dict[str, set[str]] = {}
    for file in templates_folder().rglob("*.jinja"):
        for name in re.findall(r'\{\{ "([^"]+)"\|term\(', file.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(file.name)
    return found


def test_every_linked_word_has_an_entry():
    assert linked().keys() <= ENTRIES.keys()


def test_every_entry_is_linked_from_a_page():
    assert sorted(ENTRIES.keys() - linked().keys()) == []


def test_no_word_is_explained_twice():
    assert len(ENTRIES) == sum(len(topic.entries) for topic in TOPICS)


def test_other_entries_are_named_by_entries_and_never_the_entry_itself():
    for entry in ENTRIES.values():
        assert set(entry.see) <= ENTRIES.keys() - {entry.name}, entry.name


def test_two_sentences_each():
    for entry in ENTRIES.values():
        assert len(re.findall(r"[.](?= |$)", entry.text)) == 2, entry.name


def test_a_word_leads_to_its_entry(html):
    ids = Reader(html).ids
    assert {entry.anchor for entry in ENTRIES.values()} <= set(ids)
    assert len(ids) == len(set(ids))
    assert term("receptive field", "../../") == '<a class="term" href="../../glossary.html#receptive-field">receptive field</a>'
    assert term("unit", "", "<units>") == '<a class="term" href="glossary.html#unit">&lt;units&gt;</a>'


def test_a_word_without_entry_stops_the_build():
    with pytest.raises(KeyError, match="soul"):
        term("soul", "")


def test_overlap_of_two_classes_is_as_the_entry_says():
    """Two normal distributions two standard deviations apart share the area 2 Φ(-1)."""
    from scipy.stats import norm

    assert "about a third at 2" in glossary.ENTRIES["effect size"].text
    assert 2 * norm.cdf(-1) == pytest.approx(1 / 3, abs=0.02)
