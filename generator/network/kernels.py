"""Convolutions that XLA's CPU backend is slow at, and their gradients, written so that it is fast.

XLA on the CPU runs a depthwise convolution as a generic grouped one. As a sum of k x k shifted multiplies it becomes
elementwise work that the compiler fuses into one loop over the channels. A 1 x 1 convolution is one flat matrix product.

The gradient of a dense convolution is one with its kernel turned round and the channels swapped. XLA reads the kernel in that
order, which keeps it from its fast convolution; laid out anew it does not. That of a strided one goes over a map spread out
with zeros, which XLA runs as written. But the pixels of one *phase* (rows and columns of equal remainder by the stride) meet
the same taps, so that it is a convolution for each phase, and together one whose phases are then interleaved (Shi et al. 2016,
sub-pixel convolution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

#: Up to so many filters of a first convolution XLA is 2-6 times as fast if colours have a fourth channel of zeros.
_FEW_FILTERS = 32


@dataclass(frozen=True)
class _Phases:
    """Along one axis: which taps the pixels of each phase were read by, and from how far away.

    taps: by phase, `(tap, offset)`: pixel `phase + stride * q` was read by `tap` at output position `q + offset`.
    low, high: smallest and largest offset. count: pixels of a phase.
    """

    taps: tuple[tuple[Pair, ...], ...]
    low: int
    high: int
    count: int

    @classmethod
    def of(cls, num_taps: int, stride: int, pad_low: int, dilation: int, length: int) -> _Phases:
        taps = tuple(
            tuple(
                (tap, (phase + pad_low - tap * dilation) // stride)
                for tap in range(num_taps)
                if (phase + pad_low - tap * dilation) % stride == 0
            )
            for phase in range(stride)
        )
        offsets = [offset for phase in taps for _, offset in phase]
        return cls(taps, min(offsets), max(offsets), -(-length // stride))

    def padding(self, num_positions: int) -> Pair:
        """What makes room for every offset around a map of `num_positions`; negative where positions are not needed."""
        return -self.low, self.high + self.count - num_positions


def _interleaved(phases: jax.Array, height: int, width: int) -> jax.Array:
    """`(n, q, q', s, s', c)` as `(n, height, width, c)`: phase and position make a pixel."""
    n, rows, columns, down, across, channels = phases.shape
    whole = phases.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * down, columns * across, channels)
    return whole[:, :height, :width]


# -- depthwise ----------------------------------------------------------------------------------------------------------


def shifted_sum(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    """Depthwise convolution as it is written down, the rule for its gradient not included: as `depthwise_conv`."""
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
    return computed_once(partial(shifted_sum, strides=strides, padding=padding, dilation=dilation), x, kernel)


def computed_once(function: Callable[..., jax.Array], x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`function(x, kernel)` in a branch that is always taken, which the compiler does not know.

    Cheap sums are otherwise computed anew in every loop that reads them: in the next layer, in what is reduced from the map,
    and in the gradients of the activation function. A branch's result is kept.
    """
    shape = jax.eval_shape(function, x, kernel)
    always = (lax.bitcast_convert_type(kernel.ravel()[0].astype(jnp.float32), jnp.uint32) | 1) != 0
    return lax.cond(always, function, lambda *_: jnp.zeros(shape.shape, shape.dtype), x, kernel)


def _depthwise_forward(x, kernel, strides, padding, dilation):
    return depthwise_conv(x, kernel, strides, padding, dilation), (x, kernel)


def _depthwise_backward(strides, padding, dilation, saved, cotangent):
    x, kernel = saved
    image = partial(depthwise_image, strides=strides, padding=padding, dilation=dilation, size=x.shape[1:3])
    return computed_once(image, cotangent, kernel), _depthwise_kernel(x, kernel, strides, padding, dilation, cotangent)


