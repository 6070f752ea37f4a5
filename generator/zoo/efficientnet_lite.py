"""EfficientNet-Lite1 to Lite4 as Flax NNX modules, for inference: Lite0 with more blocks, and wider ones.

Tan and Le 2019, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*. Stem, head and the number of
blocks in the first and last stage are not scaled.
"""

from __future__ import annotations

from flax import nnx

from generator.zoo.efficientnet_lite0 import STAGES, Block, ConvNorm, EfficientNetLite0
from generator.zoo.stages import LITE, multiple_of_8


class EfficientNetLite(EfficientNetLite0):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`. number: 1 to 4."""

    def __init__(self, number: int, *, num_classes: int = 1000, rngs: nnx.Rngs):
        width, repeats = LITE[number]
        self.stem = ConvNorm(3, 32, 3, stride=2, rngs=rngs)
        blocks, in_features = [], 32
        for stage, num_blocks in zip(STAGES, repeats, strict=True):
            features = multiple_of_8(stage.features * width)
            for repeat in range(num_blocks):
                stride = 1 if repeat else stage.stride
                blocks.append(Block(in_features, features, stage.size, stride=stride, expansion=stage.expansion, rngs=rngs))
                in_features = features
        self.blocks = nnx.List(blocks)
        self.head = ConvNorm(in_features, 1280, 1, rngs=rngs)
        self.classifier = nnx.Linear(1280, num_classes, rngs=rngs)
