"""The architecture drawing: nothing missing, nothing on top of each other, every path from box to box."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from generator.network.graph import INPUT, Graph, Layer, ReceptiveField
from generator.pages.architecture import NARROW_PX, WIDE_PX, Architecture, Box, Drawing, draw, draw_at
from generator.pages.rendering import templates_folder

FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))


class Builder:
    """Writes graphs layer by layer; each call returns the new layer's name."""

    def __init__(self, side: int, channels: int = 3):
        self.input_shape = (side, side, channels)
        self.layers: list[Layer] = []
        self.shapes = {INPUT: self.input_shape}

    def __call__(self, name: str, kind: str, inputs: str | list[str], channels: int | None = None, stride: int = 1) -> str:
        inputs = [inputs] if isinstance(inputs, str) else inputs
        shape = self.shapes[inputs[0]]
        units = channels or (sum(self.shapes[i][-1] for i in inputs) if kind == "concat" else shape[-1])
        flat = kind in ("mean", "dense") or len(shape) == 1
        self.shapes[name] = (units,) if flat else (-(-shape[0] // stride), -(-shape[1] // stride), units)
        params = shape[-1] * units if kind in ("conv", "dense") else 9 * units if kind == "depthwise_conv" else 0
        self.layers.append(
            Layer(name=name, kind=kind, inputs=tuple(inputs), shape=self.shapes[name], num_params=params, receptive_field=FIELD)
        )
        return name

    def graph(self) -> Graph:
        return Graph(input_shape=self.input_shape, layers=tuple(self.layers), outputs=(self.layers[-1].name,))


def fashion() -> Graph:
    b = Builder(28, 1)
    x = INPUT
    for index, channels in enumerate((16, 32, 64)):
        x = b(f"conv{index + 1}", "conv", x, channels)
        x = b(f"max_pool_{index + 1}", "max_pool", x, stride=2)
    b("logits", "dense", b("mean_1", "mean", x), 10)
    return b.graph()


def lite0() -> Graph:
    """EfficientNet-Lite0: 16 inverted residual blocks (Tan and Le 2019)."""
    b = Builder(224)
    x, channels, number = b("stem", "conv", INPUT, 32, 2), 32, 0
    for factor, out, repeats, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 40, 2, 2),
        (6, 80, 3, 2),
        (6, 112, 3, 1),
        (6, 192, 4, 2),
        (6, 320, 1, 1),
    ):
        for repeat in range(repeats):
            before, name = x, f"blocks.{number}"
            if factor > 1:
                x = b(f"{name}.expand_conv", "conv", x, channels * factor)
            x = b(f"{name}.depthwise_conv", "depthwise_conv", x, stride=1 if repeat else stride)
            x = b(f"{name}.project_conv", "conv", x, out)
            if repeat:
                x = b(f"add_{number}", "add", [x, before])
            channels, number = out, number + 1
    x = b("head", "conv", x, 1280)
    b("fc", "dense", b("mean_1", "mean", x), 1000)
    return b.graph()


def inception(num_blocks: int = 6) -> Graph:
    b = Builder(96)
    x = b("conv_1", "conv", b("conv_0", "conv", INPUT, 32, 2), 64)
    for i in range(num_blocks):
        n = f"mixed_{i}"
        if i == num_blocks // 2:
            first = b(f"{n}.b1.conv", "conv", x, 96, 2)
            second = b(f"{n}.b2.conv_2", "conv", b(f"{n}.b2.conv_1", "conv", x, 96), 96, 2)
            x = b(f"{n}.concat", "concat", [first, second, b(f"{n}.pool", "max_pool", x, stride=2)])
            continue
        first = b(f"{n}.b1.conv", "conv", x, 64)
        second = b(f"{n}.b2.conv_2", "conv", b(f"{n}.b2.conv_1", "conv", x, 48), 64)
        third = x
        for j in range(3):
            third = b(f"{n}.b3.conv_{j}", "conv", third, 96)
        fourth = b(f"{n}.b4.conv", "conv", b(f"{n}.b4.pool", "avg_pool", x), 32)
        x = b(f"{n}.concat", "concat", [first, second, third, fourth])
    b("fc", "dense", b("mean_1", "mean", x), 1000)
    return b.graph()


def resnet() -> Graph:
    b = Builder(64)
    x = b("maxpool", "max_pool", b("conv1", "conv", INPUT, 64, 2), stride=2)
    for stage, out in enumerate((64, 128, 256)):
        for block in range(3):
            n, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = b(f"{n}.conv1", "conv", x, out, stride)
            y = b(f"{n}.conv2", "conv", y, out)
            shortcut = x if block else b(f"{n}.downsample.0", "conv", x, out, stride)
            x = b(f"add_{stage}{block}", "add", [y, shortcut])
    b("fc", "dense", b("mean_1", "mean", x), 10)
    return b.graph()


