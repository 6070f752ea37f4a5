"""The output folder: brought to exactly the gallery; whatever is not ours stays as it is."""

from __future__ import annotations

import errno
import os

import pytest

from generator.build import site
from generator.build.digest import of_bytes
from generator.build.site import SiteFile
from generator.errors import OutputError
from tests.tiny_gallery import run, tree


def files(**contents: str) -> dict[str, SiteFile]:
    encoded = {name.replace("__", "/").replace("_html", ".html"): text.encode() for name, text in contents.items()}
    return {path: SiteFile(of_bytes(content), lambda c=content: c) for path, content in encoded.items()}


def test_orphans_of_ours_go_and_foreign_files_stay(tiny):
    foreign = {"README.md": b"mine", "m/net/notes.txt": b"mine", "m/old/me.html": b"mine", "img/mine.webp": b"mine"}
    for path, content in foreign.items():
        (tiny.site / path).parent.mkdir(exist_ok=True)
        (tiny.site / path).write_bytes(content)
    tiny.model["name"] = "renamed"
    summary, _ = tiny.build()
    assert summary.removed >= 9
    left = tree(tiny.site)
    assert {path: left[path] for path in foreign} == foreign
    assert [path for path in left if path.startswith("m/net/")] == ["m/net/notes.txt"]
    assert not (tiny.site / "m/net/probes").exists()
    assert run("clean", "--out", str(tiny.site), "--store", str(tiny.store)).code == 0
    assert tree(tiny.site) == foreign
    assert not tiny.store.exists()
    assert sorted(path.name for path in tiny.site.iterdir()) == ["README.md", "img", "m"]


def test_clean_removes_a_gallery_without_a_trace(tiny):
    num_files = len([path for path in tree(tiny.site) if not path.startswith(".cnnscope/")])
    outcome = run("clean", "--out", str(tiny.site), "--store", str(tiny.store))
    assert outcome.out.startswith(f"Removed {num_files} files of ")
    assert list(tiny.site.iterdir()) == []
    again = run("clean", "--out", str(tiny.site), "--store", str(tiny.store))
    assert (again.code, again.out.split(" of ")[0]) == (0, "Removed 0 files")


def test_clean_refuses_a_store_that_holds_anything_else(tiny):
    (tiny.store / "thesis.tex").write_text("mine")
    outcome = run("clean", "--out", str(tiny.folder / "none"), "--store", str(tiny.store))
    assert outcome.code == 2
    assert "holds 'thesis.tex', which CNNscope did not write" in outcome.err
    assert (tiny.store / "objects").is_dir()


@pytest.mark.parametrize("path", ["index.html", "m/net/edges.html"])
def test_a_foreign_file_in_the_way_is_named_and_kept(tiny, path):
    out = tiny.folder / "elsewhere"
    (out / path).parent.mkdir(parents=True)
    (out / path).write_text("mine")
    tiny.write()
    outcome = run("build", str(tiny.path), "--out", str(out), "--store", str(tiny.store))
    assert outcome.code == 2
    assert f"{out / path}: is in the way and was not written by CNNscope; move it away or choose" in outcome.err
    assert {name: data for name, data in tree(out).items() if not name.startswith(".cnnscope/")} == {path: b"mine"}


def test_a_folder_where_a_file_should_be_and_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "a.html").mkdir()
    with pytest.raises(OutputError, match=r"a\.html: is in the way"):
        site.sync(tmp_path, files(a_html="a", b_html="b"))
    (tmp_path / "m").write_text("mine")
    with pytest.raises(OutputError, match="m: is in the way"):
        site.sync(tmp_path, files(m__b_html="b"))
    assert tree(tmp_path) == {"m": b"mine"}


def test_links_never_lead_out_of_the_folder(tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "m").symlink_to(outside)
    with pytest.raises(OutputError, match="m: is in the way"):
        site.sync(out, files(m__b_html="b"))
    (outside / "b.html").write_text("b")
    (out / "m").unlink()
    site.sync(out, files(m__b_html="b"))
    (out / "m" / "b.html").unlink()
    (out / "m").rmdir()
    (out / "m").symlink_to(outside)
    site.sync(out, {})
    assert tree(outside) == {"b.html": b"b"}


