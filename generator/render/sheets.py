"""Sprites: tiles packed into few picture files, and their encoding.

Feature maps are grey. Small tiles are lossless WebP, because a lossy codec bleeds over tile edges and saves nothing there;
their greys are rounded to steps of 8 that keep 0, 128 and 255. Middle ones are lossy WebP; large ones JPEG, which needs a third
more bytes for the same error but is made ten times faster. Measured on all layers of EfficientNet-Lite0 for two photographs,
and for 224 px on a photograph seen by random filters (per-tile scale, of 255 grey levels; a range is over layers):

| tile side | encoding | largest error | mean error | KB per megapixel |
|---|---|---|---|---|
| up to 32 px | lossless, steps of 8 | 4 | 0.1-2.0 | 80-600 |
| up to 128 px | WebP quality 80 | 99 % within 10 | 1.9-3.2 | 190-420 |
| larger | JPEG quality 75 | 99 % within 16 | 2.8 | 180 |

Pieces of images are in colour: lossless WebP up to 32 px a side, lossy above.

Weights travel as palette PNGs, lossless: index 0 is transparent (gaps, empty cells, NaN), 1-255 is the scale.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from generator.records import Picture, Sheet

MAX_TILES = 256
MAX_SIDE_PX = 2048

#: Largest tile side that is kept lossless, and the grey step it is rounded to (4 takes a quarter more bytes).
LOSSLESS_SIDE_PX, LOSSLESS_STEP = 32, 8
#: Largest tile side that is kept as WebP, and the qualities of the lossy codecs.
WEBP_SIDE_PX = 128
WEBP_QUALITY, JPEG_QUALITY = 80, 75
#: Of photographs and optimised images, which are looked at rather than measured.
PHOTO_QUALITY = 82

#: Colours of a rounded scale, zero in the middle: with the transparent one they fill four bits; 1,280 x 1,000 weights take
#: 0.6 MB.
COARSE_LEVELS = 15


@dataclass(frozen=True)
class Grid:
    """Where one sheet's tiles are: `first ... first + count - 1` in `rows` x `columns` cells, row by row."""

    first: int
    count: int
    rows: int
    columns: int


def layout(num_tiles: int, height: int, width: int) -> list[Grid]:
    """Near-square grids for `num_tiles` tiles, each at most 256 tiles and 2,048 px a side.

    Raises ValueError where a tile alone is larger than a sheet.
    """
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise ValueError(f"a tile of {height} x {width} px does not fit on a sheet of {MAX_SIDE_PX} px")
    most_rows, most_columns = MAX_SIDE_PX // height, MAX_SIDE_PX // width
    grids = []
    first = 0
    while first < num_tiles:
        count = min(num_tiles - first, MAX_TILES, most_rows * most_columns)
        # The squarest picture, widened where that would be too tall.
        columns = min(most_columns, max(1, round(math.sqrt(count * height / width))))
        columns = max(columns, math.ceil(count / most_rows))
        grids.append(Grid(first, count, math.ceil(count / columns), columns))
        first += count
    return grids


def mosaic(tiles: np.ndarray, rows: int, columns: int, gap: int = 0) -> np.ndarray:
    """`tiles` `(n, h, w, ...)` side by side, `(rows * h, columns * w, ...)`; `gap` zeros between them, empty cells zero."""
    count, height, width = tiles.shape[:3]
    cells = np.zeros((rows, height + gap, columns, width + gap, *tiles.shape[3:]), tiles.dtype)
    full = count // columns
    last = tiles[full * columns :]
    cells[:full, :height, :, :width] = tiles[: full * columns].reshape(full, columns, *tiles.shape[1:]).swapaxes(1, 2)
    if len(last):
        cells[full, :height, : len(last), :width] = last.swapaxes(0, 1)
    whole = cells.reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[3:])
    return whole[: whole.shape[0] - gap, : whole.shape[1] - gap]


def _sheets(
    stem: str, suffix: str, tiles: np.ndarray, encode: Callable[[np.ndarray], bytes]
) -> tuple[list[Sheet], dict[str, bytes]]:
    num_tiles, height, width = tiles.shape[:3]
    sheets, files = [], {}
    for number, grid in enumerate(layout(num_tiles, height, width)):
        whole = mosaic(tiles[grid.first : grid.first + grid.count], grid.rows, grid.columns)
        name = f"{stem}-{number}.{suffix}"
        files[name] = encode(whole)
        sheets.append(
            Sheet(
                file=name,
                width_px=whole.shape[1],
                height_px=whole.shape[0],
                tile_px=(height, width),
                columns=grid.columns,
                rows=grid.rows,
                first=grid.first,
                count=grid.count,
            )
        )
    return sheets, files


