"""Traces find planted circuits wire by wire, keep what matters, and end at the pixels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generator.network.execute import Network
from generator.network.graph import Graph, Layer, ReceptiveField
from generator.pages.tracing import Strand, trace
from generator.records import Wire, Wires
from generator.views.wires import wires

NUMBERS = ("NHWC", "HWIO", "NHWC")
FIELD = ReceptiveField(size=(1, 1), stride=(1, 1), first=(0, 0))

#: (layer, unit) to what it reads: a circuit through every kind of node. `both` is the concatenation of branch and total.
CIRCUIT = {
    ("head", 1): [("mean_1", 4, 2.0), ("mean_1", 0, -1.5)],
    ("mean_1", 4): [("mix", 4, 1.0)],
    ("mean_1", 0): [("mix", 0, 1.0)],
    ("mix", 4): [("branch", 2, -3.0), ("add_1", 5, 2.5)],
    ("mix", 0): [("add_1", 3, 4.0), ("branch", 2, 1.2)],
    ("branch", 2): [("add_1", 5, 2.2), ("add_1", 3, 1.1)],
    ("add_1", 5): [("stem", 5, 1.0), ("point", 5, 1.0)],
    ("add_1", 3): [("stem", 3, 1.0), ("point", 3, 1.0)],
    ("point", 5): [("deep", 7, 3.0), ("deep", 0, -2.0)],
    ("point", 3): [("deep", 7, 1.5), ("deep", 10, 1.4)],
    ("deep", 7): [("stem", 3, 2.0)],
    ("deep", 0): [("stem", 0, -2.0)],
    ("deep", 10): [("stem", 5, 1.0)],
    ("stem", 5): [("input", 0, 2.0), ("input", 1, -1.0)],
    ("stem", 3): [("input", 2, -2.0), ("input", 0, 1.9)],
    ("stem", 0): [("input", 1, 1.0), ("input", 2, -0.9)],
}


def conv(x, kernel, groups=1):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NUMBERS, feature_group_count=groups)


def apply(params, images):
    stem = jax.nn.relu(conv(images, params["stem"]["kernel"]))
    deep = jax.nn.relu(conv(stem, params["deep"]["kernel"], groups=6))
    point = deep @ params["point"]["kernel"] * params["point"]["scale"]
    total = stem + point
    both = jnp.concatenate([jax.nn.relu(total @ params["branch"]["kernel"]), total], -1)
    return jax.nn.relu(conv(both, params["mix"]["kernel"])).mean((1, 2)) @ params["head"]["kernel"]


def planted(noise):
    """The network whose strong weights are those of `CIRCUIT`, over random ones of at most `noise`; and its wires."""
    shapes = {
        "stem": (3, 3, 3, 6),
        "deep": (3, 3, 1, 12),
        "point": (12, 6),
        "branch": (6, 4),
        "mix": (3, 3, 10, 5),
        "head": (5, 3),
    }
    rng = np.random.default_rng(0)
    params = {name: {"kernel": rng.uniform(-noise, noise, shape).astype(np.float32)} for name, shape in shapes.items()}
    params["point"]["scale"] = np.full(6, -0.5, np.float32)
    for (layer, unit), ends in CIRCUIT.items():
        for source, channel, weight in ends if layer in shapes else ():
            kernel = params[layer]["kernel"]
            place = {"deep": 0, "mix": channel + 4 * (source == "add_1")}.get(layer, channel)
            kernel[..., place, unit] = 0
            kernel[(*(0,) * (kernel.ndim - 2), place, unit)] = weight / (params[layer].get("scale", [1] * 20)[unit])
    net = Network(apply, params, (5, 5, 3))
    weights = net.weights([layer.name for layer in net.graph.layers if layer.has_kernel])
    return net.graph, wires(net.graph, {name: (w.kernel, w.scale) for name, w in weights.items()}, 8, 8)


def read_back(strand, found=None):
    """Every link's (layer, unit) and what was shown below it."""
    found = [] if found is None else found
    for above, below in itertools.pairwise(strand.links):
        found.append(((above.layer, above.unit), [(below.layer, below.unit, below.weight)]))
    last = strand.links[-1]
    ends = [(part.links[0].layer, part.links[0].unit, part.links[0].weight) for part in strand.strands]
    found.append(((last.layer, last.unit), ends))
    for part in strand.strands:
        read_back(part, found)
    return found


def all_links(strand):
    return [*strand.links, *(link for part in strand.strands for link in all_links(part))]


