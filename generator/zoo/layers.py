"""The layers that the networks of torchvision are made of, for inference, as Flax NNX modules.

They compute what PyTorch's layers of the same names do, on maps `(n, h, w, c)`. A network's attributes are called as
torchvision calls them, so that a parameter's path is its owner's name for it; `name_layers` tells every layer its own, and
what a layer computes then belongs to that name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


class Layer(nnx.Module):
    """scope: the layer's name in its network, `layer1/0/conv1`; `forward` is what it computes."""

    scope: str = ""

    def forward(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> jax.Array:
        with jax.named_scope(f"layer:{self.scope}"):
            return self.forward(x)


def name_layers(network: nnx.Module) -> None:
    """Sets the scope of every layer in `network` to its path."""
    for path, module in nnx.iter_modules(network):
        if isinstance(module, Layer):
            module.scope = "/".join(map(str, path))


class Sequential(nnx.List):
    """Layers that run one after the other; their names are their indices."""

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self:
            x = layer(x)
        return x


class Conv(Layer):
    """kernel: `(size, size, in_features / groups, features)`; bias: `(features,)`. padding: zeros on every side."""

    def __init__(
        self,
        in_features: int,
        features: int,
        size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
        rngs: nnx.Rngs,
    ):
        initial = nnx.initializers.he_normal()
        self.kernel = nnx.Param(initial(rngs.params(), (size, size, in_features // groups, features)))
        self.bias = nnx.Param(jnp.zeros(features)) if bias else None
        self.stride, self.padding, self.groups = stride, padding, groups

    def forward(self, x: jax.Array) -> jax.Array:
        x = jax.lax.conv_general_dilated(
            x,
            self.kernel[...],
            window_strides=(self.stride, self.stride),
            padding=((self.padding, self.padding), (self.padding, self.padding)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )
        return x if self.bias is None else x + self.bias[...]


class Norm(Layer):
    """Batch normalisation with its running statistics (Ioffe and Szegedy 2015); all four parameters are `(features,)`."""

    def __init__(self, features: int, *, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.var = nnx.BatchStat(jnp.ones(features))
        self.epsilon = epsilon

    def forward(self, x: jax.Array) -> jax.Array:
        factor = self.scale[...] * jax.lax.rsqrt(self.var[...] + self.epsilon)
        return (x - self.mean[...]) * factor + self.bias[...]


class Linear(Layer):
    """kernel: `(in_features, features)`; bias: `(features,)`."""

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (in_features, features)))
        self.bias = nnx.Param(jnp.zeros(features))

    def forward(self, x: jax.Array) -> jax.Array:
        return x @ self.kernel[...] + self.bias[...]


class Function(Layer):
    """A function of the values alone: an activation, or nothing, where torchvision has its dropout."""

    def __init__(self, function: Callable[[jax.Array], jax.Array]):
        self.function = function

    def forward(self, x: jax.Array) -> jax.Array:
        return self.function(x)


def identity(x: jax.Array) -> jax.Array:
    return x


class MaxPool(Layer):
    """ceil: a last window may reach beyond the map, if it begins inside (PyTorch's `ceil_mode`)."""

    def __init__(self, size: int, stride: int, *, padding: int = 0, ceil: bool = False):
        self.size, self.stride, self.padding, self.ceil = size, stride, padding, ceil

    def forward(self, x: jax.Array) -> jax.Array:
        sides = [(self.padding, self.padding + self._beyond(length)) for length in x.shape[1:3]]
        window, strides = (1, self.size, self.size, 1), (1, self.stride, self.stride, 1)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, ((0, 0), *sides, (0, 0)))

    def _beyond(self, length: int) -> int:
        """By how much the last window reaches beyond the padded side."""
        rest = (length + 2 * self.padding - self.size) % self.stride
        if not self.ceil or rest == 0:
            return 0
        begins = length + 2 * self.padding - self.size - rest + self.stride
        return self.stride - rest if begins < length + self.padding else 0


def _means(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    window = (1, *size, 1)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID") / (size[0] * size[1])


class AvgPool(Layer):
    """Means of windows `size` x `size` that do not overlap; rows and columns that fill no window are left out."""

    def __init__(self, size: int):
        self.size = size

    def forward(self, x: jax.Array) -> jax.Array:
        return _means(x, (self.size, self.size))


class GlobalAvgPool(Layer):
    """`(n, h, w, c)` to `(n, c)`, or to `(n, 1, 1, c)` if axes are kept."""

    def __init__(self, *, keeps_axes: bool = False):
        self.keeps_axes = keeps_axes

    def forward(self, x: jax.Array) -> jax.Array:
        return jnp.mean(x, axis=(1, 2), keepdims=self.keeps_axes)


class AdaptiveAvgPool(Layer):
    """Maps of any size to `size` x `size`: means of windows as even as they can be, as PyTorch divides them."""

    def __init__(self, size: int):
        self.size = size

    def forward(self, x: jax.Array) -> jax.Array:
        height, width = x.shape[1:3]
        if (height, width) == (self.size, self.size):
            return x
        if height % self.size == width % self.size == 0:
            return _means(x, (height // self.size, width // self.size))
        rows = jnp.moveaxis(jnp.tensordot(x, self._weights(height), (1, 0)), -1, 1)
        return jnp.moveaxis(jnp.tensordot(rows, self._weights(width), (2, 0)), -1, 2)

    def _weights(self, length: int) -> np.ndarray:
        """How much each of `length` places counts in each mean."""
        weights = np.zeros((length, self.size), np.float32)
        for index in range(self.size):
            begin, end = index * length // self.size, -(-(index + 1) * length // self.size)
            weights[begin:end, index] = 1 / (end - begin)
        return weights


class Flatten(Layer):
    """`(n, h, w, c)` to `(n, c * h * w)`, in that order, which the kernels of PyTorch's linear layers expect."""

    def forward(self, x: jax.Array) -> jax.Array:
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def relu() -> Function:
    return Function(jax.nn.relu)


def conv_norm(
    in_features: int, features: int, size: int, *, epsilon: float = 1e-5, activation: Any = None, rngs: nnx.Rngs, **options: Any
) -> Sequential:
    """A convolution that keeps the map's size, or divides it by the stride; its norm; and an activation, if one is given."""
    conv = Conv(in_features, features, size, padding=size // 2, bias=False, rngs=rngs, **options)
    return Sequential([conv, Norm(features, epsilon=epsilon), *([Function(activation)] if activation else [])])
