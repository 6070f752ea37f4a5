"""How much of a network is computed so that a first build takes minutes: by its cost, on two cores of a laptop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from generator.network.graph import Graph, Layer

#: What two cores do in a second, measured with networks of several kinds and rounded down.
FLOPS_PER_SECOND = 30e9
#: For optimised images; for one pass of a dataset; for trying what happens without some units.
VISUALISING_S, SURVEYING_S, TRYING_S = 480, 180, 90
_TOPS = (24, 16, 12, 8, 6, 4, 3, 2, 1)
#: As `views.feature_vis` has them: steps of a preset, and the side of an image with what is seen around it.
_STEPS = {"standard": 128, "draft": 48}
_SIZE_PX, _MARGIN = 128, 12 / 128
#: Forward, and back to the image; an image that excites a unit and one that silences it; drawing, and a page.
_PASSES, _IMAGES, _OVERHEAD_S = 3, 2, 0.2
_MOST_IMAGES, _FEWEST_IMAGES, _TRIED_ON = 10_000, 64, 100


@dataclass(frozen=True)
class Size:
    """layers: of optimised images, `all` that are shown or `stages`. top: units of each. minutes: what these take, roughly.

    limit: images of a dataset, at most. trying: whether to see what happens without the least important units.
    """

    layers: Literal["all", "stages"]
    top: int
    preset: Literal["standard", "draft"]
    minutes: float
    limit: int
    trying: bool


#: Before the network's graph is known.
UNSIZED = Size(layers="all", top=1, preset="draft", minutes=0, limit=_FEWEST_IMAGES, trying=False)


def sized(graph: Graph, shown: Sequence[Layer], stages: Sequence[Layer]) -> Size:
    """shown: the layers that the gallery shows. stages: the last layer at each resolution."""
    one_pass = max(1, sum(layer.flops for layer in graph.layers)) / FLOPS_PER_SECOND
    layers, top, preset, seconds = _affordable(graph, shown, stages)
    return Size(
        layers=layers,
        top=top,
        preset=preset,
        minutes=seconds / 60,
        limit=round(min(max(SURVEYING_S / one_pass, _FEWEST_IMAGES), _MOST_IMAGES)),
        trying=len(shown) * _TRIED_ON * one_pass <= TRYING_S,
    )


def _affordable(graph: Graph, shown: Sequence[Layer], stages: Sequence[Layer]) -> tuple:
    """The best that VISUALISING_S suffices for: rather fewer units than worse images, rather both than fewer layers."""
    tried = ("all", 24, "standard", 0.0)
    for tried in _choices(graph, shown, stages):
        if tried[3] <= VISUALISING_S:
            break
    return tried


def _choices(graph: Graph, shown: Sequence[Layer], stages: Sequence[Layer]) -> Iterator[tuple]:
    for name, layers, preset, least in (
        ("all", shown, "standard", 6),
        ("all", shown, "draft", 3),
        ("stages", stages, "draft", 1),
    ):
        for top in _TOPS:
            if top >= least:
                yield name, top, preset, seconds(graph, layers, top, preset)


def seconds(graph: Graph, layers: Sequence[Layer], top: int, preset: Literal["standard", "draft"]) -> float:
    """How long images of the `top` units of `layers` take, roughly."""
    height, width, _ = graph.input_shape
    side = min(_SIZE_PX, height, width) * (1 + _MARGIN)
    share = side * side / (height * width)
    until = dict(zip(graph.by_name, accumulate(layer.flops for layer in graph.layers), strict=True))
    return sum(
        min(top, layer.num_units)
        * (_OVERHEAD_S + _PASSES * _IMAGES * _STEPS[preset] * share * until[layer.name] / FLOPS_PER_SECOND)
        for layer in layers
    )
