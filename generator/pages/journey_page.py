"""One image's journey: every layer of one probe, from pixels to classes."""

from __future__ import annotations

from itertools import groupby

from generator.network.graph import Layer
from generator.pages import tiles, urls, wording
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.records import ColorTable, FeatureMaps, Picture, Predictions, ProbeInfo, ProbePictures, Record


class Unit(Record):
    """A tile of the strip, or a bar where the unit is one number. href: the unit on its layer's page, this probe chosen.

    name: the class it stands for, if any. share: the number over the largest of the layer's strongest, 0-1.
    """

    number: int
    name: str
    href: str
    value: float | None = None
    share: float = 0.0


class Step(Record):
    """One layer. side: of a map, relative to the journey's largest (0-1). deep: how many maps its glyph stacks (1-12)."""

    number: int
    layer: Link
    kind: str
    shape: str
    num_units: int
    side: float
    deep: int
    data: str
    signed: bool
    file: str
    columns: int
    tile_px: tuple[int, int]
    scale: float
    vector: bool
    units: tuple[Unit, ...]
    silent: int


class Stage(Record):
    """Layers in a row whose maps are of one size. field: what a position sees at the stage's end."""

    title: str
    channels: str
    field: tiles.FieldBox
    field_text: str
    steps: tuple[Step, ...]


class JourneyView(Record):
    """other_label: the image's label where the model says something else."""

    frame: Frame
    model: Link
    probe: ProbeInfo
    shown: Picture
    seen: tuple[str, ...]
    predictions: Predictions | None
    other_label: str
    stages: tuple[Stage, ...]
    num_steps: int
    previous: Link | None
    following: Link | None
    tables: tuple[ColorTable, ...]
    any_signed: bool
    any_unsigned: bool


def journey_pages(gallery: Gallery, model: Model) -> list[Page]:
    return [
        Page(path=model.places.probes[p.probe.name], template="journey.html.jinja", view=_view(gallery, model, place))
        for place, p in enumerate(model.content.probes)
    ]


def _view(gallery: Gallery, model: Model, place: int) -> JourneyView:
    pictures = model.content.probes[place]
    probe = pictures.probe
    page = model.places.probes[probe.name]
    found = [(model.graph.by_name[name], model.main_maps(name, probe.name)) for name in model.content.layers]
    walked = [(number, layer, maps) for number, (layer, maps) in enumerate(found, start=1) if maps]
    signed, unsigned = (any(maps.signed is kind for _, _, maps in walked) for kind in (True, False))
    largest = max((max(layer.spatial) for _, layer, _ in walked if layer.spatial), default=1)
    return JourneyView(
        frame=gallery.frame(
            page,
            f"{probe.title} through {model.info.title}",
            f"What each layer of {model.info.title} makes of one image: {probe.title}.",
            crumbs=(model.link(page),),
            picture=pictures.shown.file,
        ),
        model=model.link(page),
        probe=probe,
        shown=pictures.shown,
        seen=wording.preprocessing(pictures.preprocessing),
        predictions=model.content.predictions.get(probe.name),
        other_label=model.other_label(probe),
        stages=tuple(
            _stage(model, page, probe, largest, list(steps)) for _, steps in groupby(walked, key=lambda s: s[1].spatial)
        ),
        num_steps=len(walked),
        previous=_probe_link(model, page, place - 1),
        following=_probe_link(model, page, place + 1),
        tables=gallery.tables(signed=signed, unsigned=unsigned),
        any_signed=signed,
        any_unsigned=unsigned,
    )


def _probe_link(model: Model, page: str, place: int) -> Link | None:
    if not 0 <= place < len(model.content.probes):
        return None
    probe: ProbePictures = model.content.probes[place]
    return Link(text=probe.probe.title, href=urls.relative(page, model.places.probes[probe.probe.name]))


def _stage(model: Model, page: str, probe: ProbeInfo, largest: int, walked: list[tuple[int, Layer, FeatureMaps]]) -> Stage:
    last = walked[-1][1]
    counts = sorted({layer.num_units for _, layer, _ in walked})
    channels = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return Stage(
        title=f"{wording.size(last.spatial)} positions" if last.spatial else "One vector",
        channels=f"{channels} channels",
        field=tiles.field_box(last.receptive_field, last.spatial, model.graph.input_shape),
        field_text=wording.receptive_field(last.receptive_field),
        steps=tuple(_step(model, page, probe, largest, *step) for step in walked),
    )


def _step(model: Model, page: str, probe: ProbeInfo, largest: int, number: int, layer: Layer, maps: FeatureMaps) -> Step:
    place = model.places.layers[layer.name]
    href = f"{urls.relative(page, place)}?probe={urls.query(probe.name)}"
    strip = maps.strip
    return Step(
        number=number,
        layer=Link(text=layer.name, href=href),
        kind=wording.kind(layer),
        shape=wording.size(layer.shape),
        num_units=layer.num_units,
        side=round(max(layer.spatial or (0,)) / largest, 4),
        deep=max(1, min(12, layer.num_units.bit_length())),
        data=urls.relative(page, model.places.numbers[layer.name]),
        signed=maps.signed,
        file=tiles.safe_file(strip.file),
        columns=strip.columns,
        tile_px=strip.tile_px,
        scale=tiles.scale(strip.tile_px, 84),
        vector=maps.map_size == (1, 1),
        units=_units(maps, href, model.unit_names(layer.name)),
        silent=sum(state == "zero" for state in maps.statistics.state),
    )


def _units(maps: FeatureMaps, href: str, names: tuple[str, ...]) -> tuple[Unit, ...]:
    def made(unit: int, **number: float | None) -> Unit:
        return Unit(number=unit, name=names[unit] if names else "", href=f"{href}#u{unit}", **number)

    shown = maps.strongest[: maps.strip.count]
    if maps.map_size != (1, 1):
        return tuple(made(unit) for unit in shown)
    values = {unit: maps.statistics.maximum[unit] for unit in shown}
    high = max((abs(value) for value in values.values() if value), default=1.0)
    return tuple(made(unit, value=value, share=round(abs(value or 0) / high, 4)) for unit, value in values.items())
