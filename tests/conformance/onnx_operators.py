"""The tests that the `onnx` package carries, for every operator that the importer claims: one piece for each family of them, as
to collect the tests takes longer than to run those of one operator.

A test is a small model with inputs and outputs. It runs twice: with its inputs as values that are computed (JAX), where the
operator allows that, and as values that are known while a file is loaded (NumPy). What no image ever is (text, sequences) and
what CNNscope does not promise is left out, with the reason.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from generator.sources.onnx_graph import building  # noqa: F401 -- registers the operators
from generator.sources.onnx_graph.registry import OPERATORS

DEPENDS_ON = ("sources/onnx_*.py", "sources/onnx_graph/*.py")

#: Kinds of tests that lie in files of the package; those of whole models would have to be downloaded.
KINDS = ("simple", "pytorch-operator", "pytorch-converted")
#: Floats of half the width are computed in float32, so that results differ in type and not by more than this.
TOLERANCE = {"float16": 1e-2, "bfloat16": 2e-2, "float32": 1e-4, "float64": 1e-4}

_LEFT_OUT = (
    (
        r"(?<!reverse)sequence|optional|string|strnorm|regex|tfidf|label_encoder",
        "text, sequences and optional values are no images",
    ),
    (r"training|_default_mask|dropout_default_mask|dropout_random|dropout_default.*ratio_mask", "training"),
    (r"gridsample_volumetric", "images are flat: GridSample takes no volumes"),
    (r"FLOAT4|float4|FLOAT8E8M0|e8m0", "4-bit floats and powers of two alone, which no CNN file holds"),
)


@dataclass(frozen=True)
class Case:
    """One test. data: inputs and outputs of each run."""

    name: str
    model: Any
    data: Sequence[tuple[Sequence[np.ndarray | None], Sequence[np.ndarray | None]]]


@cache
def tests() -> dict[str, list[Case]]:
    """The package's tests, by the operator that they are about (the first one of their graph)."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in (*_of_nodes(), *_of_files()):
        if case.model.graph.node:
            found[case.model.graph.node[0].op_type].append(case)
    return dict(found)


def _of_nodes() -> Iterator[Case]:
    """Those that the package makes when it is asked."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = collect_testcases(None)
    for case in made:
        if case.model is not None and case.data_sets:
            yield Case(case.name, case.model, case.data_sets)


def _of_files() -> Iterator[Case]:
    import onnx
    from onnx.backend.test.loader import load_model_tests

    for kind in KINDS:
        for case in load_model_tests(kind=kind):
            folder = Path(case.model_dir or "")
            if case.model_dir is None or not (folder / "model.onnx").is_file():
                continue
            data = [(_tensors(place, "input"), _tensors(place, "output")) for place in sorted(folder.glob("test_data_set_*"))]
            yield Case(case.name, onnx.load(str(folder / "model.onnx")), data)


def operators() -> dict[str, list[str]]:
    """Every operator that the importer claims and the package tests, by the module that computes it."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(tests()) & OPERATORS.keys()):
        found[OPERATORS[name].__module__.rpartition(".")[2]].append(name)
    return dict(sorted(found.items()))


def cases() -> list[str]:
    return list(operators())


def run(name: str) -> dict[str, Any]:
    """All tests of one family. operators: how many are tested. failures: what went wrong. left_out: how many, by reason."""
    import onnx

    failures, left_out, passed = {}, defaultdict(int), 0
    family = operators()[name]
    for case in (case for operator in family for case in tests()[operator]):
        reason = exclusion(case)
        if reason:
            left_out[reason] += 1
            continue
        failure = check(case)
        if failure:
            failures[case.name] = failure
        else:
            passed += 1
    return {
        "ok": not failures,
        "failure": "; ".join(f"{test}: {why}" for test, why in failures.items()),
        "operators": len(family),
        "passed": passed,
        "failed": len(failures),
        "left_out": dict(left_out),
        "versions": {"onnx": onnx.__version__},
    }


def exclusion(case: Case) -> str | None:
    """Why a test is left out; None if it is not."""
    for pattern, reason in _LEFT_OUT:
        if re.search(pattern, case.name):
            return reason
    missing = sorted(set(_operators(case.model.graph)) - OPERATORS.keys() - {"If"})
    return f"also needs {', '.join(missing)}" if missing else None