def bottoms(strand):
    return [b for part in strand.strands for b in bottoms(part)] if strand.strands else [strand]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_trace_of_a_planted_circuit_is_its_wires(noise):
    graph, nodes = planted(noise)
    strand = trace(nodes, graph, "head", 1, breadth=2, depth=10, limit=100)
    shown = read_back(strand)
    expanded = {unit: ends for unit, ends in shown if ends}
    assert expanded == CIRCUIT
    assert len([ends for _, ends in shown if ends]) == len(CIRCUIT), "a unit is expanded twice"
    for bottom in bottoms(strand):
        last = bottom.links[-1]
        assert bottom.again == (last.layer != "input")
        assert bottom.again <= ((last.layer, last.unit) in expanded)
    assert {link.layer for link in all_links(strand) if link.passes} == {"mean_1", "add_1", "deep"}
    assert trace(nodes, graph, "head", 1, 2, 10, 100) == strand
    assert Strand.model_validate_json(strand.model_dump_json()) == strand


def test_importance_is_the_share_of_the_way_from_the_root():
    graph, nodes = planted(0.0)
    strand = trace(nodes, graph, "head", 1, breadth=2, depth=10, limit=100)
    first, second = strand.strands
    assert first.links[0].importance == pytest.approx(2 / 3.5)
    assert second.links[0].importance == pytest.approx(1.5 / 3.5)
    branch = first.strands[0].links[0]
    assert (branch.layer, branch.importance) == ("branch", pytest.approx(2 / 3.5 * 3 / 5.5))


def made(layers, ends):
    """A graph of `(name, kind, num_units)` and wires from `ends`: (layer, unit) to (layer, unit, weight)."""
    graph = Graph(
        input_shape=(4, 4, 2),
        layers=tuple(Layer(name=n, kind=k, inputs=(), shape=(4, 4, c), receptive_field=FIELD) for n, k, c in layers),
        outputs=(layers[-1][0],),
    )
    nodes = {}
    for name, _, units in layers:
        inputs = [[Wire(layer=s, channel=c, weight=w) for s, c, w in ends.get((name, unit), [])] for unit in range(units)]
        nodes[name] = Wires(layer=name, inputs=inputs, outputs=[[]] * units)
    return graph, nodes


def dense_stack(depth, width):
    """Every unit reads all units of the layer below, each a little less than the one before it."""
    ends = {
        (f"c{i}", u): [(f"c{i - 1}" if i else "input", c, 1 - c / 10) for c in range(width if i else 2)]
        for i in range(depth)
        for u in range(width)
    }
    return made([(f"c{i}", "conv", width) for i in range(depth)], ends)


@pytest.mark.parametrize("limit", [1, 8, 12, 25])
def test_the_most_important_units_survive_and_one_path_reaches_the_pixels(limit):
    graph, nodes = dense_stack(depth=6, width=4)
    strand = trace(nodes, graph, "c5", 1, breadth=3, depth=6, limit=limit)
    links = all_links(strand)
    assert len(links) == max(limit, 7)  # six layers and a pixel channel
    assert [b.links[-1].layer for b in bottoms(strand)].count("input") >= 1
    # Whatever was left out below a shown unit matters no more than anything shown off the strongest path.
    path = {("c5", 1), *((f"c{i}", 0) for i in range(5)), ("input", 0)}
    shares = {place: (1 - place / 10) / 3.4 for place in range(3)}
    shown = read_back(strand)
    importance = {(link.layer, link.unit): link.importance for link in reversed(links)}
    expanded = {unit for unit, ends in shown if ends}
    off_path = [link.importance for link in links if (link.layer, link.unit) not in path]
    for unit, ends in shown:
        if unit in expanded and unit[0] != "c0" and ends:
            left_out = [shares[place] * importance[unit] for place in range(3) if place not in [end[1] for end in ends]]
            assert max(left_out, default=0) <= min(off_path, default=1) + 1e-12


def test_below_its_depth_only_the_strongest_path_goes_on():
    graph, nodes = dense_stack(depth=6, width=4)
    strand = trace(nodes, graph, "c5", 0, breadth=2, depth=2, limit=100)
    assert [len(part.strands) for part in strand.strands] == [2, 2]
    deepest = strand.strands[0].strands[0]
    assert [(link.layer, link.unit) for link in deepest.links] == [*((f"c{i}", 0) for i in (3, 2, 1, 0)), ("input", 0)]
    others = [strand.strands[0].strands[1], *strand.strands[1].strands]
    assert [[(link.layer, link.unit) for link in other.links] for other in others] == [[("c3", 1)], [("c3", 0)], [("c3", 1)]]
    assert [other.again for other in others] == [False, True, False]  # the last one's inputs are shown nowhere


