"""Convolutions that XLA's CPU backend is slow at, written so that it is fast.

XLA on the CPU runs a depthwise convolution as a generic grouped one. As a sum of k x k shifted multiplies it becomes
elementwise work that the compiler fuses into one loop over the channels. A 1 x 1 convolution is one flat matrix product.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def _shifted_sum(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    kh, kw, channels = kernel.shape
    (top, bottom), (left, right) = padding
    zero = jnp.zeros((), x.dtype)
    x = lax.pad(x, zero, ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    height = (x.shape[1] - (kh - 1) * dilation[0] - 1) // strides[0] + 1
    width = (x.shape[2] - (kw - 1) * dilation[1] - 1) // strides[1] + 1
    total = None
    for row in range(kh):
        for column in range(kw):
            start = (0, row * dilation[0], column * dilation[1], 0)
            stop = (x.shape[0], start[1] + (height - 1) * strides[0] + 1, start[2] + (width - 1) * strides[1] + 1, channels)
            term = lax.slice(x, start, stop, (1, *strides, 1)) * kernel[row, column]
            total = term if total is None else total + term
    return total


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def depthwise_conv(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    """Depthwise convolution as shifted multiplies.

    x: `(n, h, w, c)`. kernel: `(kh, kw, c)`. padding: `((top, bottom), (left, right))`. Returns `(n, h', w', c)`; equals
    `lax.conv_general_dilated` with `feature_group_count=c` up to rounding.
    """
    return _shifted_sum(x, kernel, strides, padding, dilation)


def _depthwise_forward(x, kernel, strides, padding, dilation):
    return _shifted_sum(x, kernel, strides, padding, dilation), (x, kernel)


def _depthwise_backward(strides, padding, dilation, saved, cotangent):
    """The image's gradient is the same sum with the kernel flipped, over the cotangent with its strides undone."""
    x, kernel = saved
    span = [(size - 1) * step for size, step in zip(kernel.shape[:2], dilation, strict=True)]
    config = [(0, 0, 0)]
    for axis in (0, 1):
        spread = (cotangent.shape[axis + 1] - 1) * strides[axis] + 1
        low = span[axis] - padding[axis][0]
        config.append((low, x.shape[axis + 1] + span[axis] - low - spread, strides[axis] - 1))
    spread_out = lax.pad(cotangent, jnp.zeros((), x.dtype), (*config, (0, 0, 0)))
    image = _shifted_sum(spread_out, kernel[::-1, ::-1], (1, 1), ((0, 0), (0, 0)), dilation)
    (top, bottom), (left, right) = padding
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    rows = []
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            start = (0, row * dilation[0], column * dilation[1], 0)
            stop = (
                x.shape[0],
                start[1] + (cotangent.shape[1] - 1) * strides[0] + 1,
                start[2] + (cotangent.shape[2] - 1) * strides[1] + 1,
                x.shape[3],
            )
            rows.append(jnp.sum(lax.slice(padded, start, stop, (1, *strides, 1)) * cotangent, axis=(0, 1, 2)))
    return image, jnp.stack(rows).reshape(kernel.shape)


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)


def pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """1 x 1 convolution with stride 1 as one matrix product. x: `(n, h, w, cin)`, kernel: `(cin, cout)`."""
    flat = x.reshape(-1, x.shape[-1]) @ kernel
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])
