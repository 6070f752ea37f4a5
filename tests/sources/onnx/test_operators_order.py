"""Operators on maps that lie in memory otherwise than the file says: the same numbers, and no map moves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.sources.onnx_graph.shaping import reshaped
from generator.sources.onnx_graph.values import Value, channels_last
from tests.sources.onnx.single_operators import equations, laid, reference, run

N, C, H, W = SHAPE = 2, 8, 4, 6
CHANNELS_LAST = channels_last(4)
RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


#: Stands for the map among the inputs of an operator; it is the first one elsewhere.
IMAGE = np.zeros(())
PARAMETERS = [(), (1,), (W,), (H, W), (C, 1, 1), (1, C, 1, 1), (N, 1, H, 1), SHAPE]
RESIZES = [
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "cubic", "exclude_outside": 1},
]
#: Operators on a map: further inputs, which are known, and attributes.
CASES: list[tuple[str, list[np.ndarray | None], dict]] = [
    *(
        (name, [], {})
        for name in ("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu", "Selu", "LeakyRelu", "Softplus")
    ),
    *(
        (name, [], {})
        for name in ("Softsign", "Mish", "Exp", "Abs", "Neg", "Erf", "Floor", "Identity", "Celu", "ThresholdedRelu")
    ),
    ("Gelu", [], {"opset": 20}),
    ("Clip", [number(0), number(6)], {}),
    ("Clip", [None, number(0.5)], {}),
    *((name, [floats(*shape)], {}) for name in ("Add", "Sub", "Mul", "Div", "Max", "Greater") for shape in PARAMETERS),
    ("Pow", [number(2)], {}),
    ("PRelu", [floats(C, 1, 1)], {}),
    ("Sum", [floats(C, 1, 1), floats(W)], {}),
    ("Concat", [floats(N, 3, H, W)], {"axis": 1}),
    ("Concat", [floats(N, C, 2, W)], {"axis": -2}),
    ("Split", [whole(2, 6)], {"axis": 1, "num_outputs": 2}),
    ("Slice", [whole(1), whole(2**63 - 1), whole(1), whole(2)], {}),
    ("Slice", [whole(-1, 3), whole(-(2**63), 1), whole(2, 3), whole(-1, -1)], {}),
    ("Gather", [whole(7, 0, 3)], {"axis": 1}),
    ("Gather", [np.array(2)], {"axis": 1}),
    ("Gather", [whole(3, 4, 5)], {"axis": -1}),
    ("Pad", [whole(0, 1, 2, 0, 0, 0, 1, 3), number(0.5)], {}),
    ("Pad", [whole(0, 0, 2, 1, 0, 0, 1, 3)], {"mode": "reflect"}),
    ("Pad", [whole(2, 1), None, whole(1)], {"mode": "edge"}),
    *((f"Reduce{name}", [whole(2, 3)], {}) for name in ("Mean", "Max", "Sum", "L2", "LogSumExp", "Min", "Prod", "SumSquare")),
    ("ReduceMean", [whole(1)], {"keepdims": 0}),
    ("ReduceMean", [whole(-1, -2)], {"keepdims": 0}),
    ("ReduceMax", [], {}),
    *((name, [], {"axis": axis}) for name in ("Softmax", "LogSoftmax", "Hardmax") for axis in (1, -1)),
    ("ArgMax", [], {"axis": 1}),
    ("ArgMin", [], {"axis": 1, "keepdims": 0}),
    ("CumSum", [np.array(1)], {"reverse": 1, "exclusive": 1}),
    ("Tile", [whole(1, 2, 1, 3)], {}),
    ("Expand", [whole(3, 1, 1, 1, W)], {}),
    ("Unsqueeze", [whole(1)], {}),
    ("Reshape", [whole(N, 2, C // 2, H, W)], {}),
    ("Reshape", [whole(0, C, -1)], {}),
    ("Transpose", [], {"perm": (0, 2, 3, 1)}),
    ("Resize", [None, np.array([1, 1, 2, 2], np.float32)], RESIZES[0]),
    ("QuantizeLinear", [np.abs(floats(C)) + 0.01, np.arange(C, dtype=np.int8)], {"axis": 1}),
    ("QuantizeLinear", [number(0.02), np.array(128, np.uint8)], {}),
    ("Where", [floats(C, 1, 1) > 0, IMAGE, floats(W)], {}),
    ("Where", [floats(N, C, H, W) > 0, floats(1), IMAGE], {}),
    ("Sub", [floats(C, 1, 1), IMAGE], {}),
]
#: What brings together what lies apart has to move; interpolating is a matrix product, whose result JAX turns back.
MOVING = [
    *(("Resize", [None, np.array([1, 1, 1.5, 2.3], np.float32)], options) for options in RESIZES),
    *(("Resize", [None, None, whole(N, C, 3, 9)], options) for options in RESIZES),
    ("DepthToSpace", [], {"blocksize": 2}),
    ("DepthToSpace", [], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [], {"blocksize": 2}),
    ("Reshape", [whole(N, -1)], {}),
    ("Flatten", [], {"axis": 2}),
    ("GatherElements", [RANDOM.integers(-C, C, (N, 3, H, W))], {"axis": 1}),
    ("ScatterElements", [RANDOM.permutation(C)[None, :, None, None], floats(1, C, 1, 1)], {"axis": 1}),
    ("GatherND", [np.array([[0, 3], [1, -1]])], {}),
    ("ScatterND", [np.array([[0, 3], [1, 7]]), floats(2, H, W)], {"reduction": "add"}),
    ("Trilu", [], {}),
    ("GridSample", [RANDOM.uniform(-1.2, 1.2, (N, 3, 5, 2)).astype(np.float32)], {}),
]


def check(operator: str, others: list, options: dict, order: tuple[int, ...]) -> list[str]:
    """Compares with the reference, the map lying in memory in `order`; returns the primitives that run."""
    image = floats(*SHAPE)
    given = others if any(other is IMAGE for other in others) else [IMAGE, *others]
    found: list[Value] = []

    def function(array):
        inputs = [None if x is None else Value(array, order) if x is IMAGE else Value.of(x) for x in given]
        found[:] = run(operator, inputs, **options)
        return [value.array for value in found]

    lying = laid(image, order).array
    primitives = list(equations(jax.make_jaxpr(function)(lying).jaxpr))
    arrays = jax.jit(function)(lying)
    wanted = reference(operator, [image if x is IMAGE else x for x in given], **options)
    for value, array, expected in zip(found, arrays, wanted, strict=True):
        logical = Value(np.asarray(array), value.order).logical
        assert logical.shape == expected.shape
        np.testing.assert_allclose(logical.astype(np.float64), expected.astype(np.float64), rtol=2e-4, atol=2e-5)
    return primitives


def name_of(case) -> str:
    operator, others, options = case
    return "-".join(
        [operator, *("none" if x is None else "x".join(map(str, x.shape)) for x in others), *map(str, options.values())]
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_maps_stay_where_they_lie(case):
    assert "transpose" not in check(*case, CHANNELS_LAST)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_order_in_memory_gives_the_same(case):
    check(*case, (3, 0, 2, 1))


@pytest.mark.parametrize("order", [CHANNELS_LAST, (3, 0, 2, 1)], ids=str)
@pytest.mark.parametrize("case", MOVING, ids=name_of)
def test_what_joins_axes_from_apart_is_right_too(case, order):
    check(*case, order)


def test_a_channel_shuffle_moves_within_the_channels_alone():
    image = floats(*SHAPE)

    def shuffled(array):
        (split,) = run("Reshape", [Value(array, CHANNELS_LAST), Value.of(whole(N, 2, C // 2, H, W))])
        (swapped,) = run("Transpose", [split], perm=(0, 2, 1, 3, 4))
        (joined,) = run("Reshape", [swapped, Value.of(whole(N, C, H, W))])
        assert joined.order == CHANNELS_LAST
        return joined.array

    found = Value(shuffled(laid(image, CHANNELS_LAST).array), CHANNELS_LAST).logical
    np.testing.assert_array_equal(found, image.reshape(N, 2, C // 2, H, W).swapaxes(1, 2).reshape(SHAPE))


def test_two_axes_of_one_pixel_go_without_a_move():
    image = floats(N, C, 1, 1)
    for operator, inputs in (("Flatten", []), ("Squeeze", [whole(2, 3)]), ("Reshape", [whole(N, -1)])):

        def function(array, operator=operator, inputs=inputs):
            (found,) = run(operator, [Value(array, CHANNELS_LAST), *map(Value.of, inputs)])
            return found.logical

        lying = laid(image, CHANNELS_LAST).array
        assert "transpose" not in set(equations(jax.make_jaxpr(function)(lying).jaxpr))
        np.testing.assert_array_equal(function(lying), image.reshape(N, C))


FACTORS = st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=5)


@st.composite
def shapes(draw) -> tuple[list[int], list[int], list[int]]:
    """A shape, another one of as many numbers, and an order of the first one's axes."""
    factors = draw(FACTORS)

    def grouped(factors: list[int]) -> list[int]:
        cuts = sorted(draw(st.sets(st.integers(0, len(factors)), max_size=3)))
        return [int(np.prod(factors[start:end])) for start, end in zip([0, *cuts], [*cuts, len(factors)], strict=True)]

    before, after = grouped(factors), grouped(draw(st.permutations(factors)))
    return before, after, draw(st.permutations(range(len(before))))


