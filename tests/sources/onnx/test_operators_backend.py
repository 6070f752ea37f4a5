"""A few of the tests that the `onnx` package carries for each operator; `make conformance` runs them all."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from generator.sources.onnx_graph.registry import OPERATORS
from tests.conformance import onnx_operators

NUM_TESTS = 3
#: Of which the package has no test; those beside this one have.
UNTESTED = {"GlobalLpPool", "SimplifiedLayerNormalization"}


@cache
def sample() -> dict[str, list[onnx_operators.Case]]:
    """Some tests of each operator, spread over all that it has. Those of the functions that it expands to are left out."""
    found = {}
    for name in (name for family in onnx_operators.operators().values() for name in family):
        tests = [
            case
            for case in onnx_operators.tests()[name]
            if "_expanded" not in case.name and onnx_operators.exclusion(case) is None
        ]
        if tests:
            found[name] = [tests[place] for place in sorted({*np.linspace(0, len(tests) - 1, NUM_TESTS).astype(int)})]
    return found


@pytest.mark.parametrize("name", sorted(name for name in OPERATORS if ":" not in name and name not in UNTESTED))
def test_operators_compute_what_their_specification_says(name):
    assert [problem for case in sample()[name] if (problem := onnx_operators.check(case))] == []
