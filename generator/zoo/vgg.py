"""VGG with 11, 13, 16 or 19 layers, with and without batch normalisation, as torchvision has it, for inference.

Simonyan and Zisserman 2015, *Very Deep Convolutional Networks for Large-Scale Image Recognition*.
"""

from __future__ import annotations

import jax
from flax import nnx

from generator.zoo.layers import (
    AdaptiveAvgPool,
    Conv,
    Flatten,
    Function,
    Linear,
    MaxPool,
    Norm,
    Sequential,
    identity,
    name_layers,
    relu,
)

#: Convolutions before each of the five pools, by the number of layers with weights.
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class Vgg(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`. norm: with batch normalisation."""

    def __init__(self, depth: int, *, norm: bool, num_classes: int = 1000, rngs: nnx.Rngs):
        layers, in_features = [], 3
        for num_convs, width in zip(DEPTHS[depth], WIDTHS, strict=True):
            for _ in range(num_convs):
                layers += [Conv(in_features, width, 3, padding=1, rngs=rngs), *([Norm(width)] if norm else []), relu()]
                in_features = width
            layers.append(MaxPool(2, 2))
        self.features = Sequential(layers)
        self.avgpool = AdaptiveAvgPool(7)
        self.flatten = Flatten()
        self.classifier = Sequential(
            [
                *(Linear(512 * 7 * 7, 4096, rngs=rngs), relu(), Function(identity)),
                *(Linear(4096, 4096, rngs=rngs), relu(), Function(identity)),
                Linear(4096, num_classes, rngs=rngs),
            ]
        )
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.classifier(self.flatten(self.avgpool(self.features(images))))
