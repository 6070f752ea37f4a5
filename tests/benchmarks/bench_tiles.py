"""Tiles a second against the article's recipe: an 8 x 8 grid of `plt.subplot`s and `savefig`, on VGG16-sized maps.

`python tests/benchmarks/bench_tiles.py` prints the table; `run()` returns its numbers. Both sides draw the same 64 maps of each
size from memory; ours makes what a build makes: statistics, two scales, sprites and the record.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np

from generator.network.graph import Layer, ReceptiveField
from generator.render import sheets
from generator.render.norms import TileNorm
from generator.views import feature_maps
from generator.views.statistics import measure

SIZES = (224, 112, 56, 28, 14)
NUM_MAPS = 64


def vgg_like_maps(size: int) -> np.ndarray:
    """Float16 `(size, size, 64)`: a photograph seen by random 3 x 3 filters of its scale, rectified."""
    import scipy.ndimage
    import skimage.data
    import skimage.transform

    photograph = skimage.transform.resize(
        skimage.data.chelsea()[:, 75:375].mean(-1) / 255 - 0.4, (size, size), anti_aliasing=True
    )
    rng = np.random.default_rng(size)
    maps = [scipy.ndimage.convolve(photograph, rng.normal(size=(3, 3))) for _ in range(NUM_MAPS)]
    return np.maximum(np.stack(maps, axis=-1), 0).astype(np.float16)


def recipe(maps: np.ndarray) -> bytes:
    """The article's figure: each map its own axes, scaled alone, grey."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure()
    for index in range(NUM_MAPS):
        axes = pyplot.subplot(8, 8, index + 1)
        axes.set_xticks([])
        axes.set_yticks([])
        pyplot.imshow(maps[:, :, index].astype(np.float32), cmap="gray")
    buffer = io.BytesIO()
    pyplot.savefig(buffer)
    pyplot.close(figure)
    return buffer.getvalue()


def seconds(work: Callable[[], object], at_least: float = 0.2) -> float:
    """Median seconds of one call, after a first one that warms up, over at least 3 calls and `at_least` seconds."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < at_least:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def run() -> dict[str, float]:
    """Measures and prints; `ratio` is the total over all sizes of ours to the recipe's tiles a second."""
    field = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))
    numbers: dict[str, float] = {}
    ours_total = recipe_total = 0.0
    print(
        f"{'tile':>5} {'recipe tiles/s':>15} {'ours tiles/s':>13} {'ratio':>7} {'view/encode':>12}   Mpx/s: measure norm encode"
    )
    for size in SIZES:
        maps = vgg_like_maps(size)
        layer = Layer(name="conv", kind="conv", inputs=("input",), shape=maps.shape, receptive_field=field)
        statistics = measure(maps)
        norm = TileNorm.symmetric(statistics.highest, signed=False)
        tiles = norm.grey(maps).transpose(2, 0, 1)
        shared = TileNorm.symmetric(statistics.highest.max(), signed=False).grey(maps).transpose(2, 0, 1)
        megapixels = maps.size / 1e6

        theirs = seconds(lambda m=maps: recipe(m))
        view = seconds(lambda m=maps, k=layer: feature_maps.draw(k, "cat", "activation", m))
        measuring = seconds(lambda m=maps: measure(m))
        norming = seconds(lambda m=maps, n=norm: n.grey(m))
        encoding = seconds(lambda t=tiles: sheets.grey_sheets("tile", t))
        floor = encoding + seconds(lambda t=shared: sheets.grey_sheets("shared", t))

        # Every map is drawn on two scales, which the recipe would do in a second figure.
        ours_total += view / 2
        recipe_total += theirs
        numbers[f"ratio_{size}"] = theirs / (view / 2)
        numbers[f"tiles_per_second_{size}"] = 2 * NUM_MAPS / view
        numbers[f"view_over_encoding_{size}"] = view / floor
        speeds = [megapixels / t for t in (measuring, norming, encoding)]
        print(
            f"{size:5} {NUM_MAPS / theirs:15.0f} {2 * NUM_MAPS / view:13.0f} {theirs / (view / 2):7.1f} {view / floor:12.2f}"
            f"   {speeds[0]:14.0f} {speeds[1]:4.0f} {speeds[2]:6.0f}"
        )
    numbers["ratio"] = recipe_total / ours_total
    print(f"all sizes: {numbers['ratio']:.1f} times the recipe's tiles a second (target 40)")
    return numbers


if __name__ == "__main__":
    run()
