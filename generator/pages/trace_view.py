"""A trace as pages show it: a tree of chips from a unit down to the pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from generator.network.graph import INPUT
from generator.pages import wording
from generator.pages.chips import UnitChip, chip, unit_text
from generator.pages.content import Link
from generator.pages.gallery import Model
from generator.pages.tracing import Link as Wired
from generator.pages.tracing import Strand, trace
from generator.records import Record

#: Inputs of each unit that are followed, how deep, and how many units are shown.
BREADTH, DEPTH, LIMIT = 3, 4, 24
#: What stands for a node where paths part.
SIGNS = {"add": "+", "gate": "×"}


class Bud(Record):
    """A unit and its wire to the one before. parts: its name, to be broken between them. sign: of a node that only joins paths.

    weight: of the wire, with what `via` it is carried on by; share: its first part's magnitude over that of the strongest wire
    of the unit it feeds, 0-1. channel: the image channel's name, if it is one.
    """

    chip: UnitChip
    parts: tuple[str, ...]
    sign: str
    channel: str
    weight: str
    negative: bool
    share: float
    via: tuple[Link, ...]


class Branch(Record):
    """Units in a row, and what the last of them is made of. again: that is shown elsewhere in the tree."""

    buds: tuple[Bud, ...]
    again: bool
    branches: tuple[Branch, ...]


class TraceView(Record):
    """root: the traced unit. stem: everything else; its first bud is the root's only input where it has but one branch."""

    root: UnitChip
    parts: tuple[str, ...]
    stem: Branch


def trace_view(
    model: Model, page: str, layer: str, unit: int, breadth: int = BREADTH, depth: int = DEPTH, limit: int = LIMIT
) -> TraceView | None:
    """What `unit` of `layer` is made of, for `page` (a path from the site's root); limits as `tracing.trace` has them.

    None for a unit that reads nothing known.
    """
    wires = model.content.wires.get(layer)
    if wires is None or not wires.inputs[unit]:
        return None
    root = chip(model, page, layer, unit)
    found = trace(model.content.wires, model.graph, layer, unit, breadth, depth, limit)
    return TraceView(root=root, parts=_parts(root.text), stem=_branch(model, page, found, None))


def _branch(model: Model, page: str, strand: Strand, fed: Wired | None) -> Branch:
    """fed: the unit that the strand's first one feeds; None for the root's strand, whose first unit is the root itself.

    Units that carry a single one on are no buds of their own; the weights along them multiply.
    """
    buds, passed = [], []
    links = strand.links if fed else strand.links[1:]
    fed = fed or strand.links[0]
    for place, link in enumerate(links):
        passed.append(link)
        if not link.passes or place == len(links) - 1:
            buds.append(_bud(model, page, passed, fed, joins=link.passes and bool(strand.strands)))
            fed, passed = link, []
    return Branch(
        buds=tuple(buds), again=strand.again, branches=tuple(_branch(model, page, s, strand.links[-1]) for s in strand.strands)
    )


def _bud(model: Model, page: str, links: Sequence[Wired], fed: Wired, *, joins: bool) -> Bud:
    *passed, end = links
    shown = chip(model, page, end.layer, end.unit)
    channel = shown.text.rpartition(" ")[2] if end.layer == INPUT else ""
    strongest = max(abs(wire.weight) for wire in model.content.wires[fed.layer].inputs[fed.unit])
    weight = 1.0
    for link in links:
        weight *= link.weight
    return Bud(
        chip=shown,
        parts=(channel,) if channel else _parts(shown.text),
        sign=SIGNS.get(model.graph.by_name[end.layer].kind, "•") if joins else "",
        channel=channel,
        weight=wording.number(weight),
        negative=weight < 0,
        share=round(abs(links[0].weight) / strongest, 3) if strongest else 0.0,
        via=tuple(
            Link(text=unit_text(model, p.layer, p.unit), href=model.unit_href(page, p.layer, p.unit) or "") for p in passed
        ),
    )


def _parts(text: str) -> tuple[str, ...]:
    """A name cut behind its slashes and dots: `blocks/3/conv · 7` as blocks/, 3/, conv · 7."""
    return tuple(re.findall(r"[^/.]*[/.]|[^/.]+$", text.replace(" · ", " ·\N{NO-BREAK SPACE}")))
