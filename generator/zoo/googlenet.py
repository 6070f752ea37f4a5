"""GoogLeNet (Inception v1) as torchvision has it, for inference: without the two auxiliary classifiers that help training.

Szegedy, Liu, Jia and others 2015, *Going Deeper with Convolutions*, with the batch normalisation of Ioffe and Szegedy 2015.
As in torchvision, the third branch's kernels are 3 x 3, not 5 x 5.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from generator.zoo.layers import Conv, GlobalAvgPool, Layer, Linear, MaxPool, Norm, Sequential, name_layers

NORM_EPSILON = 1e-3
#: Features of each inception module's branches: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 3 x 3; 1 x 1 after a pool.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class ConvNormRelu(Layer):
    """torchvision's `BasicConv2d`."""

    def __init__(self, in_features: int, features: int, size: int, *, stride: int = 1, rngs: nnx.Rngs):
        self.conv = Conv(in_features, features, size, stride=stride, padding=size // 2, bias=False, rngs=rngs)
        self.bn = Norm(features, epsilon=NORM_EPSILON)

    def forward(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.bn(self.conv(x)))


class Inception(Layer):
    """Four branches side by side, their features joined."""

    def __init__(self, in_features: int, features: tuple[int, ...], *, rngs: nnx.Rngs):
        plain, narrow2, wide2, narrow3, wide3, pooled = features
        self.branch1 = ConvNormRelu(in_features, plain, 1, rngs=rngs)
        self.branch2 = self._pair(in_features, narrow2, wide2, rngs)
        self.branch3 = self._pair(in_features, narrow3, wide3, rngs)
        self.branch4 = Sequential([MaxPool(3, 1, padding=1, ceil=True), ConvNormRelu(in_features, pooled, 1, rngs=rngs)])

    @staticmethod
    def _pair(in_features: int, narrow: int, wide: int, rngs: nnx.Rngs) -> Sequential:
        return Sequential([ConvNormRelu(in_features, narrow, 1, rngs=rngs), ConvNormRelu(narrow, wide, 3, rngs=rngs)])

    def forward(self, x: jax.Array) -> jax.Array:
        return jnp.concatenate([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=-1)


class GoogLeNet(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`."""

    def __init__(self, num_classes: int = 1000, *, rngs: nnx.Rngs):
        self.conv1 = ConvNormRelu(3, 64, 7, stride=2, rngs=rngs)
        self.maxpool1 = MaxPool(3, 2, ceil=True)
        self.conv2 = ConvNormRelu(64, 64, 1, rngs=rngs)
        self.conv3 = ConvNormRelu(64, 192, 3, rngs=rngs)
        self.maxpool2 = MaxPool(3, 2, ceil=True)
        self.maxpool3 = MaxPool(3, 2, ceil=True)
        self.maxpool4 = MaxPool(2, 2, ceil=True)
        in_features = 192
        for name, features in INCEPTIONS.items():
            setattr(self, f"inception{name}", Inception(in_features, features, rngs=rngs))
            plain, _, wide2, _, wide3, pooled = features
            in_features = plain + wide2 + wide3 + pooled
        self.avgpool = GlobalAvgPool()
        self.fc = Linear(in_features, num_classes, rngs=rngs)
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = self.maxpool1(self.conv1(images))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        for module in (self.inception4a, self.inception4b, self.inception4c, self.inception4d, self.inception4e):
            x = module(x)
        x = self.inception5b(self.inception5a(self.maxpool4(x)))
        return self.fc(self.avgpool(x))