def densenet(num: int = 58) -> Graph:
    b = Builder(56)
    x = b("conv0", "conv", INPUT, 64)
    for i in range(num):
        n = f"denseblock{i // 16 + 1}.denselayer{i % 16 + 1}"
        if i and i % 16 == 0:
            x = b(f"transition{i // 16}.pool", "avg_pool", b(f"transition{i // 16}.conv", "conv", x, 128), stride=2)
        y = b(f"{n}.conv2", "conv", b(f"{n}.conv1", "conv", x, 128), 32)
        x = b(f"concat_{i}", "concat", [x, y])
    b("fc", "dense", b("mean_1", "mean", x), 10)
    return b.graph()


def nasnet() -> Graph:
    """Each cell reads the two before it, so that there is never a place where only one value goes on."""
    b = Builder(32)
    before = last = b("stem", "conv", INPUT, 32)
    for i in range(8):
        branches = [b(f"cell_{i}.sep_{j}", "depthwise_conv", (before, last)[j % 2]) for j in range(5)]
        sums = [b(f"cell_{i}.add_{j}", "add", [branches[j], branches[j + 1]]) for j in range(4)]
        before, last = last, b(f"cell_{i}.concat", "concat", sums)
    b("fc", "dense", b("mean_1", "mean", last), 10)
    return b.graph()


def squeeze() -> Graph:
    """Squeeze and excitation: a vector that gates a map must not leave the map's stage."""
    b = Builder(32)
    x = b("stem", "conv", INPUT, 16)
    for i in range(3):
        vector = b(f"se{i}.up", "dense", b(f"se{i}.down", "dense", b(f"mean_{i}", "mean", x), 4), 16)
        x = b(f"gate_{i}", "gate", [x, vector])
    return b.graph()


def unet() -> Graph:
    b = Builder(64)
    x, skips = INPUT, []
    for i in range(3):
        x = b(f"down{i}.b", "conv", b(f"down{i}.a", "conv", x, 16 << i), 16 << i)
        skips.append(x)
        x = b(f"pool_{i}", "max_pool", x, stride=2)
    for i, skip in reversed(list(enumerate(skips))):
        x = b(f"up{i}.t", "conv", x, 16 << i)
        h, w, c = b.shapes[x]
        b.shapes[x] = (h * 2, w * 2, c)
        b.layers[-1] = b.layers[-1].model_copy(update={"shape": b.shapes[x]})
        x = b(f"up{i}.a", "conv", b(f"concat_{i}", "concat", [x, skip]), 16 << i)
    return b.graph()


GRAPHS: dict[str, Callable[[], Graph]] = {
    g.__name__: g for g in (fashion, lite0, inception, resnet, densenet, nasnet, squeeze, unet)
}


def page(layer: Layer) -> str | None:
    return f"{layer.name}.html" if layer.has_kernel else None


def overlaps(a: Box, b: Box) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def points(data: str) -> list[tuple[float, float]]:
    """Every point a path's data name, in order."""
    found: list[tuple[float, float]] = []
    for command, rest in re.findall(r"([MLQCH])([^MLQCH]*)", data):
        numbers = [float(n) for n in re.split(r"[ ,]+", rest.strip())]
        found += [(numbers[0], found[-1][1])] if command == "H" else list(zip(numbers[::2], numbers[1::2], strict=True))
    return found


def touches(box: Box, point: tuple[float, float], side: str) -> bool:
    x, y = point
    sideways = abs(x - (box.x + box.width if side == "out" else box.x)) < 0.2 and box.y < y < box.y + box.height
    above = box.x < x < box.x + box.width and -0.2 < y - box.y < 2
    return sideways or above


def check(graph: Graph, drawing: Drawing) -> None:
    boxes = {box.name: box for box in drawing.boxes}
    assert set(boxes) == {INPUT, *graph.by_name}
    assert len(drawing.boxes) == len(boxes)
    assert not [(a.name, b.name) for a, b in combinations(drawing.boxes, 2) if overlaps(a, b)]
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.y >= 0
        assert box.y + box.height <= drawing.height
    expected = {(name, layer.name) for layer in graph.layers for name in layer.inputs}
    assert {(path.source, path.target) for path in drawing.paths} == expected
    for path in drawing.paths:
        line = points(path.data)
        assert touches(boxes[path.source], line[0], "out"), path
        assert touches(boxes[path.target], line[-1], "in"), path
        assert all(-0.1 <= x <= drawing.width and -0.1 <= y <= drawing.height for x, y in line), path
        if path.route == "direct":
            assert not [b.name for b in drawing.boxes if b.name not in (path.source, path.target) and crosses(b, line)], path


