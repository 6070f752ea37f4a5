"""What a page shows of a trace: every unit with its wire, what carries it on, and where paths part."""

from __future__ import annotations

from small_gallery import small_gallery

from generator.network.graph import Graph, Layer, ReceptiveField
from generator.pages.gallery import Gallery, Model
from generator.pages.trace_view import trace_view
from generator.records import Wire, Wires

FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(-1, -1))


def first_model(wires: dict[str, Wires]) -> Model:
    content, _ = small_gallery()
    return Gallery(content.model_copy(update={"models": (content.models[0].model_copy(update={"wires": wires}),)})).models[0]


def test_a_trace_shows_each_wire_with_what_carries_it_on():
    """head reads sum; sum = project + stem; project reads depthwise of stem; stem reads red and blue."""
    kinds = {
        "block/stem": ("conv", ("input",)),
        "depthwise": ("depthwise_conv", ("block/stem",)),
        "project": ("conv", ("depthwise",)),
        "sum": ("add", ("project", "block/stem")),
        "head": ("dense", ("sum",)),
    }
    net = tuple(
        Layer(name=name, kind=kind, inputs=inputs, shape=(8, 8, 4), receptive_field=FIELD)
        for name, (kind, inputs) in kinds.items()
    )

    def wires(name: str, inputs: list[list[Wire]]) -> Wires:
        return Wires(layer=name, inputs=inputs, outputs=[[]] * 4)

    def wire(name: str, channel: int, weight: float) -> Wire:
        return Wire(layer=name, channel=channel, weight=weight)

    planted = {
        "block/stem": wires("block/stem", [[wire("input", 2, -4.0), wire("input", 0, 1.0)]] * 4),
        "depthwise": wires("depthwise", [[wire("block/stem", unit, -0.5)] for unit in range(4)]),
        "project": wires("project", [[wire("depthwise", 3, 2.0)]] * 4),
        "sum": wires("sum", [[wire("project", unit, 1.0), wire("block/stem", unit, 1.0)] for unit in range(4)]),
        "head": wires("head", [[wire("sum", 1, 3.0)]] * 4),
    }
    model = first_model(planted)
    model.graph = Graph(input_shape=(64, 64, 3), layers=net, outputs=("head",))
    view = trace_view(model, "m/tiny/hierarchy.html", "head", 2)
    assert view.root.text == "head · 2"
    (joint,) = view.stem.buds
    assert (joint.sign, joint.weight, joint.negative, joint.share) == ("+", "3", False, 1.0)
    through, shortcut = view.stem.branches
    assert [(b.chip.layer, b.chip.unit, b.weight, b.negative) for b in through.buds] == [
        ("project", 1, "1", False),
        ("block/stem", 3, "\N{MINUS SIGN}1", True),
    ]
    assert [[link.text for link in b.via] for b in through.buds] == [[], ["depthwise · 3"]]
    assert through.buds[1].parts == ("block/", "stem ·\N{NO-BREAK SPACE}3")
    assert [(b.chip.layer, b.chip.unit) for b in shortcut.buds] == [("block/stem", 1)]
    for branch in (through, shortcut):
        ends = [end for b in branch.branches for end in b.buds]
        assert [(end.channel, end.weight, end.share) for end in ends] == [("blue", "\N{MINUS SIGN}4", 1.0), ("red", "1", 0.25)]
    assert trace_view(first_model({}), "m/tiny/hierarchy.html", "head", 2) is None
