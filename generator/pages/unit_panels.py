"""The parts of a unit's page, each worked out from one record."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p

from generator.pages import tiles, urls, wording
from generator.pages.chips import UnitChip, chip
from generator.pages.gallery import Model
from generator.pages.visualised import described, is_smooth
from generator.records import Exemplar, Exemplars, Record, Responses, Wire

#: Strongest inputs and outputs, and classes, that a page names; more are in the layer's numbers.
SHOWN_WIRES, SHOWN_CLASSES = 8, 8
#: Sides of a histogram's drawing area.
WIDTH, HEIGHT = 320, 96


class VisPanel(Record):
    """reached, lowest, start: the objective on the positive and negative image and where the climb began, in digits.

    cells are None and empty where no image was found. px: a side of an image; smooth: see `visualised`.
    """

    positive: tiles.Cell | None
    negative: tiles.Cell | None
    diverse: tuple[tiles.Cell, ...]
    reached: str
    lowest: str
    start: str
    px: int
    smooth: bool
    how: tuple[str, ...]


class Patch(Record):
    """One exemplar. href: of its whole image; text: its title. note: for the spread, the quantile it stands for."""

    cell: tiles.Cell
    href: str
    text: str
    label: str
    value: str
    note: str = ""


class ExemplarPanel(Record):
    dataset: str
    num_images: int
    look: str
    highest: tuple[Patch, ...]
    spread: tuple[Patch, ...]
    lowest: tuple[Patch, ...]


class Histogram(Record):
    """path: bars in a drawing of `WIDTH` by `HEIGHT`; heights grow with the logarithm of the count.

    zero: where 0 stands, mean: where the mean does, if inside. bins: their number and width. counts: images in each.
    """

    path: str
    bins: str
    counts: tuple[int, ...]
    low: str
    high: str
    zero: float | None
    mean: float | None
    label: str
    facts: tuple[tuple[str, str], ...]


class MapTile(Record):
    """The unit on one image. cell: None where `state` says why there is no picture, or for one number, whose share is drawn.

    share: of the largest magnitude on any of the images, with its sign; 0 for maps.
    """

    title: str
    href: str
    photo: str
    cell: tiles.Cell | None
    state: str
    maximum: str
    share: float


class WireRow(Record):
    """share: the weight over the largest magnitude in the list, -1 ... 1."""

    chip: UnitChip
    weight: str
    share: float


class ClassRow(Record):
    name: str
    value: str
    share: float


class TuningPanel(Record):
    """Shares 0-1; None where the unit answers to no stimulus, or the model sees grey."""

    orientation: float | None
    angle_deg: float | None
    colour: float | None
    hue_deg: float | None


def vis_panel(model: Model, layer: str, unit: int) -> VisPanel | None:
    place = model.visualised(layer).get(unit)
    if place is None:
        return None
    found = model.content.feature_vis[layer]
    one, smooth = found.units[place], is_smooth(found)
    ok = one.state == "ok"

    def more(at: int) -> tiles.Cell:
        return tiles.cell(found.more_sheets, at, smooth=smooth)

    return VisPanel(
        positive=tiles.cell(found.sheets, place, smooth=smooth) if ok else None,
        negative=more(one.negative) if ok and one.negative is not None else None,
        diverse=tuple(more(at) for at in one.diverse) if ok else (),
        reached=wording.number(one.reached),
        lowest=wording.number(one.lowest),
        start=wording.number(one.start),
        px=found.sheets[0].tile_px[0],
        smooth=smooth,
        how=described(found.setup),
    )


def exemplar_panel(model: Model, page: str, layer: str, unit: int) -> ExemplarPanel | None:
    exemplars, images = model.content.exemplars.get(layer), model.content.images
    found = model.exemplars_of(layer).get(unit)
    if not exemplars or not images or not found:
        return None
    cut = [len(found.highest), len(found.highest) + len(found.lowest)]
    notes = [f"{100 * q:.3g} %" for q in exemplars.quantiles]

    def patches(some: Sequence[Exemplar], first: int, notes: Sequence[str] = ()) -> tuple[Patch, ...]:
        return tuple(
            _patch(model, page, exemplars, one, found.first + first + i, notes[i] if i < len(notes) else "")
            for i, one in enumerate(some)
        )

    return ExemplarPanel(
        dataset=images.dataset.title,
        num_images=exemplars.num_images,
        look=exemplars.look,
        highest=patches(found.highest, 0),
        lowest=patches(found.lowest, cut[0]),
        spread=patches(found.spread, cut[1], notes),
    )


def _patch(model: Model, page: str, exemplars: Exemplars, one: Exemplar, tile: int, note: str) -> Patch:
    image = model.dataset_images[one.image]
    smooth = exemplars.sheets[0].tile_px[0] >= tiles.SMOOTH_FROM_PX
    return Patch(
        cell=tiles.cell(exemplars.sheets, tile, smooth=smooth),
        href=model.image_href(page, one.image),
        text=image.title,
        label=image.label or "",
        value=wording.number(one.value),
        note=note,
    )


def histogram(responses: Responses, unit: int) -> Histogram:
    counts, edges = responses.counts[unit], responses.edges
    low, high = edges[0], edges[-1]
    tallest = log1p(max(counts, default=0)) or 1.0

    def x(value: float) -> float:
        return round(WIDTH * (value - low) / (high - low), 1) if high > low else 0.0

    bars = (
        f"M{x(a):g} {HEIGHT}v-{HEIGHT * log1p(count) / tallest:.0f}H{max(x(b) - 1, x(a) + 0.5):g}V{HEIGHT}"
        for a, b, count in zip(edges, edges[1:], counts, strict=False)
        if count
    )
    mean = responses.mean[unit]
    numbers = (responses.minimum[unit], mean, responses.maximum[unit])
    return Histogram(
        path="".join(bars),
        bins=f"{len(counts)} bins of {wording.number((high - low) / max(1, len(counts)))} from {wording.number(low)}",
        counts=tuple(counts),
        low=wording.number(low),
        high=wording.number(high),
        zero=x(0.0) if low < 0 < high else None,
        mean=x(mean) if mean is not None and low <= mean <= high else None,
        label="Histogram of the largest answer to each of {} images: smallest {}, mean {}, largest {}".format(
            f"{responses.num_images:,}", *(wording.number(n) for n in numbers)
        ),
        facts=(
            *zip(("Smallest", "Mean", "Largest"), (wording.number(n) for n in numbers), strict=True),
            ("Spread (standard deviation)", wording.number(responses.std[unit])),
            ("Positions that answer", f"{100 * responses.active[unit]:.3g} %"),
        ),
    )


def class_rows(model: Model, responses: Responses, layer: str, unit: int) -> tuple[ClassRow, ...]:
    """Classes whose images the unit answers to most, by its mean; none for an output, which is a class itself."""
    labels = model.content.images.dataset.labels if model.content.images else None
    if not responses.class_means or not labels or model.unit_names(layer):
        return ()
    known = [(mean, label) for mean, label in zip(responses.class_means[unit], labels, strict=True) if mean is not None]
    best = sorted(known, key=lambda pair: -pair[0])[:SHOWN_CLASSES]
    high = max((abs(mean) for mean, _ in best), default=0.0) or 1.0
    return tuple(
        ClassRow(name=label, value=wording.number(mean), share=round(max(mean, 0.0) / high, 3)) for mean, label in best
    )


def map_tiles(model: Model, page: str, layer: str, unit: int) -> tuple[MapTile, ...]:
    found = [(p, m) for p in model.content.probes if (m := model.main_maps(layer, p.probe.name))]
    values = [m.statistics.maximum[unit] or 0.0 for _, m in found]
    high = max(map(abs, values), default=0.0) or 1.0
    return tuple(
        MapTile(
            title=probe.probe.title,
            href=urls.relative(page, model.places.probes[probe.probe.name]),
            photo=tiles.safe_file(probe.thumbnail.file),
            cell=_map_cell(maps, unit),
            state=maps.statistics.state[unit],
            maximum=wording.number(maps.statistics.maximum[unit]),
            share=round(value / high, 3) if maps.map_size == (1, 1) else 0.0,
        )
        for (probe, maps), value in zip(found, values, strict=True)
    )


def _map_cell(maps, unit: int) -> tiles.Cell | None:
    if maps.map_size == (1, 1) or maps.statistics.state[unit] != "ok":
        return None
    return tiles.cell(maps.tile_sheets, unit, tiles.map_colours(maps.signed))


def wire_rows(model: Model, page: str, wires: Sequence[Wire]) -> tuple[WireRow, ...]:
    shown = wires[:SHOWN_WIRES]
    high = max((abs(w.weight) for w in shown), default=0.0) or 1.0
    return tuple(
        WireRow(
            chip=chip(model, page, w.layer, w.channel),
            weight=("+" if w.weight > 0 else "") + wording.number(w.weight),
            share=round(w.weight / high, 3),
        )
        for w in shown
    )


def tuning_panel(model: Model, layer: str, unit: int) -> TuningPanel | None:
    """None without measurements, and for a unit that answers to none of the stimuli."""
    tuning = model.content.tuning.get(layer)
    if not tuning:
        return None
    panel = TuningPanel(
        orientation=tuning.orientation[unit],
        angle_deg=tuning.angle_deg[unit],
        colour=tuning.colour[unit] if tuning.colour else None,
        hue_deg=tuning.hue_deg[unit] if tuning.hue_deg else None,
    )
    return panel if panel.orientation is not None or panel.colour is not None else None
