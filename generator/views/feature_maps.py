"""Feature maps: every channel of one layer on one probe, each on its own scale."""

from __future__ import annotations

import numpy as np

from generator.network.graph import Layer, Value
from generator.records import FeatureMaps
from generator.render.drawn import Drawn
from generator.render.halves import widened
from generator.render.norms import TileNorm
from generator.render.sheets import MAX_SIDE_PX, grey_sheets
from generator.views.statistics import measure

NUM_STRONGEST = 12


def draw(layer: Layer, probe: str, value: Value, maps: np.ndarray) -> Drawn:
    """Draws `maps`, float16 or float32 `(h, w, c)`, or `(c,)` for a layer without positions; the record is `FeatureMaps`.

    Statistics and bounds are of the maps as they are. Maps larger than a sheet (2,048 px) are drawn as means of blocks of
    `ceil(side / 2048)` px a side, so that `tile_px` is smaller than `map_size`. Maps of one position are drawn on the layer's
    scale, since on their own they would all be at its end.
    """
    maps = np.asarray(maps)
    maps = maps.reshape(1, 1, -1) if maps.ndim == 1 else maps
    if maps.ndim != 3:
        raise ValueError(f"maps must be (h, w, c) or (c,), not {maps.shape}")
    maps = widened(maps) if maps.dtype == np.float16 else maps.astype(np.float32, copy=False)
    statistics = measure(maps)
    signed = statistics.signed
    limits = np.maximum(np.abs(statistics.lowest), np.abs(statistics.highest))
    largest = limits.max(initial=0.0)
    per_tile = TileNorm.symmetric(np.full_like(limits, largest) if maps.shape[:2] == (1, 1) else limits, signed)
    strongest = np.argsort(np.nan_to_num(-statistics.maximum, nan=np.inf), kind="stable")[:NUM_STRONGEST]

    tiles = per_tile.grey(reduced(maps)).transpose(2, 0, 1)
    tile_sheets, files = grey_sheets("tile", tiles)
    strips, strip_files = grey_sheets("strip", _fitting(tiles[strongest]))
    record = FeatureMaps(
        layer=layer.name,
        probe=probe,
        value=value,
        map_size=maps.shape[:2],
        num_units=maps.shape[2],
        signed=signed,
        tile_sheets=tile_sheets,
        tile_bounds=per_tile.bounds,
        shared_bounds=TileNorm.symmetric(largest, signed).bounds[0],
        statistics=statistics.record(),
        strongest=strongest[: strips[0].count].tolist(),
        strip=strips[0],
    )
    return Drawn(record, {**files, **strip_files})


def reduced(maps: np.ndarray) -> np.ndarray:
    """`maps` `(h, w, c)` with sides of at most 2,048: means over blocks, the last ones possibly smaller; else unchanged."""
    for axis in (0, 1):
        size = maps.shape[axis]
        factor = -(-size // MAX_SIDE_PX)
        if factor > 1:
            starts = np.arange(0, size, factor)
            counts = np.diff(np.append(starts, size)).astype(np.float32)
            sums = np.add.reduceat(maps.astype(np.float32), starts, axis=axis)
            maps = sums / np.expand_dims(counts, tuple(a for a in range(3) if a != axis))
    return maps


def _fitting(tiles: np.ndarray) -> np.ndarray:
    """As many leading tiles as one sheet holds; the strip is a single sheet."""
    most = (MAX_SIDE_PX // tiles.shape[1]) * (MAX_SIDE_PX // tiles.shape[2])
    return tiles[:most]
