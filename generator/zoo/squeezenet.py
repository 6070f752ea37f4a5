"""SqueezeNet 1.0 and 1.1 as torchvision has them, for inference.

Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer 2016, *SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
<0.5MB model size*; version 1.1 is the authors' cheaper one.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from generator.zoo.layers import Conv, Function, GlobalAvgPool, Layer, MaxPool, Sequential, identity, name_layers, relu

#: The stem's filters and their size; then the squeezed features of each fire module, and `None` for a pool.
VERSIONS = {
    "1.0": (96, 7, (None, 16, 16, 32, None, 32, 48, 48, 64, None, 64)),
    "1.1": (64, 3, (None, 16, 16, None, 32, 32, None, 48, 48, 64, 64)),
}


class Fire(Layer):
    """Squeeze to few features (1 x 1), widen with as many 1 x 1 as 3 x 3 filters: four times the squeezed features each."""

    def __init__(self, in_features: int, squeezed: int, *, rngs: nnx.Rngs):
        self.squeeze = Conv(in_features, squeezed, 1, rngs=rngs)
        self.squeeze_activation = relu()
        self.expand1x1 = Conv(squeezed, 4 * squeezed, 1, rngs=rngs)
        self.expand1x1_activation = relu()
        self.expand3x3 = Conv(squeezed, 4 * squeezed, 3, padding=1, rngs=rngs)
        self.expand3x3_activation = relu()

    def forward(self, x: jax.Array) -> jax.Array:
        x = self.squeeze_activation(self.squeeze(x))
        narrow, wide = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return jnp.concatenate([narrow, wide], axis=-1)


class SqueezeNet(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`, which are not negative."""

    def __init__(self, version: str, *, num_classes: int = 1000, rngs: nnx.Rngs):
        in_features, size, modules = VERSIONS[version]
        layers = [Conv(3, in_features, size, stride=2, rngs=rngs), relu()]
        for squeezed in modules:
            layers.append(MaxPool(3, 2, ceil=True) if squeezed is None else Fire(in_features, squeezed, rngs=rngs))
            in_features = in_features if squeezed is None else 8 * squeezed
        self.features = Sequential(layers)
        final = Conv(in_features, num_classes, 1, rngs=rngs)
        self.classifier = Sequential([Function(identity), final, relu(), GlobalAvgPool()])
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.classifier(self.features(images))
