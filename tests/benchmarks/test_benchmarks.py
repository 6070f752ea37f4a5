"""That the benchmarks can be started, and that the table tells a miss. No times are asserted here."""

import importlib
import io
import json

import pytest
from rich.console import Console

from tests.benchmarks import run
from tests.benchmarks.measuring import Measurement, fastest

MET = Measurement("fast thing", 8.0, "x", at_least=6.0)
SLOW = Measurement("slow thing", 9.5, "s", at_most=3.0)
POOR = Measurement("poor ratio", 4.0, "x", at_least=6.0)
FREE = Measurement("for information", 17.0, "ms")


def shown(*measurements: Measurement) -> str:
    console = Console(file=io.StringIO(), width=150)
    console.print(run.table({"some": measurements}))
    return console.file.getvalue()


@pytest.mark.parametrize("name", run.BENCHMARKS)
def test_every_benchmark_imports(name):
    assert callable(importlib.import_module(f"tests.benchmarks.bench_{name}").run)


def test_every_benchmark_file_is_run():
    files = (run.ROOT / "tests" / "benchmarks").glob("bench_*.py")
    assert sorted(file.stem.removeprefix("bench_") for file in files) == sorted(run.BENCHMARKS)


def test_the_table_tells_what_is_missed_and_by_how_much():
    lines = {m.what: next(line for line in shown(m).splitlines() if m.what in line) for m in (MET, SLOW, POOR, FREE)}
    assert "met" in lines["fast thing"]
    assert "MISSED" not in lines["fast thing"]
    assert "MISSED by 6.5 s" in lines["slow thing"]
    assert "≤ 3 s" in lines["slow thing"]
    assert "317%" in lines["slow thing"]
    assert "MISSED by 2 x" in lines["poor ratio"]
    assert "≥ 6 x" in lines["poor ratio"]
    assert "met" not in lines["for information"]
    assert "MISSED" not in lines["for information"]


def test_bounds_count_as_met_where_they_are_reached_and_what_failed_never_does():
    assert Measurement("", 3.0, at_most=3.0).met
    assert Measurement("", 0, at_most=0).met
    assert not Measurement("", 1, at_most=0).met
    assert not Measurement("", float("nan"), at_most=3.0).met
    assert not Measurement("", float("nan"), at_least=3.0).met


@pytest.mark.parametrize(("measurements", "code"), [([MET, FREE], 0), ([MET, SLOW], 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_miss_is_the_exit_code(monkeypatch, capsys, measurements, code, as_json):
    monkeypatch.setattr(run, "_in_own_process", lambda name, site: measurements)
    assert run.main(["--only", "tiles", *(["--json"] if as_json else [])]) == code
    printed = capsys.readouterr().out
    if as_json:
        rows = json.loads(printed)["measurements"]
        assert [row["met"] for row in rows] == [m.met for m in measurements]
        assert {row["benchmark"] for row in rows} == {"tiles"}
    else:
        assert ("1 of 2 bounds MISSED: slow thing" in printed) == (code == 1)


def test_a_benchmark_that_fails_is_a_miss(monkeypatch):
    monkeypatch.setattr(run.sys, "executable", "false")
    (failed,) = run._in_own_process("tiles", None)
    assert not failed.met
    assert "MISSED" in shown(failed)


def test_works_are_timed_in_turns():
    order = []
    best = fastest({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert all(0 <= seconds < 1 for seconds in best.values())
