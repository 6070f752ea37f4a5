"""Exemplars: the pieces of a dataset's images that excite each unit of a layer most, least, and in between.

A piece is the receptive field of the position where the unit is strongest; what lies beyond is dark. Where several positions
fit in a field, it is dimmed or coloured by the unit's own map, interpolated between the centres of their fields (after Zhou et
al. 2015 and Bau et al. 2017; the threshold is half the map's own maximum, as no quantile over the dataset is known).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from PIL import Image

from generator.network.graph import Layer
from generator.records import DatasetImage, DatasetImages, DatasetInfo, Exemplar, Exemplars, UnitExemplars
from generator.render.colormaps import lookup
from generator.render.drawn import Drawn
from generator.render.sheets import photo_sheets
from generator.views.pieces import OUTSIDE, STRENGTH_POINTS, box, patch, resized, square, strength
from generator.views.statistics import finite_or_none

#: Side of a tile that is resampled; small fields are enlarged by a whole factor instead, to a side between the others.
TILE_PX, SMALLEST_TILE_PX, LARGEST_TILE_PX = 80, 72, 96
#: Longer side of a whole image.
IMAGE_PX = 96

#: Between these shares of the map's maximum a piece goes from dimmed to bright; how bright the dimmed part is.
THRESHOLD, DIMMED = (0.4, 0.6), 0.3
#: How much of the colour covers the piece where the map is strongest.
HEAT = 0.7


@dataclass(frozen=True)
class Wanted:
    """Exemplars to be shown of `u` units of a layer; in `t` rows: highest, lowest, spread.

    units: their numbers `(u,)`. images int32, values float32 `(t, u)`, as in `network.tally.LayerSurvey`.
    num_highest, num_lowest: rows of each.
    """

    units: Sequence[int]
    images: np.ndarray
    values: np.ndarray
    num_highest: int
    num_lowest: int

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Row and column of each tile, in the order of sheets: unit by unit; rows without an image are left out."""
        for column in range(len(self.units)):
            yield from ((row, column) for row in np.flatnonzero(self.images[:, column] >= 0).tolist())


@dataclass(frozen=True)
class Pieces:
    """What the tiles of a layer show, in their order.

    positions: int32 `(m,)`, where the unit is strongest, counted row by row: the first of equal ones; -1 in vectors.
    patches: uint8 `(m, p, p, 1 | 3)`, the square around the field, mid-grey beyond the image; `p` is its side, or `TILE_PX`.
    strengths: uint8 `(m, q, q)` with `q = STRENGTH_POINTS`, the unit's map there, 0-255 for 0 to its maximum on the image.
    """

    positions: np.ndarray
    patches: np.ndarray
    strengths: np.ndarray


def gather(
    layers: Sequence[Layer],
    wanted: Mapping[str, Wanted],
    recalled: Iterable[tuple[int, Mapping[str, np.ndarray]]],
    shown: Callable[[int], np.ndarray],
) -> tuple[dict[str, Pieces], dict[int, np.ndarray]]:
    """Cuts the pieces of all `wanted` exemplars, layer by layer, out of their images, one image at a time.

    recalled: number of each image that occurs and, by layer, the maps `(h, w, c)` or `(c,)`. shown: an image as the network
    sees it, uint8 `(h, w, 1 | 3)`, all of one size. Also returns every image by number, whole and reduced to `IMAGE_PX`.
    """
    places: dict[int, list[tuple[Layer, int, int]]] = {}
    for layer in layers:
        own = wanted[layer.name]
        for tile, (row, column) in enumerate(own.tiles()):
            places.setdefault(int(own.images[row, column]), []).append((layer, tile, int(own.units[column])))
    pieces: dict[str, Pieces] = {}
    thumbnails: dict[int, np.ndarray] = {}
    for number, maps in recalled:
        picture = shown(number)
        thumbnails[number] = _reduced(picture)
        for layer, tile, unit in places[number]:
            if layer.name not in pieces:
                pieces[layer.name] = _empty(layer, sum(1 for _ in wanted[layer.name].tiles()), picture)
            own, values = pieces[layer.name], maps[layer.name][..., unit]
            position = -1 if layer.spatial is None else int(values.argmax())
            where = square(layer, position, picture.shape[:2])
            own.positions[tile], own.patches[tile] = position, patch(picture, where, own.patches.shape[1])
            if layer.spatial is not None:
                own.strengths[tile] = strength(layer, values, where, picture.shape[:2])
    return pieces, thumbnails


def draw(
    layer: Layer,
    dataset: DatasetInfo,
    wanted: Wanted,
    pieces: Pieces,
    look: Literal["heat", "dim"],
    quantiles: Sequence[float],
    size: tuple[int, int],
) -> Drawn:
    """The record is `Exemplars`, of the units in `wanted`. pieces: from `gather`. size: `(h, w)` of the network's images."""
    cells = list(wanted.tiles())
    tiles = _tiles(layer, pieces, look, size)
    sheets, files = photo_sheets("exemplar", tiles) if len(tiles) else ([], {})
    units, first = [], 0
    for column, unit in enumerate(wanted.units):
        rows = [row for row, own in cells[first : first + len(wanted.images)] if own == column]
        places = zip(rows, pieces.positions[first : first + len(rows)].tolist(), strict=True)
        found = {row: _exemplar(layer, wanted, row, column, position, size) for row, position in places}
        ends = (0, wanted.num_highest, wanted.num_highest + wanted.num_lowest, len(wanted.images))
        groups = [tuple(found[row] for row in rows if a <= row < b) for a, b in pairwise(ends)]
        units.append(UnitExemplars(unit=int(unit), first=first, highest=groups[0], lowest=groups[1], spread=groups[2]))
        first += len(rows)
    record = Exemplars(
        layer=layer.name,
        dataset=dataset.name,
        num_images=dataset.num_images,
        quantiles=tuple(quantiles),
        look=look if layer.spatial is not None else "plain",
        units=units,
        sheets=sheets,
    )
    return Drawn(record, files)


