"""Convolutions of groups of channels, which XLA's CPU backend is slow at.

Where groups are narrow the convolution is a sum of depthwise ones, elementwise work that the compiler fuses into one loop:
the first channels of all groups meet the first slices of the filters, the second ones the second slices. Wider groups are
convolved one after the other, in a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from generator.network.kernels import Padding, Pair, computed_once, dense, dense_image, depthwise_image, shifted_sum

#: Filters that read up to so many channels of so many pixels are narrow. Measured on one core: 3 x 3 filters of 4 or 8 channels
#: reach 16-26 GFLOP/s as a sum, 2-12 in XLA's grouped convolution; of 16 or 32 channels 45-74 by themselves, 17-29 in XLA's.
#: Going back, a sum pays up to 4 channels, and takes long to compile.
_NARROW, _NARROW_BACK, _FEW_TAPS = 8, 4, 25


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def grouped_conv(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    """Convolution of groups of channels.

    x: `(n, h, w, groups * cin)`. kernel: `(kh, kw, cin, groups * cout)`. padding: `((top, bottom), (left, right))`. Returns
    `(n, h', w', groups * cout)`; equals `lax.conv_general_dilated` with `feature_group_count=groups` up to rounding.
    """
    if _is_narrow(kernel, _NARROW):
        return computed_once(partial(_depthwise_sum, strides=strides, padding=padding, dilation=dilation), x, kernel)
    return _group_by_group(lambda part, filters: dense(part, filters, strides, padding, dilation), x, kernel, x.shape[-1])


def _is_narrow(kernel: jax.Array, most: int) -> bool:
    kh, kw, cin, _ = kernel.shape
    return cin <= most and kh * kw <= _FEW_TAPS


def _depthwise_sum(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    """The first channels of all groups, convolved with the filters' first slices, and the second ones and so on."""
    cin = kernel.shape[2]
    width = kernel.shape[3] * cin // x.shape[3]
    (top, bottom), (left, right) = padding
    # Padded before channels are repeated: the other way round the compiler repeats and pads anew for every tap.
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    parts = (jnp.repeat(x[..., place::cin], width, axis=-1) for place in range(cin))
    nothing = ((0, 0), (0, 0))
    terms = (shifted_sum(part, kernel[:, :, place], strides, nothing, dilation) for place, part in enumerate(parts))
    return reduce(jnp.add, terms)


def _group_by_group(
    function: Callable[[jax.Array, jax.Array], jax.Array], maps: jax.Array, kernel: jax.Array, num_channels: int
) -> jax.Array:
    """`function` of each group's maps and filters, its results side by side. num_channels: of what the filters read."""
    groups = num_channels // kernel.shape[2]
    part, filters = maps.shape[-1] // groups, kernel.shape[-1] // groups

    def of_group(number: int) -> jax.Array:
        own = lax.dynamic_slice_in_dim(maps, number * part, part, maps.ndim - 1)
        return function(own, lax.dynamic_slice_in_dim(kernel, number * filters, filters, 3))

    shape = jax.eval_shape(of_group, 0).shape
    empty = jnp.zeros((*shape[:-1], groups * shape[-1]), maps.dtype)

    def add(number: int, found: jax.Array) -> jax.Array:
        return lax.dynamic_update_slice_in_dim(found, of_group(number), number * shape[-1], found.ndim - 1)

    return lax.fori_loop(0, groups, add, empty)


def _grouped_forward(x, kernel, strides, padding, dilation):
    return grouped_conv(x, kernel, strides, padding, dilation), (x, kernel)


def _grouped_backward(strides, padding, dilation, saved, cotangent):
    x, kernel = saved

    def plain(kernel: jax.Array) -> jax.Array:
        groups, numbers = x.shape[-1] // kernel.shape[2], ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers, feature_group_count=groups
        )

    image = partial(_grouped_image, strides=strides, padding=padding, dilation=dilation, shape=x.shape)
    return image(cotangent, kernel), jax.vjp(plain, kernel)[1](cotangent)[0]


def _grouped_image(
    cotangent: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair, shape: tuple[int, ...]
) -> jax.Array:
    """The gradient with respect to the map of `shape`."""
    if not _is_narrow(kernel, _NARROW_BACK):

        def of_group(part: jax.Array, filters: jax.Array) -> jax.Array:
            return dense_image(part, filters, strides, padding, dilation, shape[1:3])

        return _group_by_group(of_group, cotangent, kernel, shape[-1])

    def narrow(cotangent: jax.Array, kernel: jax.Array) -> jax.Array:
        cin = kernel.shape[2]
        parts = [
            depthwise_image(cotangent, kernel[:, :, place], strides, padding, dilation, shape[1:3]) for place in range(cin)
        ]
        grouped = jnp.stack(parts, axis=-1).reshape(*shape[:3], shape[3] // cin, -1, cin)
        return grouped.sum(axis=4).reshape(shape)

    return computed_once(narrow, cotangent, kernel)


grouped_conv.defvjp(_grouped_forward, _grouped_backward)