def crosses(box: Box, line: list[tuple[float, float]]) -> bool:
    """Whether a straight part of a path passes through a box."""
    return any(
        y0 == y1 and box.y < y0 < box.y + box.height and x0 < box.x + box.width and box.x < x1
        for (x0, y0), (x1, y1) in pairwise(line)
    )


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("width", [WIDE_PX, NARROW_PX])
def test_known_shapes_of_networks(name, width):
    graph = GRAPHS[name]()
    check(graph, draw_at(graph, page, width))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_graph(data):
    b = Builder(32)
    names = [INPUT]
    for i in range(data.draw(st.integers(1, 25))):
        maps = [n for n in names if len(b.shapes[n]) == 3] if data.draw(st.booleans()) else names
        inputs = data.draw(st.lists(st.sampled_from(maps[-6:]), min_size=1, max_size=3, unique=True))
        kind = data.draw(st.sampled_from(["conv", "max_pool", "mean", "dense", "sort", "add", "concat", "gate"]))
        prefix = data.draw(st.sampled_from(["", "a.", "a.b.", "c/"]))
        names.append(b(f"{prefix}n{i}", kind, inputs, data.draw(st.integers(1, 9)), data.draw(st.integers(1, 2))))
    check(b.graph(), draw_at(b.graph(), page, data.draw(st.sampled_from([NARROW_PX, WIDE_PX]))))


def test_drawing_twice_gives_the_same():
    assert draw(inception(), page) == draw(inception(), page)


def test_a_residual_block_stays_in_one_row_with_a_bridge_over_it():
    drawing = draw_at(lite0(), page, WIDE_PX)
    boxes = {box.name: box for box in drawing.boxes}
    middle = {name: box.y + box.height / 2 for name, box in boxes.items()}
    inner = ["blocks.6.expand_conv", "blocks.6.depthwise_conv", "blocks.6.project_conv", "add_6"]
    assert len({middle[name] for name in inner}) == 1
    assert [boxes[name].x for name in inner] == sorted(boxes[name].x for name in inner)
    assert {path.route for path in drawing.paths if path.target == "add_7"} == {"direct", "bridge"}
    assert [band.label for band in drawing.bands if band.label] == [
        "224 × 224",
        "112 × 112",
        "56 × 56",
        "28 × 28",
        "14 × 14",
        "7 × 7",
        "vectors",
    ]


@pytest.mark.parametrize("width", [NARROW_PX, 500, 640, 780, WIDE_PX])
def test_no_row_ends_within_a_residual_block_that_fits(width):
    """Names without parents, so that only the connections hold a block together."""
    b = Builder(32)
    x = b("stem", "conv", INPUT, 8)
    for i in range(12):
        x = b(f"add{i}", "add", [b(f"b{i}", "conv", b(f"a{i}", "conv", x, 8), 8), x])
    middle = {box.name: box.y + box.height / 2 for box in draw_at(b.graph(), page, width).boxes}
    assert all(middle[f"a{i}"] == middle[f"b{i}"] == middle[f"add{i}"] for i in range(12))


def test_vectors_that_gate_a_map_stay_in_its_band():
    assert [band.label for band in draw_at(squeeze(), page, 4000).bands] == ["32 × 32"]


def test_boxes_say_what_they_are_and_lead_to_their_pages():
    boxes = {box.name: box for box in draw_at(lite0(), page, WIDE_PX).boxes}
    assert boxes["stem"].title == "stem: convolution, 112 × 112 × 32, 96 parameters"
    assert boxes["stem"].href == "stem.html"
    assert boxes["add_7"].href is None
    assert boxes["add_7"].small
    assert boxes["head"].bar == 1
    assert boxes["stem"].bar < boxes["blocks.5.expand_conv"].bar
    assert boxes["stem"].height > boxes["head"].height > boxes["fc"].height


def markup(architecture: Architecture) -> str:
    loader = FileSystemLoader(templates_folder())
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("partials/architecture.svg.jinja").render(architecture=architecture)


def test_names_are_escaped_and_kinds_are_classes():
    b = Builder(8)
    b('<script>"&', "reduce_window<x> y", INPUT)
    html = markup(draw(b.graph(), lambda layer: f"{layer.name}.html"))
    assert "<script" not in html
    assert "kind-reduce_window_x__y" in html
    assert 'href="&lt;script&gt;&#34;&amp;.html"' in html
    assert html.count("<title>") == 2 * 2
    assert 'aria-label="Architecture: 1 layers' in html
