"""DenseNet-121 as torchvision has it, for inference.

Huang, Liu, van der Maaten and Weinberger 2017, *Densely Connected Convolutional Networks*: a layer's input is what all layers
before it in its block have given. Norms stand before their convolutions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from generator.zoo.layers import AvgPool, Conv, GlobalAvgPool, Layer, Linear, MaxPool, Norm, name_layers

DEPTHS = (6, 12, 24, 16)
#: Features that each layer adds, and how many times that its 1 x 1 convolution has.
GROWTH, BOTTLENECK = 32, 4


class DenseLayer(Layer):
    """Narrow (1 x 1), filter (3 x 3)."""

    def __init__(self, in_features: int, *, rngs: nnx.Rngs):
        self.norm1 = Norm(in_features)
        self.conv1 = Conv(in_features, BOTTLENECK * GROWTH, 1, bias=False, rngs=rngs)
        self.norm2 = Norm(BOTTLENECK * GROWTH)
        self.conv2 = Conv(BOTTLENECK * GROWTH, GROWTH, 3, padding=1, bias=False, rngs=rngs)

    def forward(self, x: jax.Array) -> jax.Array:
        x = self.conv1(jax.nn.relu(self.norm1(x)))
        return self.conv2(jax.nn.relu(self.norm2(x)))


class DenseBlock(Layer):
    """Each layer's features are joined to all that came before."""

    def __init__(self, in_features: int, num_layers: int, *, rngs: nnx.Rngs):
        self.num_layers = num_layers
        for index in range(num_layers):
            setattr(self, f"denselayer{index + 1}", DenseLayer(in_features + index * GROWTH, rngs=rngs))

    def forward(self, x: jax.Array) -> jax.Array:
        for index in range(self.num_layers):
            x = jnp.concatenate([x, getattr(self, f"denselayer{index + 1}")(x)], axis=-1)
        return x


class Transition(Layer):
    """Between blocks: half the features, half the size."""

    def __init__(self, in_features: int, *, rngs: nnx.Rngs):
        self.norm = Norm(in_features)
        self.conv = Conv(in_features, in_features // 2, 1, bias=False, rngs=rngs)
        self.pool = AvgPool(2)

    def forward(self, x: jax.Array) -> jax.Array:
        return self.pool(self.conv(jax.nn.relu(self.norm(x))))


class Features(nnx.Module):
    """Everything before the classifier."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv0 = Conv(3, 2 * GROWTH, 7, stride=2, padding=3, bias=False, rngs=rngs)
        self.norm0 = Norm(2 * GROWTH)
        self.pool0 = MaxPool(3, 2, padding=1)
        width = 2 * GROWTH
        for number, num_layers in enumerate(DEPTHS, 1):
            setattr(self, f"denseblock{number}", DenseBlock(width, num_layers, rngs=rngs))
            width += num_layers * GROWTH
            if number < len(DEPTHS):
                setattr(self, f"transition{number}", Transition(width, rngs=rngs))
                width //= 2
        self.norm5 = Norm(width)
        self.width = width

    def __call__(self, images: jax.Array) -> jax.Array:
        x = self.pool0(jax.nn.relu(self.norm0(self.conv0(images))))
        x = self.transition1(self.denseblock1(x))
        x = self.transition2(self.denseblock2(x))
        x = self.transition3(self.denseblock3(x))
        return jax.nn.relu(self.norm5(self.denseblock4(x)))


class DenseNet121(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`."""

    def __init__(self, num_classes: int = 1000, *, rngs: nnx.Rngs):
        self.features = Features(rngs=rngs)
        self.avgpool = GlobalAvgPool()
        self.classifier = Linear(self.features.width, num_classes, rngs=rngs)
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.classifier(self.avgpool(self.features(images)))
