"""Tensors of an ONNX graph while its function is built: known ones, and ones that depend on parameters or images.

ONNX keeps channels first; maps here lie in memory with channels last, as everywhere in CNNscope. So a value has *logical*
axes, those that the file speaks of, and an order in which they lie in memory. Transposing changes the order alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Value:
    """One tensor. array: NumPy if it is known while the graph is built, else JAX's. order: `order[i]` is the logical axis that
    axis `i` of the array holds; a map `(n, h, w, c)` in memory that the file calls `(n, c, h, w)` has the order `(0, 2, 3, 1)`.
    """

    array: np.ndarray | jax.Array
    order: tuple[int, ...]

    @classmethod
    def of(cls, array: np.ndarray | jax.Array) -> Value:
        """A value that lies in memory as the file speaks of it."""
        return cls(array, tuple(range(array.ndim)))

    @property
    def known(self) -> bool:
        return isinstance(self.array, np.ndarray)

    @property
    def rank(self) -> int:
        return len(self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        """The logical shape."""
        return tuple(self.array.shape[self.order.index(axis)] for axis in range(self.rank))

    @property
    def logical(self) -> np.ndarray | jax.Array:
        """The array with its axes as the file speaks of them."""
        return self.ordered(tuple(range(self.rank)))

    def ordered(self, order: tuple[int, ...]) -> np.ndarray | jax.Array:
        """The array with its axes in `order`; nothing is computed where they lie so already."""
        if order == self.order:
            return self.array
        permutation = [self.order.index(axis) for axis in order]
        return np.transpose(self.array, permutation) if self.known else jnp.transpose(self.array, permutation)

    def transposed(self, permutation: tuple[int, ...]) -> Value:
        """Logically transposed as `numpy.transpose` would: logical axis `j` of the result is `permutation[j]` of this one."""
        place = {axis: j for j, axis in enumerate(permutation)}
        return Value(self.array, tuple(place[axis] for axis in self.order))


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of maps `(n, *positions, c)` that the file calls `(n, c, *positions)`."""
    return (0, *range(2, rank), 1)


def side_by_side(values: Sequence[Value]) -> tuple[list[np.ndarray | jax.Array], tuple[int, ...]]:
    """The arrays of `values` with their axes in one order, so that they broadcast in memory as ONNX says they do logically.

    The order is that of the largest one that is not known, so that maps stay where they lie. Known values of one element come
    as numbers; known floats in the type of what is computed with them.
    """
    rank = max(value.rank for value in values)
    candidates = [value for value in values if value.rank == rank]
    live = [value for value in values if not value.known]
    lead = max(candidates, key=lambda value: (not value.known, value.array.size, value.order != tuple(range(rank))))
    dtype = next((value.array.dtype for value in live if value is not lead), None) if lead.known else lead.array.dtype
    arrays = []
    for value in values:
        array: np.ndarray | jax.Array
        if value.known and value.array.size == 1 and rank and value is not lead:
            array = value.array.reshape(())
        elif value.rank == rank:
            array = value.ordered(lead.order)
        else:
            flat = value.logical
            array = flat.reshape((1,) * (rank - flat.ndim) + flat.shape).transpose(lead.order)
        if live and value.known and dtype is not None and array.dtype.kind == np.dtype(dtype).kind:
            array = array.astype(dtype)
        arrays.append(array)
    return arrays, lead.order