@settings(deadline=None)
@given(shapes(), st.booleans())
def test_reshaping_reads_numbers_in_the_order_of_the_file(example, known):
    before, after, order = example
    array = np.arange(np.prod(before, dtype=int)).reshape(before)
    value = laid(array, order)
    found = reshaped(value if known else Value(jnp.asarray(value.array), value.order), after)
    assert found.known == known
    assert sorted(found.order) == list(range(len(after)))
    np.testing.assert_array_equal(found.logical, array.reshape(after))


@st.composite
def broadcast(draw) -> list[tuple[list[int], list[int], bool]]:
    """Shapes that broadcast, each with an order in memory, and whether it is known."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=0, max_size=4))
    found = []
    for _ in range(draw(st.integers(2, 3))):
        rank = draw(st.integers(0, len(sizes)))
        shape = [1 if draw(st.booleans()) else size for size in sizes[len(sizes) - rank :]]
        found.append((shape, draw(st.permutations(range(rank))), draw(st.booleans())))
    return found


@settings(deadline=None)
@given(broadcast())
def test_any_orders_broadcast_as_the_file_says(example):
    arrays = [RANDOM.integers(-9, 9, shape).astype(np.float32) for shape, _, _ in example]
    values = [
        laid(array, order) if known else Value(jnp.asarray(np.transpose(array, order)), tuple(order))
        for array, (_, order, known) in zip(arrays, example, strict=True)
    ]
    (found,) = run("Sum", values)
    assert found.known == all(known for *_, known in example)
    np.testing.assert_array_equal(found.logical, sum(arrays))