def grey_sheets(stem: str, tiles: np.ndarray) -> tuple[list[Sheet], dict[str, bytes]]:
    """Sheets of grey tiles, uint8 `(n, h, w)`, in files `stem-0.webp`, `stem-1.webp`, ... or `.jpg`."""
    side = max(tiles.shape[1:3])
    if side <= LOSSLESS_SIDE_PX:
        return _sheets(stem, "webp", tiles, lambda whole: encode_lossless(round_greys(whole, LOSSLESS_STEP)))
    if side <= WEBP_SIDE_PX:
        return _sheets(stem, "webp", tiles, encode_webp)
    return _sheets(stem, "jpg", tiles, encode_jpeg)


def index_sheets(stem: str, tiles: np.ndarray, colours: np.ndarray) -> tuple[list[Sheet], dict[str, bytes]]:
    """Sheets of palette tiles, uint8 `(n, h, w)`: 0 transparent, 1-255 the rows of `colours` uint8 `(255, 3)`; PNG."""
    return _sheets(stem, "png", tiles, lambda whole: encode_index(whole, colours))


def colour_sheets(stem: str, tiles: np.ndarray) -> tuple[list[Sheet], dict[str, bytes]]:
    """Sheets of RGB tiles, uint8 `(n, h, w, 3)`, as PNG."""
    return _sheets(stem, "png", tiles, encode_png)


def photo_sheets(stem: str, tiles: np.ndarray) -> tuple[list[Sheet], dict[str, bytes]]:
    """Sheets of photographs and their like, uint8 `(n, h, w, 1 | 3 | 4)`, four channels with opacity; WebP, lossless for small
    tiles."""
    encode = encode_lossless if max(tiles.shape[1:3]) <= LOSSLESS_SIDE_PX else encode_photo
    return _sheets(stem, "webp", tiles[..., 0] if tiles.shape[3] == 1 else tiles, encode)


def index_picture(name: str, indices: np.ndarray, colours: np.ndarray) -> tuple[Picture, dict[str, bytes]]:
    """One palette picture, uint8 `(h, w)` as in `index_sheets`, with its file."""
    picture = Picture(file=name, width_px=indices.shape[1], height_px=indices.shape[0])
    return picture, {name: encode_index(indices, colours)}


def round_greys(grey: np.ndarray, step: int) -> np.ndarray:
    """uint8 greys rounded to `128 + k * step`, clipped to 0-255 (step divides 128): 0, 128 and 255 stay, order is kept."""
    levels = np.clip((np.arange(256) - 128 + step // 2) // step * step + 128, 0, 255).astype(np.uint8)
    return levels[grey]


def encode_lossless(pixels: np.ndarray) -> bytes:
    """Lossless WebP of uint8 `(h, w)` or `(h, w, 3 | 4)`."""
    return _save(Image.fromarray(pixels), "WEBP", lossless=True, quality=20, method=1)


def encode_webp(grey: np.ndarray) -> bytes:
    """Lossy WebP of uint8 `(h, w)`; method 2 saves 3 % on photographs and 13 % on stimuli but takes half as long again."""
    return _save(Image.fromarray(grey), "WEBP", quality=WEBP_QUALITY, method=0)


def encode_photo(pixels: np.ndarray) -> bytes:
    """Lossy WebP of uint8 `(h, w)` or `(h, w, 3 | 4)`."""
    return _save(Image.fromarray(pixels), "WEBP", quality=PHOTO_QUALITY, method=4)


def encode_jpeg(grey: np.ndarray) -> bytes:
    """Grey JPEG of uint8 `(h, w)`."""
    return _save(Image.fromarray(grey), "JPEG", quality=JPEG_QUALITY)


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 `(h, w)` or `(h, w, 3)`."""
    return _save(Image.fromarray(np.ascontiguousarray(pixels)), "PNG", compress_level=6)


def encode_index(indices: np.ndarray, colours: np.ndarray) -> bytes:
    """Palette PNG of uint8 `(h, w)`: 0 transparent, i the colour `colours[i - 1]`; only colours that occur are stored."""
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    entry = np.zeros(256, np.uint8)
    entry[used] = np.arange(len(used))
    bits = next(bits for bits in (1, 2, 4, 8) if len(used) <= 2**bits)
    picture = Image.fromarray(entry[indices])
    palette = np.concatenate([np.full((1, 3), 128, np.uint8), colours])
    picture.putpalette(palette[used].tobytes())
    transparency = {"transparency": 0} if used[0] == 0 else {}
    return _save(picture, "PNG", bits=bits, compress_level=6, **transparency)


def coarse(indices: np.ndarray) -> np.ndarray:
    """Palette indices 1-255 rounded to `COARSE_LEVELS` evenly spaced ones (1, 128 and 255 among them); 0 stays 0."""
    spacing = 254 / (COARSE_LEVELS - 1)
    levels = np.rint(np.rint((np.arange(256) - 128) / spacing) * spacing + 128).clip(1, 255).astype(np.uint8)
    levels[0] = 0
    return levels[indices]


def _save(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
