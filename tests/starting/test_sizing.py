"""A first build takes minutes, whatever the network."""

from __future__ import annotations

import pytest

from generator.network.graph import Graph, Layer, ReceptiveField
from generator.starting.sizing import VISUALISING_S, seconds, sized

FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))


def graph(num_layers: int, gflops: float, num_units: int = 256, size_px: int = 224) -> Graph:
    layers = [
        Layer(name=f"l{n}", kind="conv", inputs=(f"l{n - 1}" if n else "input",), shape=(8, 8, num_units),
              receptive_field=FIELD, flops=round(gflops * 1e9 / num_layers))
        for n in range(num_layers)
    ]  # fmt: skip
    return Graph(input_shape=(size_px, size_px, 3), layers=tuple(layers), outputs=(layers[-1].name,))


@pytest.mark.parametrize(("num_layers", "gflops"), [(5, 0.01), (64, 0.8), (64, 4), (64, 8), (16, 31), (64, 31)])
def test_optimised_images_take_minutes(num_layers, gflops):
    network = graph(num_layers, gflops)
    size = sized(network, network.layers, network.layers[-5:])
    chosen = network.layers if size.layers == "all" else network.layers[-5:]
    assert size.minutes == pytest.approx(seconds(network, chosen, size.top, size.preset) / 60)
    assert size.minutes <= VISUALISING_S / 60 or (size.layers, size.top, size.preset) == ("stages", 1, "draft")
    assert size.minutes < 20


def test_more_of_a_small_network_than_of_a_large_one():
    small, large = (sized(g, g.layers, g.layers[-5:]) for g in (graph(5, 0.01), graph(64, 8)))
    assert (small.layers, small.preset, small.top, small.trying) == ("all", "standard", 24, True)
    assert (large.layers, large.preset, large.trying) == ("stages", "draft", False)
    assert small.limit == 10_000 > large.limit >= 64


def test_cost_follows_depth_and_steps():
    network = graph(2, 1, num_units=4)
    first, last = (seconds(network, [layer], 3, "standard") for layer in network.layers)
    assert last > 1.5 * first
    assert seconds(network, network.layers, 3, "standard") == pytest.approx(first + last)
    assert seconds(network, network.layers, 9, "standard") == seconds(network, network.layers, 4, "standard")  # 4 units each
    assert seconds(network, network.layers, 3, "draft") < first + last
