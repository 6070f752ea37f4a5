"""The conformance runner, with suites of a few lines."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from tests.conformance.run import FAILED, ROOT, SUITES, UNFINISHED, Place, depends_on, digest_of, main


@pytest.fixture
def place(tmp_path) -> Place:
    (tmp_path / "suites").mkdir()
    return Place(tmp_path, "suites", tmp_path / "store", tmp_path / "TABLE.md", limit_s=30, limit_mb=1024)


def suite(place: Place, name: str, body: str) -> None:
    (place.base / "suites" / f"{name}.py").write_text(textwrap.dedent(body))


GOOD = """
    from pathlib import Path

    def cases():
        return ["one", "two/of two"]

    def run(name):
        with Path(__file__).with_name("ran.txt").open("a") as file:
            file.write(name + "\\n")
        return {"ok": True, "worst_error": 1.25e-7}
"""


def ran(place: Place) -> list[str]:
    return (place.base / "suites" / "ran.txt").read_text().splitlines()


def test_results_are_stored_and_told(place):
    suite(place, "good", GOOD)
    assert main([], place, ["good"]) == 0
    table = place.table.read_text()
    assert "2 of 2 pass, 0 fail, 0 not run" in table
    assert "| `two/of two` | 1.2e-07 | ok |" in table
    assert json.loads(place.file("good", "one").read_text())["ok"] is True


def test_what_holds_does_not_run_again_and_what_changed_does(place):
    suite(place, "good", GOOD)
    main([], place, ["good"])
    before = place.table.read_text()
    assert main([], place, ["good"]) == 0
    assert ran(place) == ["one", "two/of two"]
    assert place.table.read_text() == before
    suite(place, "good", GOOD + "    # changed\n")
    assert main(["--only", "one"], place, ["good"]) == 0
    assert ran(place) == ["one", "two/of two", "one"]
    assert "1 of 2 pass, 0 fail, 1 not run" in place.table.read_text()
    assert "Not run: `two/of two`." in place.table.read_text()


def test_an_interrupted_run_goes_on(place):
    suite(place, "good", GOOD)
    main(["--only", "two*"], place, ["good"])
    place.file("good", "half").with_suffix(".part").write_text("{")
    assert main([], place, ["good"]) == 0
    assert ran(place) == ["two/of two", "one"]


def test_a_damaged_result_runs_again(place):
    suite(place, "good", GOOD)
    main(["--only", "one"], place, ["good"])
    place.file("good", "one").write_text("[")
    main(["--only", "one"], place, ["good"])
    assert ran(place) == ["one", "one"]


def test_nothing_starts_after_the_budget(place):
    suite(place, "good", GOOD)
    assert main(["--budget", "0"], place, ["good"]) == UNFINISHED
    assert "0 of 2 pass, 0 fail, 2 not run" in place.table.read_text()
    assert main([], place, ["good"]) == 0


def test_failures_crashes_and_hangs_are_results(place):
    place = Place(place.base, place.package, place.store, place.table, limit_s=2.5, limit_mb=1024)
    suite(
        place,
        "bad",
        """
        import os, time

        def cases():
            return ["wrong", "raises", "crashes", "hangs", "eats", "fine"]

        def run(name):
            if name == "raises":
                raise ValueError("no | such thing")
            if name == "crashes":
                os.abort()
            if name == "hangs":
                time.sleep(60)
            if name == "eats":
                b"x" * (4 << 30)
            return {"ok": name == "fine", "failure": "" if name == "fine" else "0.5 is not 0"}
        """,
    )
    assert main([], place, ["bad"]) == FAILED
    table = place.table.read_text()
    assert "1 of 6 pass, 5 fail, 0 not run" in table
    assert "- `wrong`: 0.5 is not 0" in table
    assert "- `raises`: ValueError: no \\| such thing (bad.py:9)" in table
    assert "- `crashes`: its process ended with -6" in table
    assert "- `hangs`: not done after 2.5 s" in table
    assert "- `eats`: MemoryError" in table


def test_suites_that_are_not_there_or_do_not_import_are_told(place):
    suite(place, "broken", "raise RuntimeError('no framework')")
    assert main([], place, ["broken", "absent"]) == FAILED
    table = place.table.read_text()
    assert "Not run: its cases cannot be listed: its process ended with 1: RuntimeError: no framework." in table
    assert "Not run: there is no such suite here." in table


def test_a_digest_covers_what_a_suite_imports(place):
    suite(place, "good", "from suites import helper\n" + textwrap.dedent(GOOD))
    suite(place, "helper", "NUMBER = 1")
    before = digest_of(place, "good")
    suite(place, "helper", "NUMBER = 2")
    assert digest_of(place, "good") != before


def test_a_digest_covers_what_a_suite_says_it_depends_on(place, monkeypatch):
    monkeypatch.setattr("tests.conformance.run.ROOT", place.base)
    imports = "from generator.pages import file1\n"
    suite(place, "good", f"{imports}DEPENDS_ON = ('network/*.py',)\n{textwrap.dedent(GOOD)}")
    suite(place, "all", GOOD)
    digests = []
    for room in ("network", "pages", "network"):
        (place.base / "generator" / room).mkdir(parents=True, exist_ok=True)
        (place.base / "generator" / room / f"file{len(digests)}.py").write_text(f"# {len(digests)}")
        digests.append((digest_of(place, "good"), digest_of(place, "all")))
    assert [len({digest[of] for digest in digests}) for of in (0, 1)] == [2, 3]


def test_ratios_are_summed_up_and_groups_of_numbers_are_told(place):
    suite(
        place,
        "speed",
        """
        def cases():
            return ["slow", "fast", "faster"]

        def run(name):
            ratio = {"slow": 0.5, "fast": 1.25, "faster": 3.0}[name]
            return {"ok": True, "ratio": ratio, "batch_8": {"ratio": ratio, "ours_s": 0.125}}
        """,
    )
    assert main([], place, ["speed"]) == 0
    table = place.table.read_text()
    assert "Ratios: median 1.25, lowest 0.50." in table
    assert "| `slow` | 0.5 | ratio 0.5, ours s 0.12 | ok |" in table


def test_the_real_suites_depend_on_files_that_are_there():
    for name in SUITES:
        for pattern in depends_on(Place(), name):
            assert list((ROOT / "generator").glob(pattern)), f"{name}: {pattern}"


def test_the_real_suites_are_named_after_their_files():
    here = Path(__file__).parent
    assert Place().module("torchvision_models") == "tests.conformance.torchvision_models"
    assert (here / "torchvision_models.py").is_file()
