"""Optimised images as tiles: those of a layer together, positive ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.records import FeatureVis, FeatureVisSetup, VisualisedUnit
from generator.render.drawn import Drawn
from generator.render.sheets import photo_sheets


@dataclass(frozen=True)
class Visualised:
    """What was found for one unit.

    images: uint8 `(k, size, size, 1 | 3 | 4)`: positive, then negative if there is one, then diverse. excited: whether the unit
    answers to the positive one at all. The other numbers are as in `records.VisualisedUnit`.
    """

    unit: int
    images: np.ndarray
    excited: bool
    start: float | None
    reached: float | None
    lowest: float | None


def draw(layer: str, setup: FeatureVisSetup, found: Sequence[Visualised], has_negative: bool) -> Drawn:
    """The record is `FeatureVis`. A unit that was not excited has a grey tile, and no other images."""
    found = sorted(found, key=lambda each: each.unit)
    blank = np.full_like(found[0].images[0], 128)
    blank[:, :, 3:] = 255  # opaque
    sheets, files = photo_sheets("unit", np.stack([each.images[0] if each.excited else blank for each in found]))
    units, more = [], []
    for each in found:
        others = each.images[1:] if each.excited else []
        places = range(len(more), len(more) + len(others))
        more.extend(others)
        negative = places[0] if has_negative and places else None
        units.append(
            VisualisedUnit(
                unit=each.unit,
                state="ok" if each.excited else "unexcited",
                start=each.start,
                reached=each.reached,
                lowest=each.lowest,
                negative=negative,
                diverse=tuple(places[1:] if has_negative else places),
            )
        )
    more_sheets, more_files = photo_sheets("more", np.stack(more)) if more else ([], {})
    record = FeatureVis(layer=layer, setup=setup, units=units, sheets=sheets, more_sheets=more_sheets)
    return Drawn(record, {**files, **more_files})