def draw_images(
    dataset: DatasetInfo,
    thumbnails: Mapping[int, np.ndarray],
    titles: Callable[[int], str],
    labels: Callable[[int], int | None],
    probes: Callable[[int], str | None],
) -> Drawn:
    """The record is `DatasetImages`. thumbnails: images by number, from `gather`, all of one size. titles, labels, probes: what
    the dataset says of an image."""
    numbers = sorted(thumbnails)
    sheets, files = photo_sheets("image", np.stack([thumbnails[number] for number in numbers])) if numbers else ([], {})
    images = []
    for tile, number in enumerate(numbers):
        label = labels(number)
        name = None if label is None or dataset.labels is None else dataset.labels[label]
        images.append(DatasetImage(index=number, title=titles(number), label=name, probe=probes(number), tile=tile))
    return Drawn(DatasetImages(dataset=dataset, images=images, sheets=sheets), files)


def _empty(layer: Layer, num_tiles: int, picture: np.ndarray) -> Pieces:
    side = square(layer, 0, picture.shape[:2])[2]
    side_px = side if _factor(side) > 1 else TILE_PX
    return Pieces(
        positions=np.full(num_tiles, -1, np.int32),
        patches=np.full((num_tiles, side_px, side_px, picture.shape[2]), OUTSIDE, np.uint8),
        strengths=np.full((num_tiles, STRENGTH_POINTS, STRENGTH_POINTS), 255, np.uint8),
    )


def _exemplar(layer: Layer, wanted: Wanted, row: int, column: int, position: int, size: tuple[int, int]) -> Exemplar:
    return Exemplar(
        image=int(wanted.images[row, column]),
        value=finite_or_none(float(wanted.values[row, column])),
        position=None if layer.spatial is None else divmod(position, layer.spatial[1]),
        box=box(layer, position, size),
    )


def _tiles(layer: Layer, pieces: Pieces, look: Literal["heat", "dim"], size: tuple[int, int]) -> np.ndarray:
    """uint8 `(m, side, side, 1 | 3)`; RGB where a grey piece is coloured."""
    num_tiles, side, _, channels = pieces.patches.shape
    factor = _factor(side)
    plain = layer.spatial is None
    tiles = np.empty((num_tiles, side * factor, side * factor, 3 if look == "heat" and not plain else channels), np.uint8)
    for tile, position in enumerate(pieces.positions.tolist()):
        piece = pieces.patches[tile]
        if not plain:
            seen = _seen(box(layer, position, size), square(layer, position, size), side)
            strengths = resized(pieces.strengths[tile][..., None], (side, side), Image.Resampling.BILINEAR)[..., 0]
            piece = (_heated if look == "heat" else _dimmed)(piece, np.where(seen, strengths, 0))
        tiles[tile] = piece.repeat(factor, axis=0).repeat(factor, axis=1)
    return tiles


def _seen(field: tuple[int, int, int, int], where: tuple[int, int, int], side_px: int) -> np.ndarray:
    """Which of `side_px` x `side_px` points of the square `where` lie in the box `field`."""
    top, left, side = where
    points = (np.arange(side_px) + 0.5) * side / side_px
    rows, columns = (
        (points + start >= low) & (points + start < low + length)
        for start, low, length in zip((top, left), field[:2], field[2:], strict=True)
    )
    return rows[:, None] & columns


def _dimmed(piece: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Bright where `strengths` uint8 `(p, p)` pass the threshold, else `DIMMED`."""
    low, high = (255 * bound for bound in THRESHOLD)
    light = DIMMED + (1 - DIMMED) * np.clip((strengths - low) / (high - low), 0, 1)
    return np.rint(piece * light[..., None]).astype(np.uint8)


def _heated(piece: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """The piece in grey under colours of `strengths`, RGB."""
    grey = piece @ np.array([0.299, 0.587, 0.114]) if piece.shape[2] == 3 else piece[..., 0].astype(np.float64)
    cover = HEAT * (strengths / 255.0)[..., None]
    return np.rint(grey[..., None] * (1 - cover) + lookup("inferno")[strengths] * cover).astype(np.uint8)


def _factor(side: int) -> int:
    """How many pixels of a tile one pixel of a small field becomes across; 1 for larger ones, which are resampled."""
    factor = LARGEST_TILE_PX // side
    return factor if factor > 1 and side * factor >= SMALLEST_TILE_PX else 1


def _reduced(picture: np.ndarray) -> np.ndarray:
    """A whole image with a longer side of at most `IMAGE_PX`."""
    longer = max(picture.shape[:2])
    if longer <= IMAGE_PX:
        return picture
    return resized(picture, tuple(max(1, round(side * IMAGE_PX / longer)) for side in picture.shape[:2]))
