"""A layer on the page of health: its units at fault, those that say the same, opposites and noisy filters, with pictures."""

from __future__ import annotations

from itertools import groupby

from generator.pages import health_words, wording
from generator.pages.chips import UnitChip, chip, filter_cell
from generator.pages.class_parts import percent
from generator.pages.content import Link
from generator.pages.gallery import Model
from generator.records import LayerHealth, Record, UnitFault

#: Of one layer at most so many units of a kind of fault, clusters, twins of each, opposite pairs, noisy filters.
SHOWN_FAULTS, SHOWN_CLUSTERS, SHOWN_TWINS, SHOWN_PAIRS, SHOWN_NOISY = 24, 12, 6, 12, 24


class LayerLine(Record):
    """A row of the table. anchor: its id, empty where a section has it; details: the way to that section, or empty.

    dead (with broken ones), redundant: shares of all units. counts: dead, broken, rare, redundant, opposite pairs, noisy
    filters. rank_share: of the number of units.
    """

    link: Link
    anchor: str
    details: str
    num_units: int
    counts: tuple[int, ...]
    dead: float
    redundant: float
    rank: str
    rank_share: float | None


class NotedUnit(Record):
    """note: the number it was judged by."""

    chip: UnitChip
    note: str


class Noted(Record):
    """Units of one kind. more: how many are left out."""

    kind: str
    units: tuple[NotedUnit, ...]
    more: int


class Alike(Record):
    """A unit and those that say what it says. more: twins left out."""

    kept: UnitChip
    others: tuple[NotedUnit, ...]
    more: int


class Pair(Record):
    first: UnitChip
    second: UnitChip
    kernel: str


class LayerSection(Record):
    """more_clusters, more_pairs: how many are left out."""

    anchor: str
    link: Link
    words: str
    faults: tuple[Noted, ...]
    clusters: tuple[Alike, ...]
    more_clusters: int
    pairs: tuple[Pair, ...]
    more_pairs: int
    noisy: Noted | None


def layer_line(model: Model, page: str, found: LayerHealth) -> LayerLine:
    counts = health_words.counts(found)
    anchor, units = model.health_anchor(found.layer), max(1, found.num_units)
    return LayerLine(
        link=model.layer_link(page, found.layer) or Link(text=found.layer, href=""),
        anchor="" if remarkable(found) else anchor,
        details=f"#{anchor}" if remarkable(found) else "",
        num_units=found.num_units,
        counts=(*counts.values(), len(found.opposites), len(found.noisy)),
        dead=(counts["dead"] + counts["broken"]) / units,
        redundant=counts["redundant"] / units,
        rank="none" if found.rank is None else wording.number(found.rank),
        rank_share=None if found.rank is None else found.rank / units,
    )


def remarkable(found: LayerHealth) -> bool:
    """Whether there is something to show of a layer."""
    return bool(found.faults or found.clusters or found.opposites or found.noisy)


def layer_section(model: Model, page: str, found: LayerHealth) -> LayerSection:
    layer = found.layer
    by_kind = groupby(sorted(found.faults, key=lambda fault: (fault.kind, fault.unit)), key=lambda fault: fault.kind)
    return LayerSection(
        anchor=model.health_anchor(layer),
        link=model.layer_link(page, layer) or Link(text=layer, href=""),
        words=health_words.layer_sentence(found) or f"Nothing is wrong with its {wording.plural(found.num_units, 'unit')}.",
        faults=tuple(_faulty(model, page, layer, kind, list(faults)) for kind, faults in by_kind),
        clusters=tuple(
            Alike(
                kept=_chip(model, page, layer, cluster.kept),
                others=tuple(
                    NotedUnit(chip=_chip(model, page, layer, twin.unit), note=health_words.likeness(twin))
                    for twin in cluster.others[:SHOWN_TWINS]
                ),
                more=max(0, len(cluster.others) - SHOWN_TWINS),
            )
            for cluster in found.clusters[:SHOWN_CLUSTERS]
        ),
        more_clusters=max(0, len(found.clusters) - SHOWN_CLUSTERS),
        pairs=tuple(
            Pair(
                first=_kernel(model, page, layer, pair.first),
                second=_kernel(model, page, layer, pair.second),
                kernel=health_words.decimals(pair.kernel),
            )
            for pair in found.opposites[:SHOWN_PAIRS]
        ),
        more_pairs=max(0, len(found.opposites) - SHOWN_PAIRS),
        noisy=_noisy(model, page, found) if found.noisy else None,
    )


def _chip(model: Model, page: str, layer: str, unit: int) -> UnitChip:
    """By its number alone, as it stands below its layer's name."""
    found = chip(model, page, layer, unit)
    return found if model.unit_names(layer) else found.model_copy(update={"text": f"unit {unit}"})


def _faulty(model: Model, page: str, layer: str, kind: str, faults: list[UnitFault]) -> Noted:
    shown = faults[:SHOWN_FAULTS]
    return Noted(
        kind=health_words.NAMES.get(kind, kind).capitalize(),
        units=tuple(NotedUnit(chip=_chip(model, page, layer, f.unit), note=health_words.fault_note(f)) for f in shown),
        more=len(faults) - len(shown),
    )


def _noisy(model: Model, page: str, found: LayerHealth) -> Noted:
    shown = found.noisy[:SHOWN_NOISY]
    grain = [percent(found.noise[unit]) if found.noise else "" for unit in shown]
    kernels = [_kernel(model, page, found.layer, unit) for unit in shown]
    return Noted(
        kind="noisy",
        units=tuple(NotedUnit(chip=kernel, note=note) for kernel, note in zip(kernels, grain, strict=True)),
        more=len(found.noisy) - len(shown),
    )


def _kernel(model: Model, page: str, layer: str, unit: int) -> UnitChip:
    """The unit with its kernel for a picture where it can be shown, since that is what was judged."""
    found = _chip(model, page, layer, unit)
    return found.model_copy(update={"cell": filter_cell(model, layer, unit) or found.cell})
