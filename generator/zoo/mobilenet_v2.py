"""MobileNetV2 as torchvision has it, for inference.

Sandler, Howard, Zhu, Zhmoginov and Chen 2018, *MobileNetV2: Inverted Residuals and Linear Bottlenecks*.
"""

from __future__ import annotations

import jax
from flax import nnx

from generator.zoo.layers import (
    Conv,
    Function,
    GlobalAvgPool,
    Layer,
    Linear,
    Norm,
    Sequential,
    conv_norm,
    identity,
    name_layers,
)
from generator.zoo.stages import V2_STAGES


class InvertedResidual(Layer):
    """Widen (1 x 1), filter each channel (3 x 3), narrow (1 x 1); the input is added where shapes allow it."""

    def __init__(self, in_features: int, features: int, *, stride: int, expansion: int, rngs: nnx.Rngs):
        inner, relu6 = in_features * expansion, jax.nn.relu6
        widen = [conv_norm(in_features, inner, 1, activation=relu6, rngs=rngs)] if expansion > 1 else []
        depthwise = conv_norm(inner, inner, 3, stride=stride, groups=inner, activation=relu6, rngs=rngs)
        self.conv = Sequential([*widen, depthwise, Conv(inner, features, 1, bias=False, rngs=rngs), Norm(features)])
        self.has_shortcut = stride == 1 and in_features == features

    def forward(self, x: jax.Array) -> jax.Array:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV2(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`."""

    def __init__(self, num_classes: int = 1000, *, rngs: nnx.Rngs):
        layers, in_features = [conv_norm(3, 32, 3, stride=2, activation=jax.nn.relu6, rngs=rngs)], 32
        for expansion, features, repeats, stride in V2_STAGES:
            for repeat in range(repeats):
                step = 1 if repeat else stride
                layers.append(InvertedResidual(in_features, features, stride=step, expansion=expansion, rngs=rngs))
                in_features = features
        self.features = Sequential([*layers, conv_norm(in_features, 1280, 1, activation=jax.nn.relu6, rngs=rngs)])
        self.avgpool = GlobalAvgPool()
        self.classifier = Sequential([Function(identity), Linear(1280, num_classes, rngs=rngs)])
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.classifier(self.avgpool(self.features(images)))