def depthwise_image(
    cotangent: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair, size: Pair
) -> jax.Array:
    """The gradient with respect to the map `(n, *size, c)`, phase by phase."""
    kh, kw, channels = kernel.shape
    down = _Phases.of(kh, strides[0], padding[0][0], dilation[0], size[0])
    across = _Phases.of(kw, strides[1], padding[1][0], dilation[1], size[1])
    config = (down.padding(cotangent.shape[1]), across.padding(cotangent.shape[2]))
    padded = lax.pad(cotangent, jnp.zeros((), cotangent.dtype), ((0, 0, 0), (*config[0], 0), (*config[1], 0), (0, 0, 0)))
    phases = []
    for rows in down.taps:
        for columns in across.taps:
            total = jnp.zeros((len(cotangent), down.count, across.count, channels), cotangent.dtype)
            for row, below in rows:
                for column, beside in columns:
                    y, x = below - down.low, beside - across.low
                    part = lax.slice(padded, (0, y, x, 0), (len(padded), y + down.count, x + across.count, channels))
                    total = total + part * kernel[row, column]
            phases.append(total)
    if len(phases) == 1:
        return phases[0]
    stacked = jnp.stack(phases, axis=3).reshape(*phases[0].shape[:3], *strides, channels)
    return _interleaved(stacked, *size)


def _depthwise_kernel(
    x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair, cotangent: jax.Array
) -> jax.Array:
    """The gradient with respect to the kernel."""
    (top, bottom), (left, right) = padding
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    taps = []
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            start = (0, row * dilation[0], column * dilation[1], 0)
            stop = (
                x.shape[0],
                start[1] + (cotangent.shape[1] - 1) * strides[0] + 1,
                start[2] + (cotangent.shape[2] - 1) * strides[1] + 1,
                x.shape[3],
            )
            taps.append(jnp.sum(lax.slice(padded, start, stop, (1, *strides, 1)) * cotangent, axis=(0, 1, 2)))
    return jnp.stack(taps).reshape(kernel.shape)


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)


# -- dense --------------------------------------------------------------------------------------------------------------


def pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """1 x 1 convolution with stride 1 as one matrix product. x: `(n, h, w, cin)`, kernel: `(cin, cout)`."""
    flat = x.reshape(-1, x.shape[-1]) @ kernel
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])


def dense(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    """Convolution of one group with XLA's own gradient: as `dense_conv`."""
    if x.shape[-1] == 3 and kernel.shape[-1] <= _FEW_FILTERS:
        x, kernel = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1))), jnp.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 0)))
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def dense_conv(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair) -> jax.Array:
    """Convolution of one group whose gradient with respect to the map is fast.

    x: `(n, h, w, cin)`. kernel: `(kh, kw, cin, cout)`. padding: `((top, bottom), (left, right))`. Returns `(n, h', w', cout)`.
    """
    return dense(x, kernel, strides, padding, dilation)


def _dense_forward(x, kernel, strides, padding, dilation):
    return dense(x, kernel, strides, padding, dilation), (x, kernel)


def _dense_backward(strides, padding, dilation, saved, cotangent):
    x, kernel = saved
    _, of_kernel = jax.vjp(lambda k: dense(x, k, strides, padding, dilation), kernel)
    return dense_image(cotangent, kernel, strides, padding, dilation, x.shape[1:3]), of_kernel(cotangent)[0]


def dense_image(
    cotangent: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, dilation: Pair, size: Pair
) -> jax.Array:
    """All phases as the output channels of one convolution of stride 1; taps that a phase does not meet are zero."""
    kh, kw, cin, cout = kernel.shape
    down = _Phases.of(kh, strides[0], padding[0][0], dilation[0], size[0])
    across = _Phases.of(kw, strides[1], padding[1][0], dilation[1], size[1])
    # Which tap stands at each offset of each phase; the last one, a kernel of zeros, where none does.
    taps = np.full((down.high - down.low + 1, across.high - across.low + 1, *strides), kh * kw)
    for phase_row, rows in enumerate(down.taps):
        for phase_column, columns in enumerate(across.taps):
            for row, below in rows:
                for column, beside in columns:
                    taps[below - down.low, beside - across.low, phase_row, phase_column] = row * kw + column
    flat = jnp.concatenate([kernel.reshape(kh * kw, cin, cout), jnp.zeros((1, cin, cout), kernel.dtype)])
    spread = flat[taps].transpose(0, 1, 5, 2, 3, 4).reshape(*taps.shape[:2], cout, -1)
    config = (down.padding(cotangent.shape[1]), across.padding(cotangent.shape[2]))
    phases = dense(cotangent, spread, (1, 1), config, (1, 1))
    return _interleaved(phases.reshape(*phases.shape[:3], *strides, cin), *size)


dense_conv.defvjp(_dense_forward, _dense_backward)