def test_units_that_pass_on_fork_whole_and_cost_nothing():
    ends = {
        ("a", 0): [("input", 0, 1.0)],
        ("b", 0): [("a", 0, 5.0)],
        ("sum", 0): [("a", 0, 1.0), ("b", 0, 1.0)],
        ("pool", 0): [("sum", 0, 1.0)],
        ("top", 0): [("pool", 0, -2.0)],
    }
    kinds = {"a": "conv", "b": "conv", "sum": "add", "pool": "avg_pool", "top": "conv"}
    graph, nodes = made([(name, kind, 1) for name, kind in kinds.items()], ends)
    strand = trace(nodes, graph, "top", 0, breadth=1, depth=5, limit=4)
    assert [link.layer for link in strand.links] == ["top", "pool", "sum"]
    assert [[link.layer for link in part.links] for part in strand.strands] == [["a", "input"], ["b"]]
    more = trace(nodes, graph, "top", 0, breadth=1, depth=5, limit=5)
    assert [[link.layer for link in part.links] for part in more.strands] == [["a", "input"], ["b", "a"]]
    assert [part.again for part in more.strands] == [False, True]


def test_units_that_pass_on_are_shown_where_nothing_else_fits():
    ends = {("a", 0): [("input", 0, 1.0)], ("deep", 0): [("a", 0, 1.0)], ("top", 0): [("a", 0, 2.0), ("deep", 0, 1.0)]}
    graph, nodes = made([("a", "conv", 1), ("deep", "depthwise_conv", 1), ("top", "conv", 1)], ends)
    strand = trace(nodes, graph, "top", 0, breadth=2, depth=5, limit=3)
    assert [[link.layer for link in part.links] for part in strand.strands] == [["a", "input"], ["deep"]]


def test_a_unit_too_deep_to_fork_is_expanded_where_it_is_less_deep():
    ends = {(name, 0): [("input", 0, 1.0)] for name in ("x", "path")}
    ends |= {("a", 0): [("x", 0, 1.0)], ("root", 0): [("path", 0, 5.0), ("a", 0, 4.0), ("x", 0, 1.0)]}
    graph, nodes = made([(name, "conv", 1) for name in ("path", "x", "a", "root")], ends)
    strand = trace(nodes, graph, "root", 0, breadth=3, depth=2)
    assert [[link.layer for link in part.links] for part in strand.strands] == [["path", "input"], ["a", "x"], ["x", "input"]]
    assert [part.again for part in strand.strands] == [False, True, False]


def test_dead_ends_are_tried_once():
    """Depth first without a memory, 4 ** 30 ways would be tried."""
    graph, nodes = dense_stack(depth=30, width=4)
    nodes["c0"] = Wires(layer="c0", inputs=[[]] * 4, outputs=[[]] * 4)
    assert len(all_links(trace(nodes, graph, "c29", 0, breadth=3, depth=6))) == 40


def test_a_dead_unit_is_gone_round():
    ends = {("a", 1): [("input", 1, 1.0)], ("b", 0): [("a", 0, 9.0), ("a", 1, 0.1)], ("c", 0): [("b", 0, 1.0)]}
    graph, nodes = made([("a", "conv", 2), ("b", "conv", 1), ("c", "conv", 1)], ends)
    strand = trace(nodes, graph, "c", 0, breadth=1, depth=3)
    assert sorted(bottom.links[-1].layer for bottom in bottoms(strand)) == ["a", "input"]
    ends[("a", 1)] = []
    graph, nodes = made([("a", "conv", 2), ("b", "conv", 1), ("c", "conv", 1)], ends)
    assert [link.layer for link in trace(nodes, graph, "c", 0, breadth=1, depth=3).links] == ["c", "b", "a"]
    assert [link.layer for link in trace(nodes, graph, "a", 0, breadth=1, depth=3).links] == ["a"]


@pytest.mark.parametrize("shortcut_first", [False, True])
def test_a_thousand_residual_blocks_stay_within_json(shortcut_first):
    ends = {("x0", 0): [("input", 0, 1.0)]}
    layers = [("x0", "conv", 1)]
    for i in range(1, 1001):
        layers += [(f"f{i}", "conv", 1), (f"x{i}", "add", 1)]
        both = [(f"f{i}", 0, 1.0), (f"x{i - 1}", 0, 1.0)]
        ends |= {(f"f{i}", 0): [(f"x{i - 1}", 0, 1.0)], (f"x{i}", 0): both[::-1] if shortcut_first else both}
    graph, nodes = made(layers, ends)
    strand = trace(nodes, graph, "x1000", 0, breadth=3, depth=1000)
    assert Strand.model_validate_json(strand.model_dump_json()) == strand
    links = all_links(strand)
    assert "input" in {link.layer for link in links}
    assert sum(not link.passes for link in links) == (
        22 if shortcut_first else 1002
    )  # 20 convolutions and what they read, shown already


@pytest.mark.parametrize(("layer", "unit", "breadth"), [("c9", 0, 1), ("c1", 4, 1), ("c1", -1, 1), ("c1", 0, 0)])
def test_what_does_not_exist_is_refused(layer, unit, breadth):
    graph, nodes = dense_stack(depth=2, width=4)
    with pytest.raises(ValueError, match=r"no unit|at least 1"):
        trace(nodes, graph, layer, unit, breadth, 3)
