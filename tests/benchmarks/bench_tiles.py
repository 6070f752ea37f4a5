"""Tiles a second against the article's recipe: an 8 x 8 grid of `plt.subplot`s and `savefig`, on VGG16-sized maps.

Both sides draw the same 64 maps of each size from memory; ours makes what a build makes: statistics, sheets, the strip of the
strongest and the record. As in a build, layers are drawn side by side on all cores; pyplot, with one current figure for all
threads, cannot be. What one thread draws is told beside it.
"""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.benchmarks.measuring import Measurement, fastest

if TYPE_CHECKING:
    import numpy as np

SIZES = (224, 112, 56, 28, 14)
NUM_MAPS = 64
AT_LEAST = 40.0
#: How often a timed build draws all sizes, so that the last one to finish weighs little.
PASSES = 4


def run() -> list[Measurement]:
    """The ratio over all sizes together is what is bounded."""
    from generator.network.graph import Layer, ReceptiveField
    from generator.views import feature_maps

    field = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))

    def draw(maps: np.ndarray) -> None:
        layer = Layer(name="conv", kind="conv", inputs=("input",), shape=maps.shape, receptive_field=field)
        feature_maps.draw(layer, "cat", "activation", maps)

    maps = {size: vgg_like_maps(size) for size in SIZES}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        works = {"build": lambda: list(pool.map(draw, [*maps.values()] * PASSES))}
        for size in SIZES:
            works[f"recipe {size}"] = lambda m=maps[size]: recipe(m)
            works[f"view {size}"] = lambda m=maps[size]: draw(m)
        seconds = fastest(works, rounds=6)
    build = seconds["build"] / PASSES
    theirs, ours = (sum(seconds[f"{side} {size}"] for size in SIZES) for side in ("recipe", "view"))
    num_tiles = NUM_MAPS * len(SIZES)
    rates = f"{num_tiles / build:,.0f} tiles/s, recipe {num_tiles / theirs:.0f}"
    found = [
        Measurement("tiles a second against the recipe, as in a build", theirs / build, "x", at_least=AT_LEAST, note=rates),
        Measurement("  on one thread", theirs / ours, "x", note=f"{num_tiles / ours:,.0f} tiles/s"),
    ]
    for size in SIZES:
        view, figure = seconds[f"view {size}"], seconds[f"recipe {size}"]
        rates = f"{NUM_MAPS / view:,.0f} tiles/s, recipe {NUM_MAPS / figure:.0f}"
        found.append(Measurement(f"    {NUM_MAPS} maps of {size} x {size}", figure / view, "x", note=rates))
    return found


def vgg_like_maps(size: int) -> np.ndarray:
    """Float16 `(size, size, 64)`: a photograph seen by random 3 x 3 filters of its scale, rectified."""
    import numpy as np
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
    import numpy as np
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
