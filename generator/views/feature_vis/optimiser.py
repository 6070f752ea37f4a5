"""The optimiser of spectra: Adam, half of whose normalisation is shared by all parameters of an image."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

MOMENTUM, DECAY = 0.9, 0.999


class _Memory(NamedTuple):
    """mean, square: running means of the gradient and of its square. step: how many there were."""

    mean: jax.Array
    square: jax.Array
    step: jax.Array


def half_shared_adam(rate: float) -> optax.GradientTransformation:
    """Adam (Kingma, Ba 2015) whose step is divided by the geometric mean of two lengths: each entry's, and its image's.

    Adam alone moves frequencies of next to no gradient as far as those that matter, which fills images with noise and drives
    their lowest frequencies to the ends of the range. Dividing by the image's length alone leaves fine detail behind.
    Parameters are float32 `(n, ...)`, an image each.
    """

    def init(parameters: jax.Array) -> _Memory:
        zeros = jnp.zeros_like(parameters)
        return _Memory(zeros, zeros, jnp.zeros((), jnp.int32))

    def update(gradient: jax.Array, memory: _Memory, _: jax.Array | None = None) -> tuple[jax.Array, _Memory]:
        step = memory.step + 1
        mean = MOMENTUM * memory.mean + (1 - MOMENTUM) * gradient
        square = DECAY * memory.square + (1 - DECAY) * jnp.square(gradient)
        own = square / (1 - DECAY**step)
        shared = own.mean(axis=tuple(range(1, own.ndim)), keepdims=True)
        length = jnp.sqrt(jnp.sqrt(own * shared))
        return -rate * mean / (1 - MOMENTUM**step) / (length + 1e-20), _Memory(mean, square, step)

    return optax.GradientTransformation(init, update)
