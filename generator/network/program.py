"""A traced function as a flat list of equations over numbered slots.

`jax.make_jaxpr` nests jitted functions, custom derivatives and rematerialised blocks inside each other, and shares one inner
jaxpr between its call sites. Here they are spliced in, each with slots of its own, so that everything after this module
reads one list. Public JAX API only (`jax.extend.core`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.extend.core import primitives

Slot = int

#: How the names of scopes begin that belong to a layer of the network's own (`jax.named_scope("layer:block/add")`).
LAYER = "layer:"

#: Primitives that only call another jaxpr. Others with one inside (scan, while, cond) stay whole: they are control flow.
CALLS = {
    primitives.jit_p,
    primitives.call_p,
    primitives.closed_call_p,
    primitives.remat_p,
    primitives.custom_jvp_call_p,
    primitives.custom_vjp_call_p,
}


@dataclass(frozen=True)
class Constant:
    """A value known while tracing: a literal, or an array the function closed over."""

    value: Any


Operand = Slot | Constant


@dataclass(frozen=True)
class Equation:
    """`outputs = primitive(inputs)`.

    scope: names of the functions it was inlined from, outermost first (`relu6`). layers: the network's own layers that it is
    part of, outermost first: what it was traced in of `jax.named_scope("layer:NAME")`.
    """

    primitive: core.Primitive
    inputs: tuple[Operand, ...]
    outputs: tuple[Slot, ...]
    params: Mapping[str, Any]
    scope: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()

    @property
    def op(self) -> str:
        return self.primitive.name

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Inputs that are not constants."""
        return tuple(i for i in self.inputs if not isinstance(i, Constant))

    def run(self, *values: jax.Array) -> Sequence[jax.Array]:
        result = self.primitive.bind(*values, **self.params)
        return result if self.primitive.multiple_results else (result,)


@dataclass(frozen=True)
class Program:
    """A flattened function of parameters and one batch of images.

    parameters: slot of every leaf of the parameter pytree, by its path (`blocks/3/depthwise/kernel`), in the pytree's order.
    images: slot of the images. shapes, dtypes: of every slot. outputs: of the function, flattened.
    """

    parameters: Mapping[str, Slot]
    images: Slot
    equations: tuple[Equation, ...]
    outputs: tuple[Operand, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]

    def shape(self, operand: Operand) -> tuple[int, ...]:
        return tuple(jax.numpy.shape(operand.value)) if isinstance(operand, Constant) else self.shapes[operand]


def _layers(eqn: core.JaxprEqn) -> list[str]:
    """Names of the layers whose scopes an equation was traced in, from its own jaxpr on (inner stacks are relative)."""
    names = (str(getattr(entry, "name", "")) for entry in eqn.source_info.name_stack.stack)
    return [name.removeprefix(LAYER) for name in names if name.startswith(LAYER) and name != LAYER]


class _Flattener:
    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[Any] = []
        self.equations: list[Equation] = []

    def new_slot(self, aval: Any) -> Slot:
        self.shapes.append(tuple(aval.shape))
        self.dtypes.append(aval.dtype)
        return len(self.shapes) - 1

    def inline(
        self,
        jaxpr: core.Jaxpr,
        consts: Sequence[Any],
        args: Sequence[Operand],
        scope: tuple[str, ...] = (),
        layers: tuple[str, ...] = (),
    ) -> list[Operand]:
        operands: dict[core.Var, Operand] = dict(zip(jaxpr.constvars, map(Constant, consts), strict=True))
        operands.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: core.Var | core.Literal) -> Operand:
            return Constant(atom.val) if isinstance(atom, core.Literal) else operands[atom]

        for eqn in jaxpr.eqns:
            inputs = [read(atom) for atom in eqn.invars]
            inside = (*layers, *_layers(eqn))
            if eqn.primitive in CALLS:
                inner = eqn.params.get("call_jaxpr", eqn.params.get("jaxpr"))
                inner_jaxpr, inner_consts = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
                name = eqn.params.get("name")
                inner_scope = (*scope, str(name)) if name else scope
                found = self.inline(inner_jaxpr, inner_consts, inputs, inner_scope, inside)
                operands.update(zip(eqn.outvars, found, strict=True))
                continue
            outputs = tuple(self.new_slot(var.aval) for var in eqn.outvars)
            operands.update(zip(eqn.outvars, outputs, strict=True))
            self.equations.append(Equation(eqn.primitive, tuple(inputs), outputs, eqn.params, scope, inside))
        return [read(atom) for atom in jaxpr.outvars]


def flatten(apply: Callable[[Any, jax.Array], Any], params: Any, images: jax.ShapeDtypeStruct) -> Program:
    """Trace `apply(params, images)` and splice every nested jaxpr into one list.

    params: any pytree of arrays (only shapes and dtypes are read). images: `(n, h, w, c)`.
    """
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    structs = jax.tree_util.tree_map(
        lambda leaf: jax.ShapeDtypeStruct(jax.numpy.shape(leaf), jax.numpy.result_type(leaf)), params
    )
    closed = jax.make_jaxpr(apply)(structs, images)
    flattener = _Flattener()
    slots = [flattener.new_slot(var.aval) for var in closed.jaxpr.invars]
    outputs = flattener.inline(closed.jaxpr, closed.consts, slots)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return Program(
        parameters=dict(zip(names, slots, strict=False)),
        images=slots[-1],
        equations=tuple(flattener.equations),
        outputs=tuple(outputs),
        shapes=tuple(flattener.shapes),
        dtypes=tuple(flattener.dtypes),
    )


def needed(equations: Sequence[Any], wanted: Iterable[Operand]) -> tuple[list[Any], set[Slot]]:
    """The equations that `wanted` depends on, in order, and every slot those read or are."""
    alive = {slot for slot in wanted if not isinstance(slot, Constant)}
    kept = []
    for equation in reversed(equations):
        if any(slot in alive for slot in equation.outputs):
            kept.append(equation)
            alive.update(equation.slots)
    return kept[::-1], alive


def evaluate(equations: Sequence[Any], values: dict[Slot, jax.Array]) -> dict[Slot, jax.Array]:
    """Run `equations` in order on top of the known `values`, which are added to and returned."""
    for equation in equations:
        arguments = [i.value if isinstance(i, Constant) else values[i] for i in equation.inputs]
        values.update(zip(equation.outputs, equation.run(*arguments), strict=True))
    return values


def known(program: Program, operand: Operand) -> np.ndarray | None:
    """The value of an operand that depends on neither parameters nor images; None if it does."""
    if isinstance(operand, Constant):
        return np.asarray(operand.value)
    equations, alive = needed(program.equations, [operand])
    if alive & {program.images, *program.parameters.values()}:
        return None
    return np.asarray(evaluate(equations, {})[operand])