def test_a_manifest_that_points_outside_removes_nothing_there(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim.html"
    victim.write_text("mine")
    (out / ".cnnscope").mkdir(parents=True)
    manifest = f'{{"files": {{"../victim.html": "0", "{victim}": "0"}}}}'
    (out / ".cnnscope" / "manifest.json").write_text(manifest)
    site.sync(out, files(a_html="a"))
    site.clear(out, lambda: None)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("manifest", ["", "[]", '{"files": [1]}', "\xff"])
def test_a_damaged_manifest_makes_equal_files_ours_again(tmp_path, manifest):
    site.sync(tmp_path, files(a_html="a", b_html="b"))
    (tmp_path / ".cnnscope" / "manifest.json").write_text(manifest)
    assert site.sync(tmp_path, files(a_html="a", b_html="b")).written == ()
    (tmp_path / ".cnnscope" / "manifest.json").write_text(manifest)
    with pytest.raises(OutputError, match=r"b\.html: is in the way"):
        site.sync(tmp_path, files(a_html="a", b_html="new"))


def test_every_link_works_at_every_moment(tmp_path, monkeypatch):
    """Pictures, then new pages, then the pages that lead to them, and only then do orphans go."""
    site.sync(tmp_path, files(index_html="to m/old", m__old_html="shows img/old", img__old="x"))
    moments = []
    write, unlink = os.replace, os.unlink

    def spy(action, name):
        def spied(*paths, **options):
            action(*paths, **options)
            path = os.fspath(paths[-1])
            if ".cnnscope" not in path.removeprefix(str(tmp_path)):
                moments.append((name, os.path.relpath(path, tmp_path)))

        return spied

    monkeypatch.setattr(os, "replace", spy(write, "write"))
    monkeypatch.setattr(os, "unlink", spy(unlink, "remove"))
    site.sync(tmp_path, files(index_html="to m/new", m__new_html="shows img/new", img__new="y"))
    assert moments[:3] == [("write", "img/new"), ("write", "m/new.html"), ("write", "index.html")]
    assert sorted(tree(tmp_path)) == [".cnnscope/manifest.json", "img/new", "index.html", "m/new.html"]


def test_what_a_killed_build_left_unfinished_is_removed(tiny):
    leftover = tiny.site / ".cnnscope" / "new" / "abc"
    leftover.mkdir(parents=True)
    (leftover / "file").write_text("half a pa")
    tiny.build()
    assert not leftover.exists()


@pytest.mark.parametrize("place", ["file/site", "file"])
def test_an_output_folder_that_cannot_be(tiny, place):
    (tiny.folder / "file").write_text("mine")
    tiny.write()
    outcome = run("build", str(tiny.path), "--out", str(tiny.folder / place), "--store", str(tiny.store))
    assert outcome.code == 2
    assert "cannot be used as an output folder" in outcome.err
    assert "choose another one with --out" in outcome.err
    assert (tiny.folder / "file").read_text() == "mine"


def test_a_store_that_cannot_be(tiny):
    (tiny.folder / "file").write_text("mine")
    tiny.write()
    outcome = run("build", str(tiny.path), "--out", str(tiny.site), "--store", str(tiny.folder / "file" / "store"))
    assert outcome.code == 2
    assert "cannot be written: not a directory" in outcome.err


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "read-only file system"), (errno.ENOSPC, "no space left on device")]
)
@pytest.mark.parametrize("num_written", [0, 5, 20])
def test_a_full_or_read_only_disk_loses_nothing(tiny, monkeypatch, number, words, num_written):
    """The disk gives up after some files; the old site still stands, and the next build finishes the new one."""
    before = tree(tiny.site)
    replace, done = os.replace, []

    def fails(*paths):
        if len(done) >= num_written:
            raise OSError(number, os.strerror(number))
        done.append(paths)
        replace(*paths)

    monkeypatch.setattr(os, "replace", fails)
    tiny.config["title"] = "New"
    outcome = tiny.run("build")
    assert outcome.code == 2
    assert f"cannot be written: {words}; free some space or choose another folder" in outcome.err
    monkeypatch.undo()
    assert {path for path in before if not (tiny.site / path).exists()} == set()
    if num_written <= 5:
        assert tree(tiny.site) == before  # it was the store that could not be written
    assert tiny.run("build").code == 0
    assert run("links", str(tiny.site)).code == 0
    assert b"New" in (tiny.site / "index.html").read_bytes()
