"""ResNet with 18, 34, 50, 101 or 152 layers as torchvision has it, for inference.

He, Zhang, Ren and Sun 2016, *Deep Residual Learning for Image Recognition*. As in torchvision, a bottleneck's stride is that
of its 3 x 3 convolution.
"""

from __future__ import annotations

import jax
from flax import nnx

from generator.zoo.layers import Conv, GlobalAvgPool, Layer, Linear, MaxPool, Norm, Sequential, conv_norm, name_layers

#: Blocks of each of the four stages, by the number of layers with weights.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
#: From this depth on, blocks are bottlenecks.
FIRST_BOTTLENECK, BOTTLENECK_EXPANSION = 50, 4


class Shortcut(Layer):
    """What both kinds of block share: their convolutions' result is added to what came in."""

    def _join(self, in_features: int, features: int, stride: int, rngs: nnx.Rngs) -> None:
        changes = stride != 1 or in_features != features
        self.downsample = conv_norm(in_features, features, 1, stride=stride, rngs=rngs) if changes else None

    def _inner(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def forward(self, x: jax.Array) -> jax.Array:
        shortcut = x if self.downsample is None else self.downsample(x)
        return jax.nn.relu(self._inner(x) + shortcut)


class BasicBlock(Shortcut):
    """Two 3 x 3 convolutions."""

    def __init__(self, in_features: int, features: int, stride: int, *, rngs: nnx.Rngs):
        self.conv1 = Conv(in_features, features, 3, stride=stride, padding=1, bias=False, rngs=rngs)
        self.bn1 = Norm(features)
        self.conv2 = Conv(features, features, 3, padding=1, bias=False, rngs=rngs)
        self.bn2 = Norm(features)
        self._join(in_features, features, stride, rngs)

    def _inner(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(Shortcut):
    """Narrow (1 x 1), filter (3 x 3), widen (1 x 1)."""

    def __init__(self, in_features: int, features: int, stride: int, *, rngs: nnx.Rngs):
        inner = features // BOTTLENECK_EXPANSION
        self.conv1 = Conv(in_features, inner, 1, bias=False, rngs=rngs)
        self.bn1 = Norm(inner)
        self.conv2 = Conv(inner, inner, 3, stride=stride, padding=1, bias=False, rngs=rngs)
        self.bn2 = Norm(inner)
        self.conv3 = Conv(inner, features, 1, bias=False, rngs=rngs)
        self.bn3 = Norm(features)
        self._join(in_features, features, stride, rngs)

    def _inner(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.bn1(self.conv1(x)))
        x = jax.nn.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class ResNet(nnx.Module):
    """Photographs to classes: float32 `(n, h, w, 3)` to logits float32 `(n, num_classes)`."""

    def __init__(self, depth: int, *, num_classes: int = 1000, rngs: nnx.Rngs):
        block, expansion = (Bottleneck, BOTTLENECK_EXPANSION) if depth >= FIRST_BOTTLENECK else (BasicBlock, 1)
        self.conv1 = Conv(3, 64, 7, stride=2, padding=3, bias=False, rngs=rngs)
        self.bn1 = Norm(64)
        self.maxpool = MaxPool(3, 2, padding=1)
        in_features = 64
        for index, num_blocks in enumerate(DEPTHS[depth]):
            features, blocks = 64 * 2**index * expansion, []
            for number in range(num_blocks):
                blocks.append(block(in_features, features, 2 if index and not number else 1, rngs=rngs))
                in_features = features
            setattr(self, f"layer{index + 1}", Sequential(blocks))
        self.avgpool = GlobalAvgPool()
        self.fc = Linear(in_features, num_classes, rngs=rngs)
        name_layers(self)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = self.maxpool(jax.nn.relu(self.bn1(self.conv1(images))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(self.avgpool(x))
