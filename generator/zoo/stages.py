"""The blocks of scaled networks, as their papers' tables list them. Without JAX: names in checkpoints follow from them too."""

from __future__ import annotations

from typing import NamedTuple

#: Of MobileNetV2: expansion, features, repeats, stride of the first.
V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class V3Block(NamedTuple):
    """squeezed: with squeeze-and-excitation. hard_swish: else ReLU. inner: features of the depthwise convolution."""

    size: int
    inner: int
    features: int
    squeezed: bool
    hard_swish: bool
    stride: int


class V3(NamedTuple):
    """The blocks, a stage a line; features of the last convolution and of the layer before the classes."""

    stages: tuple[tuple[V3Block, ...], ...]
    last: int
    hidden: int


V3_VARIANTS = {
    "large": V3(
        stages=(
            (V3Block(3, 16, 16, False, False, 1),),
            (V3Block(3, 64, 24, False, False, 2), V3Block(3, 72, 24, False, False, 1)),
            (V3Block(5, 72, 40, True, False, 2), *2 * (V3Block(5, 120, 40, True, False, 1),)),
            (
                *(V3Block(3, 240, 80, False, True, 2), V3Block(3, 200, 80, False, True, 1)),
                *2 * (V3Block(3, 184, 80, False, True, 1),),
            ),
            (V3Block(3, 480, 112, True, True, 1), V3Block(3, 672, 112, True, True, 1)),
            (V3Block(5, 672, 160, True, True, 2), *2 * (V3Block(5, 960, 160, True, True, 1),)),
        ),
        last=960,
        hidden=1280,
    ),
    "small": V3(
        stages=(
            (V3Block(3, 16, 16, True, False, 2),),
            (V3Block(3, 72, 24, False, False, 2), V3Block(3, 88, 24, False, False, 1)),
            (V3Block(5, 96, 40, True, True, 2), *2 * (V3Block(5, 240, 40, True, True, 1),)),
            (V3Block(5, 120, 48, True, True, 1), V3Block(5, 144, 48, True, True, 1)),
            (V3Block(5, 288, 96, True, True, 2), *2 * (V3Block(5, 576, 96, True, True, 1),)),
        ),
        last=576,
        hidden=1024,
    ),
}

#: Of EfficientNet-Lite: how many times as wide as Lite0, and the blocks of each stage.
LITE = {
    0: (1.0, (1, 2, 2, 3, 3, 4, 1)),
    1: (1.0, (1, 3, 3, 4, 4, 5, 1)),
    2: (1.1, (1, 3, 3, 4, 4, 5, 1)),
    3: (1.2, (1, 3, 3, 5, 5, 6, 1)),
    4: (1.4, (1, 4, 4, 6, 6, 8, 1)),
}


def multiple_of_8(features: float) -> int:
    """The nearest one, unless that would take away more than a tenth: how all of these round what they scale."""
    nearest = max(8, int(features + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * features else nearest
