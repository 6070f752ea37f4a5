"""Filters: what the kernels of one layer look like, which inputs each one listens to, and how large they are.

All tiles of a layer share one scale with zero in the middle (grey 128 of colour tiles, the middle of the diverging colormap
otherwise). A weight matrix is scaled to the 99.5 % quantile of its magnitudes and clipped, since a few outliers would leave the
rest blank (`bounds` says so), and drawn in 15 colours; one beyond 2,048 px a side shows of each block the weight of largest
magnitude. NaN weights are transparent (magenta in colour tiles); infinite ones lie at the ends of the scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from generator.network.graph import INPUT, ChannelSource, Layer
from generator.records import Filters, Picture, Sheet, StrongInput
from generator.render import charts, colormaps
from generator.render.drawn import Drawn
from generator.render.sheets import MAX_SIDE_PX, coarse, colour_sheets, index_picture, index_sheets, mosaic
from generator.views.statistics import finite_or_none

MATRIX_QUANTILE = 0.995
NAN_COLOUR = (255, 0, 255)
GAP_PX = 1
#: Weights sorted at a time, to keep the memory of large dense layers small.
ROW_BLOCK = 1 << 20


def draw(
    layer: Layer, kernel: np.ndarray, scale: np.ndarray, bias: np.ndarray, sources: Sequence[ChannelSource], num_strongest: int
) -> Drawn:
    """Draws `kernel`, float32 `(kh, kw, cin // groups, cout)` or `(cin, cout)`; the record is `Filters`.

    scale, bias: float32 `(cout,)`, the folded normalisation's factor and the effective offset. sources: the unit behind each
    input channel, over all groups. num_strongest: how many inputs a filter names, at most its own number of inputs.
    Raises ValueError where shapes disagree.
    """
    kernel = np.asarray(kernel, np.float32)
    shape = kernel.shape
    kernel = kernel.reshape(1, 1, *shape) if kernel.ndim == 2 else kernel
    if kernel.ndim != 4:
        raise ValueError(f"a kernel must be (kh, kw, cin, cout) or (cin, cout), not {shape}")
    height, width, num_inputs, num_units = kernel.shape
    if len(sources) % num_inputs or num_units % (len(sources) // num_inputs or 1) or not len(scale) == len(bias) == num_units:
        raise ValueError(f"kernel {shape}, {len(sources)} sources, {len(scale)} scales and {len(bias)} biases do not fit")
    groups = len(sources) // num_inputs

    look = _look(kernel, sources, dense=len(shape) == 2)
    limit = _limit(kernel, MATRIX_QUANTILE if look == "matrix" else 1.0)
    norms = _norms(kernel)
    weights = kernel[0, 0].T if height * width == 1 else np.sqrt(np.square(kernel, dtype=np.float64).sum(axis=(0, 1))).T
    order = strongest_inputs(weights, min(num_strongest, num_inputs))

    sheets: list[Sheet] = []
    strongest_sheets: list[Sheet] = []
    matrix: Picture | None = None
    files: dict[str, bytes] = {}
    colours = colormaps.lookup(colormaps.WEIGHTS, 255)
    if look == "colour":
        sheets, files = colour_sheets("filter", _colour_tiles(kernel, limit))
    elif look == "matrix":
        matrix, files = index_picture("matrix.png", coarse(weight_indices(reduced(kernel[0, 0].T), limit)), colours)
    else:
        tiles = weight_indices(kernel.transpose(3, 2, 0, 1), limit)
        if look == "spatial":
            sheets, files = index_sheets("filter", _slice_grids(tiles), colours)
            named = tiles[np.arange(num_units)[:, None], order].reshape(-1, height, width)
            strongest_sheets, more = index_sheets("strongest", named, colours)
            files = {**files, **more}
        else:
            sheets, files = index_sheets("filter", tiles[:, 0], colours)

    files["chart.svg"] = charts.norms_and_biases(norms.tolist(), np.asarray(bias, np.float64).tolist())
    record = Filters(
        layer=layer.name,
        look=look,
        kernel_shape=shape,
        num_units=num_units,
        bounds=(-limit, limit),
        sheets=sheets,
        matrix=matrix,
        num_strongest=order.shape[1],
        strongest=_named(weights, order, sources, groups),
        strongest_sheets=strongest_sheets,
        norms=[finite_or_none(x) for x in norms.tolist()],
        scale=[finite_or_none(x) for x in np.asarray(scale, np.float64).tolist()],
        bias=[finite_or_none(x) for x in np.asarray(bias, np.float64).tolist()],
        chart=Picture(file="chart.svg", width_px=charts.WIDTH_PX, height_px=charts.HEIGHT_PX),
    )
    return Drawn(record, files)


def _look(kernel: np.ndarray, sources: Sequence[ChannelSource], dense: bool) -> str:
    height, width, num_inputs, _ = kernel.shape
    if not dense and len(sources) == num_inputs in (1, 3) and all(source.layer == INPUT for source in sources):
        return "colour" if num_inputs == 3 else "grey"
    if height * width == 1 and (dense or num_inputs > 1):
        return "matrix"
    return "depthwise" if num_inputs == 1 else "spatial"


def _limit(kernel: np.ndarray, quantile: float) -> float:
    """The `quantile` of the finite magnitudes; their largest where that is 0; 0 where there are none."""
    magnitudes = np.abs(kernel[np.isfinite(kernel)])
    if not magnitudes.size:
        return 0.0
    largest = float(magnitudes.max())
    return largest if quantile == 1.0 else float(np.quantile(magnitudes, quantile)) or largest


def _norms(kernel: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(kernel, dtype=np.float64).sum(axis=(0, 1, 2)))


def weight_indices(weights: np.ndarray, limit: float) -> np.ndarray:
    """Palette indices: 1 for `-limit`, exactly 128 for zero, 255 for `limit`; 0 (transparent) for NaN; clipped."""
    scaled = np.clip(weights.astype(np.float64) / (limit or 1.0), -1.0, 1.0) * 127.0
    return np.where(np.isnan(scaled), 0, np.rint(np.nan_to_num(scaled)) + 128).astype(np.uint8)


def _colour_tiles(kernel: np.ndarray, limit: float) -> np.ndarray:
    """RGB `(cout, kh, kw, 3)` of a kernel with three inputs, in their order."""
    tiles = weight_indices(kernel, limit).transpose(3, 0, 1, 2).copy()
    tiles[(tiles == 0).any(axis=-1)] = NAN_COLOUR
    return tiles


def _slice_grids(tiles: np.ndarray) -> np.ndarray:
    """One tile a filter: its slices `(cout, cin, kh, kw)` in input order as a near-square grid with 1 px gaps.

    Grids that would not fit a sheet (beyond 2,048 px) keep every n-th pixel of the slices' rows and columns.
    """
    num_inputs, height, width = tiles.shape[1:]
    columns = max(1, round(math.sqrt(num_inputs * height / width)))
    rows = math.ceil(num_inputs / columns)
    factor = max(-(-rows * (height + GAP_PX) // MAX_SIDE_PX), -(-columns * (width + GAP_PX) // MAX_SIDE_PX))
    return np.stack([mosaic(slices[:, ::factor, ::factor], rows, columns, GAP_PX) for slices in tiles])


def reduced(matrix: np.ndarray) -> np.ndarray:
    """`matrix` with sides of at most 2,048: each block of `ceil(side / 2048)` gives its weight of largest magnitude."""
    for axis in (0, 1):
        size = matrix.shape[axis]
        factor = -(-size // MAX_SIDE_PX)
        if factor > 1:
            starts = np.arange(0, size, factor)
            high = np.maximum.reduceat(matrix, starts, axis=axis)
            low = np.minimum.reduceat(matrix, starts, axis=axis)
            matrix = np.where(high >= -low, high, low)
    return matrix


def strongest_inputs(weights: np.ndarray, count: int) -> np.ndarray:
    """Input indices `(cout, count)` of `weights` `(cout, cin)` by falling magnitude; equal ones in order, NaN last."""
    order = np.empty((len(weights), count), np.int64)
    step = max(1, ROW_BLOCK // max(1, weights.shape[1]))
    for start in range(0, len(weights), step):
        magnitude = np.abs(weights[start : start + step])
        falling = np.where(np.isnan(magnitude), np.inf, -magnitude)
        order[start : start + step] = np.argsort(falling, axis=1, kind="stable")[:, :count]
    return order


def _named(weights: np.ndarray, order: np.ndarray, sources: Sequence[ChannelSource], groups: int) -> list[list[StrongInput]]:
    """The units behind `order`; inputs whose weight is not finite are left out."""
    num_units, num_inputs = weights.shape
    chosen = np.take_along_axis(weights, order, axis=1).astype(np.float64)
    offsets = np.arange(num_units) // (num_units // groups) * num_inputs
    named = []
    for channels, numbers in zip((order + offsets[:, None]).tolist(), chosen.tolist(), strict=True):
        pairs = ((sources[channel], finite_or_none(number)) for channel, number in zip(channels, numbers, strict=True))
        named.append([StrongInput(layer=s.layer, channel=s.channel, weight=w) for s, w in pairs if w is not None])
    return named
