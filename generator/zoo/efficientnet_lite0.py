"""EfficientNet-Lite0 as a Flax NNX module, for inference.

Tan and Le 2019, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, in Google's Lite variant:
no squeeze-and-excitation, ReLU6 for swish, stem and head not scaled. Blocks are the inverted residuals of MobileNetV2
(Sandler et al. 2018).
"""

from __future__ import annotations

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

#: As in TensorFlow's original; added to the variance.
NORM_EPSILON = 1e-3


class Stage(NamedTuple):
    """`repeats` blocks in a row; the stride is the first one's. expansion: widening inside a block."""

    repeats: int
    size: int
    stride: int
    expansion: int
    features: int


STAGES = (
    Stage(repeats=1, size=3, stride=1, expansion=1, features=16),
    Stage(repeats=2, size=3, stride=2, expansion=6, features=24),
    Stage(repeats=2, size=5, stride=2, expansion=6, features=40),
    Stage(repeats=3, size=3, stride=2, expansion=6, features=80),
    Stage(repeats=3, size=5, stride=1, expansion=6, features=112),
    Stage(repeats=4, size=5, stride=2, expansion=6, features=192),
    Stage(repeats=1, size=3, stride=1, expansion=6, features=320),
)


class ConvNorm(nnx.Module):
    """A convolution without bias ('SAME' padding as in TensorFlow), then BatchNorm with its running statistics.

    kernel: `(size, size, in_features / groups, features)`; scale, bias, mean and var: `(features,)`.
    """

    def __init__(self, in_features: int, features: int, size: int, *, stride: int = 1, groups: int = 1, rngs: nnx.Rngs):
        initial = nnx.initializers.he_normal()
        self.kernel = nnx.Param(initial(rngs.params(), (size, size, in_features // groups, features)))
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.var = nnx.BatchStat(jnp.ones(features))
        self.stride = stride
        self.groups = groups

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.lax.conv_general_dilated(
            x,
            self.kernel[...],
            window_strides=(self.stride, self.stride),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )
        factor = self.scale[...] * jax.lax.rsqrt(self.var[...] + NORM_EPSILON)
        return (x - self.mean[...]) * factor + self.bias[...]


class Block(nnx.Module):
    """Widen (1 x 1), filter each channel (depthwise), narrow (1 x 1); the input is added where shapes allow it."""

    def __init__(self, in_features: int, features: int, size: int, *, stride: int, expansion: int, rngs: nnx.Rngs):
        inner = in_features * expansion
        self.expand = ConvNorm(in_features, inner, 1, rngs=rngs) if expansion > 1 else None
        self.depthwise = ConvNorm(inner, inner, size, stride=stride, groups=inner, rngs=rngs)
        self.project = ConvNorm(inner, features, 1, rngs=rngs)
        self.has_shortcut = stride == 1 and in_features == features

    def __call__(self, x: jax.Array) -> jax.Array:
        inner = x if self.expand is None else jax.nn.relu6(self.expand(x))
        inner = jax.nn.relu6(self.depthwise(inner))
        narrow = self.project(inner)
        return x + narrow if self.has_shortcut else narrow


class EfficientNetLite0(nnx.Module):
    """Photographs to classes: float32 `(n, 224, 224, 3)`, RGB as `(pixel - 127) / 128`, to logits float32 `(n, 1000)`."""

    def __init__(self, num_classes: int = 1000, *, rngs: nnx.Rngs):
        self.stem = ConvNorm(3, 32, 3, stride=2, rngs=rngs)
        blocks, in_features = [], 32
        for stage in STAGES:
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                block = Block(in_features, stage.features, stage.size, stride=stride, expansion=stage.expansion, rngs=rngs)
                blocks.append(block)
                in_features = stage.features
        self.blocks = nnx.List(blocks)
        self.head = ConvNorm(in_features, 1280, 1, rngs=rngs)
        self.classifier = nnx.Linear(1280, num_classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = jax.nn.relu6(self.stem(images))
        for block in self.blocks:
            x = block(x)
        x = jax.nn.relu6(self.head(x))
        return self.classifier(jnp.mean(x, axis=(1, 2)))


#: PyTorch names of the convolutions and their norms, as regular expressions, and the module each one belongs to.
_TORCH_MODULES = (
    (r"_conv_stem|_bn0", "stem"),
    (r"_blocks\.(\d+)\.(?:_expand_conv|_bn0)", r"blocks/\1/expand"),
    (r"_blocks\.(\d+)\.(?:_depthwise_conv|_bn1)", r"blocks/\1/depthwise"),
    (r"_blocks\.(\d+)\.(?:_project_conv|_bn2)", r"blocks/\1/project"),
    (r"_conv_head|_bn1", "head"),
    (r"_fc", "classifier"),
)
_NORM_PARAMETERS = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def from_torch(key: str, array: np.ndarray) -> tuple[str, np.ndarray] | None:
    """A tensor of the PyTorch checkpoint as a parameter of `EfficientNetLite0`: its path and its value.

    Kernels turn from `(cout, cin, kh, kw)` to `(kh, kw, cin, cout)`, the classifier's from `(cout, cin)` to `(cin, cout)`.
    None for counters of training steps. A name that is not of this architecture comes back as it is.
    """
    module, _, parameter = key.rpartition(".")
    if parameter == "num_batches_tracked":
        return None
    for pattern, path in _TORCH_MODULES:
        match = re.fullmatch(pattern, module)
        if match is None:
            continue
        if parameter == "weight" and array.ndim == 4:
            return f"{match.expand(path)}/kernel", array.transpose(2, 3, 1, 0)
        if parameter == "weight" and array.ndim == 2:
            return f"{match.expand(path)}/kernel", array.T
        if parameter in _NORM_PARAMETERS:
            return f"{match.expand(path)}/{_NORM_PARAMETERS[parameter]}", array
    return key, array
