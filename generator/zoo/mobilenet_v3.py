"""MobileNetV3, small and large, as torchvision has them, for inference.

Howard, Sandler, Chu and others 2019, *Searching for MobileNetV3*; squeeze-and-excitation after Hu, Shen and Sun 2018.
"""

from __future__ import annotations

import jax
from flax import nnx

from generator.zoo.layers import Conv, Function, GlobalAvgPool, Layer, Linear, Sequential, conv_norm, identity, name_layers
from generator.zoo.stages import V3_VARIANTS, V3Block, multiple_of_8


class SqueezeExcitation(Layer):
    """Each channel is scaled by a factor in 0-1 that follows from the means of all channels."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        squeezed = multiple_of_8(features // 4)
        self.avgpool = GlobalAvgPool(keeps_axes=True)
        self.fc1 = Conv(features, squeezed, 1, rngs=rngs)
        self.activation = Function(jax.nn.relu)
        self.fc2 = Conv(squeezed, features, 1, rngs=rngs)
        self.scale_activation = Function(jax.nn.hard_sigmoid)

    def forward(self, x: jax.Array) -> jax.Array:
        squeezed = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(squeezed))


class InvertedResidual(Layer):
    """Widen (1 x 1), filter each channel, weigh channels, narrow (1 x 1); the input is added where shapes allow it."""

    def __init__(self, in_features: int, spec: V3Block, *, epsilon: float, rngs: nnx.Rngs):
        options = {"epsilon": epsilon, "rngs": rngs}
        active = {"activation": jax.nn.hard_swish if spec.hard_swish else jax.nn.relu, **options}
        widens = spec.inner != in_features
        self.block = Sequential(
            [
                *([conv_norm(in_features, spec.inner, 1, **active)] if widens else []),
                conv_norm(spec.inner, spec.inner, spec.size, stride=spec.stride, groups=spec.inner, **active),
                *([SqueezeExcitation(spec.inner, rngs=rngs)] if spec.squeezed else []),
                conv_norm(spec.inner, spec.features, 1, **options),
            ]
        )
        self.has_shortcut = spec.stride == 1 and in_features == spec.features

    def forward(self, x: jax.Array) -> jax.Array:
        return self.block(x) + x if self.has_shortcut else self.block(x)


class MobileNetV3(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`.

    norm_epsilon: 1e-3 in torchvision's, 1e-5 in timm's.
    """

    def __init__(self, variant: str, *, num_classes: int = 1000, norm_epsilon: float = 1e-3, rngs: nnx.Rngs):
        spec, in_features = V3_VARIANTS[variant], 16
        options = {"epsilon": norm_epsilon, "activation": jax.nn.hard_swish, "rngs": rngs}
        layers = [conv_norm(3, in_features, 3, stride=2, **options)]
        for block in (block for stage in spec.stages for block in stage):
            layers.append(InvertedResidual(in_features, block, epsilon=norm_epsilon, rngs=rngs))
            in_features = block.features
        self.features = Sequential([*layers, conv_norm(in_features, spec.last, 1, **options)])
        self.avgpool = GlobalAvgPool()
        self.classifier = Sequential(
            [
                *(Linear(spec.last, spec.hidden, rngs=rngs), Function(jax.nn.hard_swish), Function(identity)),
                Linear(spec.hidden, num_classes, rngs=rngs),
            ]
        )
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.classifier(self.avgpool(self.features(images)))
