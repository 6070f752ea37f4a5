"""The link check finds what is planted and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_gallery import small_gallery, write_site

from generator.pages.links import check_links


def test_a_written_site_is_whole(site: Path):
    assert check_links(site) == []


def test_a_site_with_a_base_url_is_whole(tmp_path: Path):
    assert check_links(write_site(*small_gallery(base_url="https://example.org/x/"), tmp_path)) == []


def test_hostile_names_make_a_whole_site(tmp_path: Path):
    names = {"stem": "a/../<b>", "mean": 'x"y', "head": "Index"}
    content, files = small_gallery(name="é?#%", names=names, probe_titles=("a b?c#d", "50 %"))
    assert check_links(write_site(content, files, tmp_path)) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<a href="gone.html">x</a>', "'gone.html' leads to no file"),
        ('<a href="b.html#gone">x</a>', "no id 'gone' there"),
        ('<a href="#gone">x</a>', "no id 'gone' there"),
        ('<a href="/b.html">x</a>', "not a relative address"),
        ('<a href="//example.org/b.html">x</a>', "not a relative address"),
        ('<img src="file:///b.png" alt="">', "not a relative address"),
        ('<a href="../outside.html">x</a>', "leads out of the site"),
        ('<a href="folder/">x</a>', "leads to no file"),
        ("<style>a{b:url(gone.webp)}</style>", "'gone.webp' leads to no file"),
        ('<i style="background:url(gone.webp)"></i>', "'gone.webp' leads to no file"),
        ('<img srcset="b.html 1x, gone.png 2x" src="b.html" alt="">', "'gone.png' leads to no file"),
        ('<div data-numbers="gone.js"></div>', "'gone.js' leads to no file"),
        ('<i id="x"></i><i id="x"></i>', "id 'x' occurs more than once"),
    ],
)
def test_planted_faults(tmp_path: Path, body: str, message: str):
    site = tmp_path / "site"
    (site / "folder").mkdir(parents=True)
    (tmp_path / "outside.html").write_text("")
    (site / "b.html").write_text('<i id="there"></i>')
    (site / "a.html").write_text(body)
    problems = check_links(site)
    assert len(problems) == 1
    assert problems[0].place == "a.html"
    assert message in problems[0].message


def test_stylesheets_are_checked(tmp_path: Path):
    (tmp_path / "site.css").write_text("a{background:url('gone.png')}")
    assert [p.place for p in check_links(tmp_path)] == ["site.css"]


def test_good_addresses_are_left_alone(tmp_path: Path):
    (tmp_path / "b c.html").write_text('<i id="there"></i>')
    (tmp_path / "a.html").write_text(
        '<a href="b%20c.html?probe=x#there">x</a><a href="https://example.org/x">y</a><a href="#top" id="top">z</a>'
    )
    assert check_links(tmp_path) == []
