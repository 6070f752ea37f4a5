"""Tiles a second against the article's recipe: an 8 x 8 grid of `plt.subplot`s and `savefig`, on VGG16-sized maps.

Both sides draw the same 64 maps of each size from memory; ours makes what a build makes: statistics, sheets and the record.
A map that is drawn on several scales counts once for each: the recipe would need a figure for each.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from generator.records import FeatureMaps, Sheet
from tests.benchmarks.measuring import Measurement, fastest

if TYPE_CHECKING:
    import numpy as np

SIZES = (224, 112, 56, 28, 14)
NUM_MAPS = 64
AT_LEAST = 40.0


def run() -> list[Measurement]:
    """The ratio over all sizes together is what is bounded."""
    from generator.network.graph import Layer, ReceptiveField
    from generator.views import feature_maps

    field = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))
    found, ours, theirs = [], 0.0, 0.0
    for size in SIZES:
        maps = vgg_like_maps(size)
        layer = Layer(name="conv", kind="conv", inputs=("input",), shape=maps.shape, receptive_field=field)
        scales = _num_tiles(feature_maps.draw(layer, "cat", "activation", maps).record) / NUM_MAPS
        seconds = fastest(
            {
                "recipe": lambda m=maps: recipe(m),
                "view": lambda k=layer, m=maps: feature_maps.draw(k, "cat", "activation", m),
            },
            rounds=5,
        )
        ours += seconds["view"] / scales
        theirs += seconds["recipe"]
        speeds = f"{scales * NUM_MAPS / seconds['view']:,.0f} tiles/s, recipe {NUM_MAPS / seconds['recipe']:.0f}"
        found.append(
            Measurement(f"  {NUM_MAPS} maps of {size} x {size}", scales * seconds["recipe"] / seconds["view"], "x", note=speeds)
        )
    whole = Measurement(
        f"tiles a second against the recipe, {len(SIZES)} x {NUM_MAPS} maps",
        theirs / ours,
        "x",
        at_least=AT_LEAST,
        note=f"VGG16's map sizes; ours {ours * 1e3:.0f} ms, recipe {theirs:.1f} s",
    )
    return [whole, *found]


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


def _num_tiles(record: FeatureMaps) -> int:
    """Tiles on all sheets that hold every map; the strip of strongest ones is not among them."""
    lists = (value for _, value in record if isinstance(value, list))
    return sum(sheet.count for sheets in lists for sheet in sheets if isinstance(sheet, Sheet))
