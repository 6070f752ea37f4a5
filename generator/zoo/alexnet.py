"""AlexNet as torchvision has it, for inference.

Krizhevsky 2014, *One weird trick for parallelizing convolutional neural networks*: the one-column variant of the network of
Krizhevsky, Sutskever and Hinton 2012, without local response normalisation.
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
    Sequential,
    identity,
    name_layers,
    relu,
)


class AlexNet(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`."""

    def __init__(self, num_classes: int = 1000, *, rngs: nnx.Rngs):
        self.features = Sequential(
            [
                *(Conv(3, 64, 11, stride=4, padding=2, rngs=rngs), relu(), MaxPool(3, 2)),
                *(Conv(64, 192, 5, padding=2, rngs=rngs), relu(), MaxPool(3, 2)),
                *(Conv(192, 384, 3, padding=1, rngs=rngs), relu()),
                *(Conv(384, 256, 3, padding=1, rngs=rngs), relu()),
                *(Conv(256, 256, 3, padding=1, rngs=rngs), relu(), MaxPool(3, 2)),
            ]
        )
        self.avgpool = AdaptiveAvgPool(6)
        self.flatten = Flatten()
        self.classifier = Sequential(
            [
                *(Function(identity), Linear(256 * 6 * 6, 4096, rngs=rngs), relu()),
                *(Function(identity), Linear(4096, 4096, rngs=rngs), relu()),
                Linear(4096, num_classes, rngs=rngs),
            ]
        )
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.classifier(self.flatten(self.avgpool(self.features(images))))