def _operators(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}:{node.op_type}"
        for attribute in node.attribute:
            yield from _operators(attribute.g)


def check(case: Case) -> str:
    """Empty if a test passes both ways, else what went wrong."""
    problems = []
    for inputs, outputs in case.data:
        for known in (True, False):
            problem = _outcome(case, [_array(x) for x in inputs], [_array(x) for x in outputs], known)
            if problem:
                problems.append(f"{'known' if known else 'computed'}: {problem}")
    return "; ".join(problems)


def _array(tensor: Any) -> np.ndarray | None:
    import onnx

    if isinstance(tensor, onnx.TensorProto):
        return onnx.numpy_helper.to_array(tensor)
    return None if tensor is None else np.asarray(tensor)


def _outcome(case: Case, inputs: Sequence[np.ndarray | None], wanted: Sequence[np.ndarray | None], known: bool) -> str:
    import jax

    from generator.errors import UserError
    from generator.sources.onnx_graph.execution import chosen, outcome, read
    from generator.sources.onnx_graph.reading import read_model
    from generator.sources.onnx_graph.values import Value

    graph = read_model(case.model, Path(case.name)).graph
    names = [tensor.name for tensor in graph.inputs]
    # Sizes, axes and the like are known in every file; what is computed are the first inputs of floats.
    traced = [
        name
        for name, array in zip(names, inputs, strict=False)
        if array is not None and array.dtype.kind in "fb" and array.ndim and not known
    ]
    if not known and (not traced or any(map(_beyond_float32, inputs))):
        return ""
    values = {name: Value.of(array) for name, array in zip(names, inputs, strict=False) if array is not None}
    values.update({name: Value.of(array) for name, array in graph.known.items()})

    def follow(nodes: Sequence[Any], found: dict[str, Value]) -> None:
        for node in nodes:
            if node.operator == "If":
                branch = chosen(node, found, case.name)
                found.update({name: Value.of(array) for name, array in branch.known.items()})
                follow(branch.nodes, found)
                outputs = [found[name] for name in branch.outputs]
            else:
                outputs = outcome(node, read(found, node, case.name), case.name)
            found.update(zip(node.outputs, outputs, strict=False))

    def function(arrays: dict[str, Any]) -> list[Any]:
        found = {**values, **{name: Value.of(array) for name, array in arrays.items()}}
        follow(graph.nodes, found)
        return [found[name].logical for name in graph.outputs]

    try:
        found = jax.jit(function)({name: values[name].array for name in traced}) if traced else function({})
    except UserError as error:
        text = str(error)
        return "" if not known and "depend" in text else text[-300:]
    return "; ".join(filter(None, (_difference(np.asarray(a), b) for a, b in zip(found, wanted, strict=True) if b is not None)))


def _beyond_float32(array: np.ndarray | None) -> bool:
    if array is None or array.dtype != np.float64:
        return False
    return bool(np.abs(array).max(initial=0, where=np.isfinite(array)) > np.finfo(np.float32).max)


def _tensors(folder: Path, kind: str) -> list[np.ndarray | None]:
    import onnx

    files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda path: int(path.stem.rpartition("_")[2]))
    found = []
    for file in files:
        tensor = onnx.TensorProto.FromString(file.read_bytes())
        found.append(onnx.numpy_helper.to_array(tensor) if tensor.data_type else None)
    return found


def _difference(found: np.ndarray, wanted: np.ndarray) -> str:
    if found.shape != wanted.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    if wanted.dtype.kind in "iub" and found.dtype.kind in "iub":
        different = int((found.astype(np.int64) != wanted.astype(np.int64)).sum())
        return f"{different} of {wanted.size} numbers differ" if different else ""
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    bound = TOLERANCE.get(wanted.dtype.name, 1e-1)
    close = np.isclose(
        a, b, rtol=bound * 10, atol=bound * max(1.0, float(np.abs(b[np.isfinite(b)]).max(initial=0))), equal_nan=True
    )
    return "" if close.all() else f"differs by {np.abs(a - b)[~close].max():.2g} at {int((~close).sum())} of {b.size}"
