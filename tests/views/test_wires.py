"""Wires are those a person would find by reading the network's arithmetic, one weight at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.network.execute import Network
from generator.network.graph import Graph, Layer, ReceptiveField
from generator.records import Wires
from generator.views.wires import strongest, wires

NUMBERS = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, groups=1):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NUMBERS, feature_group_count=groups)


def pooled(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def everything(params, images):
    """Every kind of node: stem, depthwise x 2, pointwise with a normalisation, residual, gate, grouped, concat, flatten."""
    stem = jax.nn.relu(conv(images, params["stem"]["kernel"]))
    deep = conv(stem, params["deep"]["kernel"], groups=6)
    point = (conv(deep, params["point"]["kernel"]) - params["point"]["mean"]) * params["point"]["scale"] + 0.5
    total = jax.nn.relu(stem + point)
    gate = jax.nn.sigmoid(total.mean((1, 2)) @ params["squeeze"]["kernel"])
    gated = total * gate[:, None, None]
    grouped = conv(gated, params["grouped"]["kernel"], groups=2)
    both = pooled(jax.nn.relu(jnp.concatenate([gated, grouped, images], -1)))
    return both.reshape(len(images), -1) @ params["head"]["kernel"]


SHAPES = {
    "stem": (3, 3, 3, 6),
    "deep": (3, 3, 1, 12),
    "point": (1, 1, 12, 6),
    "squeeze": (6, 6),
    "grouped": (3, 3, 3, 4),
    "head": (2 * 2 * 13, 5),
}


@pytest.fixture(scope="module")
def random():
    rng = np.random.default_rng(0)
    params = {name: {"kernel": rng.normal(size=shape).astype(np.float32)} for name, shape in SHAPES.items()}
    params["point"] |= {"mean": np.ones(6, np.float32), "scale": np.array([1, -2, 0.5, -0.1, 3, 1], np.float32)}
    return params


def found(function, params, shape=(4, 4, 3), num_inputs=1000, num_outputs=1000):
    net = Network(function, params, shape)
    weights = net.weights([layer.name for layer in net.graph.layers if layer.has_kernel])
    pairs = {name: (w.kernel, w.scale) for name, w in weights.items()}
    return net.graph, wires(net.graph, pairs, num_inputs, num_outputs)


def listed(ends):
    return [(wire.layer, wire.channel, wire.weight) for wire in ends]


def same(ends, expected, count=None):
    expected = sorted(expected, key=lambda wire: -abs(wire[2]))[:count]
    assert [wire[:2] for wire in listed(ends)] == [wire[:2] for wire in expected]
    np.testing.assert_allclose([wire[2] for wire in listed(ends)], [wire[2] for wire in expected], rtol=6e-6)


def length(values):
    """L2 norm with the sign of the sum, one number at a time."""
    values = [float(value) for value in values]
    return (-1 if sum(values) < 0 else 1) * sum(value**2 for value in values) ** 0.5


def read_off(params):
    """Every unit's inputs, written down from `everything` by hand."""
    kernels = {name: value["kernel"] for name, value in params.items()}
    taps = [(row, column) for row in range(3) for column in range(3)]
    blocks = [("gate_1", c) for c in range(6)] + [("grouped", c) for c in range(4)] + [("input", c) for c in range(3)]
    return {
        "stem": [[("input", c, length(kernels["stem"][r, k, c, u] for r, k in taps)) for c in range(3)] for u in range(6)],
        "deep": [[("stem", u // 2, length(kernels["deep"][r, k, 0, u] for r, k in taps))] for u in range(12)],
        "point": [
            [("deep", c, float(kernels["point"][0, 0, c, u]) * float(params["point"]["scale"][u])) for c in range(12)]
            for u in range(6)
        ],
        "add_1": [[("stem", u, 1.0), ("point", u, 1.0)] for u in range(6)],
        "mean_1": [[("add_1", u, 1.0)] for u in range(6)],
        "squeeze": [[("mean_1", c, float(kernels["squeeze"][c, u])) for c in range(6)] for u in range(6)],
        "gate_1": [[("add_1", u, 1.0), ("squeeze", u, 1.0)] for u in range(6)],
        "grouped": [
            [("gate_1", u // 2 * 3 + c, length(kernels["grouped"][r, k, c, u] for r, k in taps)) for c in range(3)]
            for u in range(4)
        ],
        "concat_1": [[(*block, 1.0)] for block in blocks],
        "max_pool_1": [[(*block, 1.0)] for block in blocks],
        "head": [
            [("max_pool_1", c, length(kernels["head"][place * 13 + c, u] for place in range(4))) for c in range(13)]
            for u in range(5)
        ],
    }


@pytest.mark.parametrize("count", [1000, 2, 1])
def test_inputs_of_every_kind_of_node(random, count):
    _, nodes = found(everything, random, num_inputs=count)
    expected = read_off(random)
    assert list(nodes) == list(expected)
    for name, units in expected.items():
        assert len(nodes[name].inputs) == len(units)
        for unit, ends in enumerate(units):
            same(nodes[name].inputs[unit], ends, count if name in SHAPES else None)


@pytest.mark.parametrize("count", [1000, 3])
def test_outputs_are_the_inputs_the_other_way_round(random, count):
    _, nodes = found(everything, random, num_outputs=count)
    expected = read_off(random)
    readers = {name: [[] for _ in units] for name, units in expected.items()}
    for name, units in expected.items():
        for unit, ends in enumerate(units):
            for source, channel, weight in ends:
                if name != "concat_1" and source != "input":
                    readers[source][channel].append((name, unit, weight))
    # What the pool reads of the concatenation, it reads of the units behind it; the concatenation's own units are read too.
    for unit in range(13):
        readers["concat_1"][unit].append(("max_pool_1", unit, 1.0))
    for name, units in readers.items():
        for unit, ends in enumerate(units):
            same(nodes[name].outputs[unit], ends, count)
    assert nodes["head"].outputs == [[]] * 5


def test_records_survive_json(random):
    for node in found(everything, random)[1].values():
        assert Wires.model_validate_json(node.model_dump_json()) == node


def test_equal_weights_stay_in_order_and_zeros_are_no_wires():
    kernel = np.array([[1, 0, 2], [-1, 0, 2], [1, 0, np.nan], [-3, 0, 2]], np.float32)
    _, nodes = found(lambda params, images: images @ params["mix"], {"mix": kernel}, (2, 2, 4), num_inputs=2)
    assert [listed(ends) for ends in nodes["mix"].inputs] == [
        [("input", 3, -3.0), ("input", 0, 1.0)],
        [],
        [("input", 0, 2.0), ("input", 1, 2.0)],
    ]


def test_a_slice_whose_sum_is_zero_is_a_wire():
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, :, 0, 0] = [-3, 0, 3]
    _, nodes = found(lambda params, images: conv(images, params["edge"]), {"edge": kernel}, (4, 4, 1))
    same(nodes["edge"].inputs[0], [("input", 0, 18**0.5)])


def test_parts_of_a_node_are_followed_in_order_and_unknown_ones_refused():
    def apply(params, images):
        left, right = jnp.split(images @ params["mix"], [1], axis=-1)
        some = jnp.tanh(right)[..., 1:]
        return jnp.concatenate([left - right[..., :1], some], -1) @ params["last"]

    graph, nodes = found(apply, {"mix": np.ones((3, 4), np.float32), "last": np.ones((3, 2), np.float32)})
    kinds = {layer.name: (layer.inputs, layer.num_units) for layer in graph.layers if layer.kind in ("slice", "subtract")}
    assert kinds["slice_1"] == (("mix",), 1)
    assert listed(nodes["slice_1"].inputs[0]) == [("mix", 0, 1.0)]
    assert [listed(ends) for ends in nodes["slice_2"].inputs] == [[("mix", channel, 1.0)] for channel in (1, 2, 3)]
    assert listed(nodes["mix"].outputs[2]) == [("slice_2", 1, 1.0)]
    (taken,) = (name for name, layer in graph.by_name.items() if layer.kind == "subtract")
    assert [wire.weight for wire in nodes[taken].inputs[0]] == [1.0, -1.0]
    # Two further slices of one node divide it, 1 + 2 of 3, and so are found in the order in which they were taken.
    assert {name for name in kinds if kinds[name][0] == ("slice_2",)} == {"slice_3", "slice_4"}


def test_overlapping_parts_have_no_wires():
    def apply(params, images):
        mixed = images @ params["mix"]
        return mixed[..., :3] * mixed[..., 1:]

    _, nodes = found(apply, {"mix": np.ones((3, 4), np.float32)})
    assert nodes["slice_1"].inputs == nodes["slice_2"].inputs == [[]] * 3
    assert nodes["mix"].outputs == [[]] * 4


def test_products_of_activations_have_no_wires():
    def apply(params, images):
        mixed = images @ params["mix"]
        return jnp.einsum("nhwc,nhvc->nhwv", mixed, jnp.tanh(images)) + mixed

    graph, nodes = found(apply, {"mix": np.ones((3, 3), np.float32)}, (3, 3, 3))
    (product,) = (layer.name for layer in graph.layers if layer.kind == "matmul")
    assert nodes[product].inputs == [[]] * 3


def test_a_gate_of_one_channel_opens_all():
    def apply(params, images):
        mixed = images @ params["mix"]
        return mixed * jax.nn.sigmoid(mixed @ params["where"])

    _, nodes = found(apply, {"mix": np.ones((3, 4), np.float32), "where": np.ones((4, 1), np.float32)})
    assert [listed(ends)[1] for ends in nodes["gate_1"].inputs] == [("where", 0, 1.0)] * 4
    assert listed(nodes["where"].outputs[0]) == [("gate_1", unit, 1.0) for unit in range(4)]


def test_concatenations_within_concatenations_are_looked_through():
    def apply(params, images):
        first = images @ params["a"]
        second = jnp.concatenate([first, jnp.tanh(images)], -1)
        return jnp.concatenate([second @ params["b"], second], -1) @ params["c"]

    rng = np.random.default_rng(1)
    params = {
        name: rng.normal(size=shape).astype(np.float32) for name, shape in {"a": (3, 2), "b": (5, 4), "c": (9, 3)}.items()
    }
    _, nodes = found(apply, params)
    behind = [("b", c) for c in range(4)] + [("a", c) for c in range(2)] + [("input", c) for c in range(3)]
    same(nodes["c"].inputs[1], [(*end, float(params["c"][place, 1])) for place, end in enumerate(behind)])
    to_b = [("b", unit, float(params["b"][1, unit])) for unit in range(4)]
    to_c = [("c", unit, float(params["c"][5, unit])) for unit in range(3)]
    same(nodes["a"].outputs[1], [*to_b, *to_c])
    same(nodes["concat_1"].outputs[1], [*to_b, *to_c])


@pytest.mark.parametrize("count", [1, 5, 40])
def test_the_strongest_are_those_of_a_full_sort(count):
    weights = np.random.default_rng(0).integers(-6, 7, (300, 40)).astype(float)
    weights[::7, 3] = np.nan
    for row, chosen in zip(weights.tolist(), strongest(weights, count).tolist(), strict=True):
        order = sorted(range(40), key=lambda i: (-abs(row[i]) if row[i] == row[i] else 1, i))
        assert chosen == order[:count]


def test_weights_that_do_not_fit_are_refused():
    field = ReceptiveField(size=(1, 1), stride=(1, 1), first=(0, 0))
    layer = Layer(name="a", kind="dense", inputs=("input",), shape=(2,), kernel_shape=(3, 2), receptive_field=field)
    graph = Graph(input_shape=(1, 1, 3), layers=(layer,), outputs=("a",))
    with pytest.raises(ValueError, match="weights of a are missing"):
        wires(graph, {}, 1, 1)
    with pytest.raises(ValueError, match="are not"):
        wires(graph, {"a": (np.ones((3, 3)), np.ones(2))}, 1, 1)
