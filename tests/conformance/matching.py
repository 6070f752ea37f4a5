"""Which of our values belongs to a module of another framework, and how far apart the two are.

A module's output is the last value that our program computes in the module's `layer:` scope or in one below it
(`Trace.scopes`), taken from the program as traced, before anything is folded or rewritten. Maps may lie with their channels
first or last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.network.execute import Network


@dataclass(frozen=True)
class ScopeValues:
    """values: the last one of every scope, by the scope's name; order: when it was computed. outputs: of the network."""

    values: Mapping[str, np.ndarray]
    order: Mapping[str, int]
    outputs: list[np.ndarray]

    def of(self, module: str) -> np.ndarray | None:
        """The output of the module at the path `module` (`layer1/0/conv1`); None if it computes nothing."""
        inside = [scope for scope in self.values if scope == module or scope.startswith(f"{module}/")]
        return self.values[max(inside, key=self.order.__getitem__)] if inside else None


def scope_values(network: Network, images: np.ndarray) -> ScopeValues:
    """Everything that `network` computes for `images`, float32 `(n, h, w, c)`, by scope."""
    import jax

    from generator.network.program import evaluate

    traced = network._traced(len(images), network.input_shape)
    program = traced.program
    outputs = [slot for slot in program.outputs if isinstance(slot, int)]
    wanted = sorted({*traced.scopes.values(), *outputs})
    leaves = jax.tree_util.tree_leaves(network._params)

    def everything(leaves: list[Any], images: Any) -> list[Any]:
        known = dict(zip(program.parameters.values(), leaves, strict=True))
        values = evaluate(program.equations, {**known, program.images: images})
        return [values[slot] for slot in wanted]

    compiled = jax.jit(everything, compiler_options={"xla_backend_optimization_level": 0})
    values = dict(zip(wanted, map(np.asarray, compiled(leaves, images)), strict=True))
    order = {slot: number for number, equation in enumerate(program.equations) for slot in equation.outputs}
    return ScopeValues(
        {scope: values[slot] for scope, slot in traced.scopes.items()},
        {scope: order[slot] for scope, slot in traced.scopes.items()},
        [values[slot] for slot in outputs],
    )


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference over largest value, in whichever order of axes fits best; infinite if none does, or for NaN."""
    orders = [theirs, *([theirs.transpose(0, 2, 3, 1)] if theirs.ndim == 4 else [])]
    scale = float(np.abs(theirs).max(initial=0.0)) or 1.0
    errors = [float(np.abs(ours - candidate).max(initial=0.0)) / scale for candidate in orders if candidate.shape == ours.shape]
    return min((error for error in errors if error == error), default=float("inf"))
