"""The program that is really run: every kernel layer folded into one step, parameters-only work done once beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax

from generator.network import folding
from generator.network.grouped import grouped_conv
from generator.network.kernels import dense_conv, depthwise_conv, pointwise_conv
from generator.network.pooling import faster
from generator.network.program import Constant, Equation, Operand, Program, Slot
from generator.network.trace import Node, Trace

Prepare = Callable[[Iterable[Slot], Callable[[Mapping[Slot, jax.Array]], list[jax.Array]]], list[jax.Array]]


@dataclass(frozen=True)
class FoldedLayer:
    """`convolution(x, kernel) + offset`, in place of the equations that did it in several passes over the map."""

    convolution: Equation
    inputs: tuple[Operand, ...]
    outputs: tuple[Slot, ...]
    offset_shape: tuple[int, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(i for i in self.inputs if not isinstance(i, Constant))

    def run(self, x: jax.Array, kernel: jax.Array, offset: jax.Array) -> tuple[jax.Array]:
        return (convolve(self.convolution, x, kernel) + offset.reshape(self.offset_shape),)


@dataclass(frozen=True)
class Rewritten:
    """The steps to run for one batch. plain: slots in them whose values the program computes from parameters alone.

    folded: by slot, the kernels and offsets of folded layers, each as a function of the program's parameter-only values.
    reads: for each of those, the slots it is computed from.
    """

    steps: list[Equation | FoldedLayer]
    plain: frozenset[Slot]
    folded: Mapping[Slot, Callable[[Mapping[Slot, jax.Array]], jax.Array]]
    reads: Mapping[Slot, list[Slot]]

    def frontier(self, alive: Iterable[Slot]) -> list[Slot]:
        """Those of the slots `alive` whose values depend on parameters alone: what a compiled function takes as constants."""
        return sorted(slot for slot in alive if slot in self.plain or slot in self.folded)

    def constants(self, frontier: Sequence[Slot], prepare: Prepare) -> list[jax.Array]:
        """The values of `frontier`. prepare: evaluates what depends on parameters alone (`Network`)."""

        def derive(values: Mapping[Slot, jax.Array]) -> list[jax.Array]:
            return [self.folded[slot](values) if slot in self.folded else values[slot] for slot in frontier]

        return prepare([slot for s in frontier for slot in self.reads.get(s, [s])], derive)


def rewrite(traced: Trace) -> Rewritten:
    """Fold every layer that can be folded, and divide image-independent work from the rest."""
    program, folds = traced.program, folding.find(traced)
    ends = {fold.end: traced.nodes[name] for name, fold in folds.items() if _foldable(traced.nodes[name], traced)}
    body = [equation for equation in program.equations if equation.outputs[0] in traced.active]
    repeated, plain = _split_constants(body, traced)
    steps: list[Equation | FoldedLayer] = list(repeated)
    folded, reads = {}, {}
    fresh = len(program.shapes)
    for equation in body:
        node = ends.get(equation.outputs[0])
        if node is None:
            steps.append(faster(equation, program.dtypes[equation.outputs[0]]))
            continue
        fold, axis = folds[node.name], node.layout[-1] if node.layout is not None else -1
        offset_shape = [1] * len(program.shapes[node.first])
        offset_shape[axis] = channels = program.shapes[node.first][axis]
        folded[fresh] = partial(_folded_kernel, node, fold.steps, channels)
        folded[fresh + 1] = partial(_folded_offset, node, fold.steps, channels)
        reads[fresh] = [node.kernel, *fold.slots]
        reads[fresh + 1] = reads[fresh]
        inputs = (node.equation.inputs[0], fresh, fresh + 1)
        steps.append(FoldedLayer(node.equation, inputs, equation.outputs, tuple(offset_shape)))
        fresh += 2
    return Rewritten(steps, plain, folded, reads)


def _folded_kernel(node: Node, steps: tuple[folding.Step, ...], channels: int, values: Mapping[Slot, jax.Array]) -> jax.Array:
    kernel = values[node.kernel]
    scale, _ = folding.compose(steps, values, channels, kernel.dtype)
    return scaled_kernel(node.equation, kernel, scale)


def _folded_offset(node: Node, steps: tuple[folding.Step, ...], channels: int, values: Mapping[Slot, jax.Array]) -> jax.Array:
    return folding.compose(steps, values, channels, values[node.kernel].dtype)[1]


def _foldable(node: Node, traced: Trace) -> bool:
    """Convolutions and plain `x @ kernel`; products with the kernel on the left or of a higher rank run as they are."""
    plain = node.equation.op == "conv_general_dilated"
    if node.equation.op == "dot_general":
        (_, contracted), (_, batched) = node.equation.params["dimension_numbers"]
        plain = len(traced.program.shapes[node.kernel]) == 2 and len(contracted) == 1 and not batched
    return plain and node.equation.inputs[0] in traced.active


def scaled_kernel(equation: Equation, kernel: jax.Array, scale: jax.Array) -> jax.Array:
    """The kernel times one factor per output channel. scale: `(cout,)`."""
    if equation.op == "conv_general_dilated":
        axis = equation.params["dimension_numbers"].rhs_spec[0]
    else:
        (contracted,) = equation.params["dimension_numbers"][0][1]
        axis = 1 - contracted
    shape = [1] * kernel.ndim
    shape[axis] = -1
    return kernel * scale.reshape(shape)


def _split_constants(body: Iterable[Equation], traced: Trace) -> tuple[list[Equation], frozenset[Slot]]:
    """Divides what the body reads of image-independent values into equations to repeat and slots to compute beforehand.

    Repeated is what is cheaper to make again than to keep: values made of no parameter at all, and broadcasts to a larger size.
    """
    program = traced.program
    parametric = set(program.parameters.values())
    producers: dict[Slot, Equation] = {}
    for equation in program.equations:
        if equation.outputs[0] in traced.active:
            continue
        producers.update(dict.fromkeys(equation.outputs, equation))
        if any(slot in parametric for slot in equation.slots):
            parametric.update(equation.outputs)
    front = [slot for equation in body for slot in equation.slots if slot not in traced.active]
    seen, repeated, frontier = set(front), set(), []
    while front:
        slot = front.pop()
        producer = producers.get(slot)
        grows = producer is not None and producer.op == "broadcast_in_dim" and _grows(producer, program)
        if producer is None or (slot in parametric and not grows):
            frontier.append(slot)
            continue
        repeated.update(producer.outputs)
        front += [s for s in producer.slots if s not in seen]
        seen.update(producer.slots)
    return [equation for equation in program.equations if equation.outputs[0] in repeated], frozenset(frontier)


def _grows(equation: Equation, program: Program) -> bool:
    return math.prod(program.shapes[equation.outputs[0]]) > math.prod(program.shape(equation.inputs[0]))


def convolve(equation: Equation, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Run a `conv_general_dilated` or `dot_general` equation, through the faster kernels where they apply (on CPUs only)."""
    params = equation.params
    if equation.op != "conv_general_dilated" or x.ndim != 4 or jax.default_backend() != "cpu":
        return equation.run(x, kernel)[0]
    numbers = params["dimension_numbers"]
    plain = (
        numbers.lhs_spec == numbers.out_spec == (0, 3, 1, 2)
        and numbers.rhs_spec == (3, 2, 0, 1)
        and tuple(params["lhs_dilation"]) == (1, 1)
        and params["batch_group_count"] == 1
    )
    if not plain:
        return equation.run(x, kernel)[0]
    kh, kw, _, cout = kernel.shape
    groups = params["feature_group_count"]
    strides, padding = tuple(params["window_strides"]), tuple(tuple(pair) for pair in params["padding"])
    dilation = tuple(params["rhs_dilation"])
    if groups > 1 and groups == cout == x.shape[-1]:
        return depthwise_conv(x, kernel[:, :, 0], strides, padding, dilation)
    if groups > 1:
        return grouped_conv(x, kernel, strides, padding, dilation)
    if (kh, kw) == (1, 1) and padding == ((0, 0), (0, 0)):
        return pointwise_conv(x[:, :: strides[0], :: strides[1]], kernel[0, 0])
    return dense_conv(x, kernel, strides, padding, dilation)
