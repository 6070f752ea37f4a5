"""Feature visualisations of a layer: how they were made in words, and the grid that opens its page."""

from __future__ import annotations

from generator.pages import tiles, wording
from generator.pages.gallery import Model
from generator.records import FeatureVis, FeatureVisSetup, Record

OBJECTIVES = {
    "channel": "the mean of the unit’s whole map",
    "neuron": "the middle position of the unit’s map",
    "unit": "the unit’s number",
}
PARAMETERISATIONS = {
    "fourier": "made of waves of all lengths with decorrelated colours (Fourier basis)",
    "pixels": "made of plain pixels",
    "maco": "of natural images’ spectrum, by its phases alone (MACO)",
}


class VisSection(Record):
    """places: sheet, column and row of each image by unit, rising; num_units: of the layer, of which others have none.

    unexcited: units that no image was found for. px: side of an image. sizes_px: small, medium, large sides of a tile.
    """

    num_units: int
    files: tuple[str, ...]
    columns: tuple[int, ...]
    places: dict[int, tuple[int, int, int]]
    unexcited: tuple[int, ...]
    px: int
    sizes_px: tuple[int, int, int]
    phone_px: int
    smooth: bool
    how: tuple[str, ...]

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(sorted((*self.places, *self.unexcited)))


def vis_section(model: Model, layer: str) -> VisSection | None:
    found = model.content.feature_vis.get(layer)
    if not found or not found.units:
        return None
    px = found.sheets[0].tile_px[0]
    return VisSection(
        num_units=model.graph.by_name[layer].num_units,
        files=tuple(tiles.safe_file(s.file) for s in found.sheets),
        columns=tuple(s.columns for s in found.sheets),
        places={u.unit: tiles.place(found.sheets, i) for i, u in enumerate(found.units) if u.state == "ok"},
        unexcited=tuple(u.unit for u in found.units if u.state != "ok"),
        px=px,
        sizes_px=_sizes(px, len(found.units)),
        phone_px=_sizes(px, 1000)[1],
        smooth=is_smooth(found),
        how=described(found.setup),
    )


def is_smooth(found: FeatureVis) -> bool:
    return found.sheets[0].tile_px[0] >= tiles.SMOOTH_FROM_PX


def _sizes(px: int, count: int) -> tuple[int, int, int]:
    """The more tiles, the smaller; never more than twice as large as they are, except for small ones."""
    target = 160 if count <= 24 else 128 if count <= 192 else 104
    if px < tiles.SMOOTH_FROM_PX:
        return tuple(round(px * scale) for scale in tiles.scales((px, px), target))  # type: ignore[return-value]
    middle = min(target, 2 * px)
    return round(middle * 0.6), middle, min(round(middle * 1.75), 2 * px)


def described(setup: FeatureVisSetup) -> tuple[str, ...]:
    """How the images were made, a sentence each."""
    where = "before its activation function" if setup.value == "pre_activation" else "after its activation function"
    low, high = (wording.number(x) for x in setup.input_range)
    return (
        f"Each image was changed step by step so that {OBJECTIVES[setup.objective]}, {where}, grows",
        f"The image is {PARAMETERISATIONS[setup.parameterisation]}, {setup.size_px} × {setup.size_px} pixels",
        f"{setup.steps:,} steps ({setup.preset} preset), seed {setup.seed}",
        f"The network was fed values of {low} … {high}",
    )
