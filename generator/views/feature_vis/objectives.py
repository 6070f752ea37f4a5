"""What can be climbed: numbers made of a network's pre-activations, one for each image.

Objectives add, subtract and scale: `channel("conv4", 3) - 2 * channel("conv4", 7)` is one, too. Values are by layer, maps
`(n, h, w, c)` or vectors `(n, c)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import jax
import jax.numpy as jnp

Values = Mapping[str, jax.Array]


@dataclass(frozen=True)
class Objective:
    """layers: those it reads. of: from their values to float32 `(n,)`."""

    layers: tuple[str, ...]
    of: Callable[[Values], jax.Array]

    def __add__(self, other: Objective) -> Objective:
        layers = tuple(dict.fromkeys((*self.layers, *other.layers)))
        return Objective(layers, lambda values: self.of(values) + other.of(values))

    def __mul__(self, factor: float | jax.Array) -> Objective:
        return Objective(self.layers, lambda values: factor * self.of(values))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __sub__(self, other: Objective) -> Objective:
        return self + -other


def channel(layer: str, unit: int | jax.Array) -> Objective:
    """The mean of a channel's map; the number itself where a unit has but one, as the score of a class has."""
    return Objective((layer,), lambda values: _positions(values[layer])[:, :, unit].mean(axis=1))


def neuron(layer: str, unit: int | jax.Array, position: tuple[int, int] | None = None) -> Objective:
    """One position `(row, column)` of a channel's map, the middle unless one is given."""

    def of(values: Values) -> jax.Array:
        row, column = position or tuple(side // 2 for side in values[layer].shape[1:3])
        return values[layer][:, row, column, unit]

    return Objective((layer,), of)


def direction(layer: str, vector: jax.Array, power: float = 1.0) -> Objective:
    """How far values lie along `vector` `(c,)`, times how well they point that way (cosine, at least 0.1) to `power`.

    The mean over positions. With power 0 a plain projection; more keeps what else is active small (Carter et al. 2019).
    """

    def of(values: Values) -> jax.Array:
        flat = _positions(values[layer])
        along = flat @ vector
        lengths = jnp.sqrt(jnp.square(flat).sum(axis=2) * jnp.square(vector).sum() + 1e-12)
        return (along * jnp.maximum(along / lengths, 0.1) ** power).mean(axis=1)

    return Objective((layer,), of)


def deep_dream(layer: str) -> Objective:
    """All of a layer at once: the mean square of its values (Mordvintsev, Olah, Tyka 2015)."""
    return Objective((layer,), lambda values: jnp.square(_positions(values[layer])).mean(axis=(1, 2)))


def diversity(layer: str) -> Objective:
    """How different the images of a batch look to a layer: minus the mean cosine between their Gram matrices.

    Olah, Mordvintsev, Schubert 2017, "diversity", with the style of Gatys, Ecker, Bethge 2015. -1 to 0, and 0 for one alone.
    """

    def of(values: Values) -> jax.Array:
        flat = _positions(values[layer])
        count, num_positions, num_units = flat.shape
        if num_units <= num_positions:
            grams = jnp.einsum("npc,npd->ncd", flat, flat).reshape(count, -1)
            products = grams @ grams.T
        else:  # the same without the matrices: <A'A, B'B> = |A B'|^2
            products = jnp.stack([jnp.square(jnp.einsum("pc,mqc->mpq", one, flat)).sum(axis=(1, 2)) for one in flat])
        lengths = jnp.sqrt(jnp.diag(products) + 1e-12)
        cosines = products / (lengths[:, None] * lengths)
        total = jnp.zeros(count)
        for one, other in combinations(range(count), 2):
            total = total.at[jnp.array([one, other])].add(cosines[one, other])
        return -total / max(1, count - 1)

    return Objective((layer,), of)


def _positions(value: jax.Array) -> jax.Array:
    """`(n, positions, c)`."""
    return value.reshape(len(value), -1, value.shape[-1])
