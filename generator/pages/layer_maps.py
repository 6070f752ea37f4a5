"""The maps of a layer's page: every unit on every image, coloured and scaled by the reader's choice."""

from __future__ import annotations

from generator.network.graph import Layer
from generator.pages import tiles, urls, wording
from generator.pages.gallery import Model
from generator.records import FeatureMaps, Picture, Record

#: What tiles without a picture say.
STATES = {"zero": "zero", "constant": "constant", "nan": "not a number", "infinite": "infinite"}


class ProbeChoice(Record):
    """name: also what `?probe=` in the page's address says."""

    name: str
    title: str
    href: str
    thumbnail: Picture
    photo: str


class Setting(Record):
    """The maps of one probe and value. files: one for each block. shared_high: the upper end of the layer's shared scale.

    states: unit numbers by state, `ok` left out.
    """

    probe: int
    value: int
    signed: bool
    tile_files: tuple[str, ...]
    shared_high: str
    states: tuple[tuple[str, tuple[int, ...]], ...]


class MapsSection(Record):
    """vector: one number a unit, which is on the shared scale from the start. field: what the middle position sees.

    first_states: by unit, in words, on the image the page opens with. scales: small, medium, large. phone_scale: medium where
    three tiles share a row. photo: the first image; all are as large.
    """

    num_units: int
    map_size: tuple[int, int]
    vector: bool
    tile_px: tuple[int, int]
    scales: tuple[float, float, float]
    phone_scale: float
    blocks: tuple[tiles.Block, ...]
    probes: tuple[ProbeChoice, ...]
    photo: Picture | None
    values: tuple[str, ...]
    settings: tuple[Setting, ...]
    first_states: dict[int, str]
    any_signed: bool
    any_unsigned: bool
    field: tiles.FieldBox
    field_text: str


def maps_section(model: Model, layer: Layer, page: str) -> MapsSection | None:
    every = model.maps_by_layer.get(layer.name)
    if not every:
        return None
    first = every[0]
    values = tuple(v for v in ("activation", "pre_activation") if any(m.value == v for m in every))
    pictures = {p.probe.name: p for p in model.content.probes}
    names = [name for name in pictures if any(m.probe == name for m in every)]
    layout = [tiles.blocks(m.tile_sheets) for m in every]
    if any(blocks != layout[0] for blocks in layout):
        raise ValueError(f"{layer.name}: sheets of the same layer differ in their layout")
    tile_px = first.tile_sheets[0].tile_px
    settings = tuple(_setting(m, names.index(m.probe), values.index(m.value)) for m in every)
    opening = min(settings, key=lambda s: (s.probe, s.value))
    return MapsSection(
        num_units=first.num_units,
        map_size=first.map_size,
        vector=first.map_size == (1, 1),
        tile_px=tile_px,
        scales=tiles.scales(tile_px, _target_px(first)),
        phone_scale=tiles.scale(tile_px, 40 if first.map_size == (1, 1) else 112),
        blocks=layout[0],
        probes=tuple(
            ProbeChoice(
                name=name,
                title=pictures[name].probe.title,
                href=urls.relative(page, model.places.probes[name]),
                thumbnail=pictures[name].thumbnail,
                photo=tiles.safe_file(pictures[name].shown.file),
            )
            for name in names
        ),
        photo=model.first_probe.shown if model.first_probe else None,
        values=values,
        settings=settings,
        first_states={unit: STATES[state] for state, units in opening.states for unit in units},
        any_signed=any(m.signed for m in every),
        any_unsigned=any(not m.signed for m in every),
        field=tiles.field_box(layer.receptive_field, layer.spatial, model.graph.input_shape),
        field_text=wording.receptive_field(layer.receptive_field),
    )


def _target_px(maps: FeatureMaps) -> float:
    """How large a map is drawn at first: the more units, the smaller."""
    if maps.map_size == (1, 1):
        return 40
    return 112 if maps.num_units <= 192 else 84


def _setting(maps: FeatureMaps, probe: int, value: int) -> Setting:
    units: dict[str, list[int]] = {}
    for unit, state in enumerate(maps.statistics.state):
        if state != "ok":
            units.setdefault(state, []).append(unit)
    return Setting(
        probe=probe,
        value=value,
        signed=maps.signed,
        tile_files=tuple(tiles.safe_file(s.file) for s in maps.tile_sheets),
        shared_high=wording.number(maps.shared_bounds[1]),
        states=tuple((state, tuple(found)) for state, found in sorted(units.items())),
    )
