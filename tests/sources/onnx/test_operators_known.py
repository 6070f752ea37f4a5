"""What a file knows stays known and exact; what would depend on the image, or fill the memory, is refused with the reason."""

from __future__ import annotations

import time
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from generator.errors import NetworkError
from generator.sources.onnx_graph.values import Value, channels_last
from tests.sources.onnx.single_operators import laid, reference, run

BIG = 2**62 + 1
IMAGE = Value(jnp.arange(48.0).reshape(1, 4, 4, 3), channels_last(4))
LENGTHS = Value.of(jnp.array([1, 2]))


def whole(*numbers: int) -> Value:
    return Value.of(np.array(numbers, np.int64))


@pytest.mark.parametrize(
    ("operator", "inputs", "expected"),
    [
        ("Add", [whole(BIG), whole(1)], [BIG + 1]),
        ("Mul", [whole(2**40), whole(3)], [3 * 2**40]),
        ("Div", [whole(-7, 7, -BIG), whole(2)], [-3, 3, -(2**61)]),
        ("Mod", [whole(-7, BIG), whole(4)], [1, 1]),
        ("Concat", [whole(BIG), whole(-1)], [BIG, -1]),
        ("Gather", [whole(5, BIG), whole(-1)], [BIG]),
        ("Where", [Value.of(np.array([True, False])), whole(BIG), whole(0)], [BIG, 0]),
        ("ReduceProd", [whole(2**40, 5), whole(0)], [5 * 2**40]),
        ("Max", [whole(BIG), whole(BIG - 1)], [BIG]),
        ("Cast", [Value.of(np.array([2.9, -2.9], np.float32))], [2, -2]),
        ("Range", [Value.of(np.array(BIG)), Value.of(np.array(BIG + 2)), Value.of(np.array(1))], [BIG, BIG + 1]),
        ("Shape", [IMAGE], [1, 3, 4, 4]),
        ("NonZero", [whole(0, 3, 0, 4)], [[1, 3]]),
        ("Unsqueeze", [whole(BIG), whole(0)], [[BIG]]),
        ("ScatterND", [whole(1, 2), Value.of(np.array([[1]])), whole(BIG)], [1, BIG]),
        ("ScatterElements", [whole(BIG, 2), whole(-1), whole(-BIG)], [BIG, -BIG]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whole_numbers_stay_exact(operator, inputs, expected):
    options = {"axis": 0} if operator == "Concat" else {"to": 7} if operator == "Cast" else {}
    (found,) = run(operator, inputs, **options)
    assert found.known
    assert found.array.dtype == np.int64
    np.testing.assert_array_equal(found.logical, expected)


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        ("Reshape", [IMAGE, LENGTHS], "a shape with sizes that depend on the image"),
        ("Expand", [IMAGE, LENGTHS], "a shape with sizes that depend on the image"),
        ("ConstantOfShape", [LENGTHS], "a shape with sizes that depend on the image"),
        ("Tile", [IMAGE, LENGTHS], "repeats that depend on the image"),
        ("Slice", [IMAGE, LENGTHS, whole(3, 3)], "bounds that depend on the image"),
        ("Split", [IMAGE, LENGTHS], "sizes that depend on the image"),
        ("Pad", [IMAGE, LENGTHS], "amounts that depend on the image"),
        ("TopK", [IMAGE, LENGTHS], "a number of values that depend on the image"),
        ("ReduceMean", [IMAGE, LENGTHS], "axes that depend on the image"),
        ("Resize", [IMAGE, None, Value.of(jnp.ones(4))], "scales that depend on the image"),
        ("Resize", [IMAGE, None, None, LENGTHS], "sizes that depend on the image"),
        ("Clip", [IMAGE, Value.of(jnp.array(0.5))], "bounds that depend on the image"),
        ("OneHot", [whole(1), LENGTHS, whole(0, 1)], "a depth that depend on the image"),
        ("Range", [whole(0), LENGTHS, whole(1)], "counts to a number that depends on the image"),
        ("NonZero", [IMAGE], "a result whose size depends on the image"),
        ("Unique", [IMAGE], "a result whose size depends on the image"),
        ("Gather", [IMAGE, whole(0, 9)], "takes number 9 of 1"),
        ("Reshape", [IMAGE, whole(5, -1)], "of 1 x 3 x 4 x 4"),
        (
            "GridSample",
            [Value.of(np.zeros((1, 1, 2, 2, 2), np.float32)), Value.of(np.zeros((1, 1, 1, 1, 3), np.float32))],
            "3 axes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_cannot_be_done_is_told_with_its_node(operator, inputs, message):
    with pytest.raises(NetworkError, match=rf"node 'node' \({operator}\) .*{message}"):
        run(operator, inputs)


ROW, COLUMN = Value.of(np.zeros((1, 1 << 15), np.int8)), Value.of(np.zeros((1 << 15, 1), np.int8))
HUGE = 1 << 40


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        ("ConstantOfShape", [whole(HUGE)]),
        ("ConstantOfShape", [whole(1 << 20, 1 << 20, 1 << 30)]),
        ("Expand", [ROW, whole(HUGE, 1)]),
        ("Tile", [ROW, whole(HUGE, 1)]),
        ("Range", [whole(0), whole(HUGE), whole(1)]),
        ("Range", [whole(0), whole(1), Value.of(np.array([1e-12]))]),
        ("Pad", [ROW, whole(0, 0, HUGE, 0)]),
        ("Add", [ROW, COLUMN]),
        ("Div", [ROW, COLUMN]),
        ("Where", [Value.of(ROW.array == 0), COLUMN, ROW]),
        ("Gather", [ROW, Value.of(np.zeros(1 << 12, np.int64))]),
        ("OneHot", [whole(1), whole(HUGE), Value.of(np.array([0, 1], np.int8))]),
        ("Concat", [Value.of(np.zeros(1 << 16, np.int8))] * 1025),
        ("Resize", [Value.of(ROW.array.astype(np.float32)), None, None, whole(1 << 12, 1 << 15)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_small_file_gets_no_large_memory(operator, inputs):
    options = {"axis": 0} if operator in ("Concat", "Gather") else {}
    before = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(NetworkError, match=r"makes a constant of .* numbers, more than|counts from"):
            run(operator, inputs, **options)
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - before < 2


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub", "Div", "Pow"])
def test_before_opset_7_the_second_input_begins_at_an_axis(operator):
    generator = np.random.default_rng(1)
    image, others = generator.uniform(1, 2, (2, 3, 3, 3)).astype(np.float32), generator.uniform(1, 2, (3,)).astype(np.float32)
    (found,) = run(operator, [laid(image, (0, 2, 3, 1)), Value.of(others)], opset=6, axis=1, broadcast=1)
    (wanted,) = reference(operator, [image, others[:, None, None]])
    np.testing.assert_allclose(found.logical, wanted, rtol=1e-6)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
def test_before_opset_13_softmax_is_over_all_axes_from_one_on(operator):
    image = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype(np.float32)
    (found,) = run(operator, [laid(image, (0, 2, 3, 1))], opset=11)
    (wanted,) = reference(operator, [image.reshape(2, -1)], axis=1)
    np.testing.assert_allclose(found.logical, wanted.reshape(image.shape), rtol=1e-5, atol=1e-7)
