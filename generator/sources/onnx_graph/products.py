"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from generator.sources.onnx_graph.registry import Node, affordable, operator
from generator.sources.onnx_graph.values import Value


@operator("Gemm")
def gemm(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    a, b, c = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    left, right = jnp.asarray(a.logical), jnp.asarray(b.logical)
    left = left.T if node.get("transA", 0) else left
    right = right.T if node.get("transB", 0) else right
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    found = left @ right
    if alpha != 1:
        found = found * alpha
    if c is not None and beta != 0:
        offset = jnp.asarray(c.logical)
        found = found + (offset if beta == 1 else offset * beta)
    return [Value.of(found.astype(left.dtype))]


@operator("MatMul")
def matmul(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    a, b = inputs
    if a.known and b.known:
        affordable(jax.eval_shape(jnp.matmul, a.logical, b.logical).shape, inputs)
        return [Value.of(a.logical @ b.logical)]
    if b.rank == 2 and a.rank > 2 and a.order[-1] == a.rank - 1:
        # Pixel by pixel: the map stays where it lies.
        return [Value(jnp.matmul(a.array, jnp.asarray(b.logical)), a.order)]
    return [Value.of(jnp.matmul(jnp.asarray(a.logical), jnp.asarray(b.logical)))]


@operator("Einsum")
def einsum(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    return [Value.of(jnp.einsum(node.get("equation"), *(jnp.asarray(value.logical) for value in inputs)))]


@operator("Det")
def det(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    return [Value.of(jnp.linalg.det(jnp.asarray(inputs[0].logical)))]
