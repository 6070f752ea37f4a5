"""Reads the layers of a network out of its flattened program.

Every value that depends on the image belongs to a node. A convolution or matrix product with a parameter starts one;
elementwise work on one node's values stays with it (bias, normalisation, activation); where the values of two nodes meet,
a join begins.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from generator.errors import NetworkError, Problem
from generator.network import fields, ops
from generator.network.graph import INPUT, Graph, Layer
from generator.network.program import Constant, Equation, Program, Slot


@dataclass
class Node:
    """A layer while it is being traced. first, pre, last: slots of its first value, of the last one that is affine in it (the
    pre-activation), and of its activation. kernel: the kernel's slot; parameters: those that flow into the node."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    equation: Equation
    first: Slot
    pre: Slot
    last: Slot
    layout: fields.Layout | None
    field: fields.Field
    kernel: Slot | None = None
    activation: str | None = None
    parameters: set[Slot] = field(default_factory=set)


@dataclass(frozen=True)
class Trace:
    """graph: the layers. nodes: where each layer's values are in `program`. active: slots that depend on the image."""

    program: Program
    graph: Graph
    nodes: Mapping[str, Node]
    active: frozenset[Slot]


class _Tracer:
    def __init__(self, program: Program):
        self.program = program
        self.owner: dict[Slot, str] = {program.images: INPUT}
        self.layouts: dict[Slot, fields.Layout | None] = {program.images: (0, 1, 2, 3)}
        self.fields: dict[Slot, fields.Field] = {program.images: fields.PIXEL}
        self.origin: dict[Slot, frozenset[Slot]] = {slot: frozenset({slot}) for slot in program.parameters.values()}
        self.path = {slot: path for path, slot in program.parameters.items()}
        self.affine: set[Slot] = set()
        self.nodes: dict[str, Node] = {}
        self.numbers: Counter[str] = Counter()
        self.readers: defaultdict[Slot, list[Equation]] = defaultdict(list)
        for equation in program.equations:
            for slot in equation.slots:
                self.readers[slot].append(equation)

    def run(self) -> None:
        for equation in self.program.equations:
            active = [slot for slot in equation.slots if slot in self.owner]
            if not active:
                self._constant(equation)
                continue
            layout = self._layout(equation, active[0])
            seen = fields.through(equation, self.program, self.fields, self.layouts)
            owners = tuple(dict.fromkeys(self.owner[slot] for slot in active))
            if len(owners) == 1 and self._belongs(equation, active[0]):
                self._extend(equation, owners[0], active, layout, seen)
            elif equation.op == "concatenate":  # an input that occurs twice brings its channels twice
                self._begin(equation, tuple(self.owner[slot] for slot in active), active, layout, seen)
            else:
                self._begin(equation, owners, active, layout, seen)

    def _constant(self, equation: Equation) -> None:
        """Values made of parameters alone remember which ones."""
        origin = frozenset().union(*(self.origin.get(slot, frozenset()) for slot in equation.slots))
        self.origin.update(dict.fromkeys(equation.outputs, origin))

    def _parameters(self, equation: Equation) -> frozenset[Slot]:
        return frozenset().union(*(self.origin.get(slot, frozenset()) for slot in equation.slots if slot not in self.owner))

    def _kernel(self, equation: Equation) -> Slot | None:
        if equation.op not in ("conv_general_dilated", "dot_general"):
            return None
        constants = [slot for slot in equation.slots if slot not in self.owner and self.origin.get(slot)]
        return constants[0] if len(constants) == 1 else None

    def _belongs(self, equation: Equation, source: Slot) -> bool:
        """Whether an equation with one owner continues that node instead of beginning a new one."""
        if equation.op in ops.ELEMENTWISE or equation.op in ops.MOVES:
            return not self._renumbers_channels(equation, source)
        layout = self.layouts.get(source)
        if equation.op in ops.REDUCTIONS:
            channel = layout[-1] if layout else len(self.program.shapes[source]) - 1
            return set(equation.params["axes"]) <= {channel} or self._rejoins(equation, source)
        if equation.op.startswith("reduce_window") and layout and len(layout) == 4:
            window = equation.params["window_dimensions"]
            return all(window[axis] == 1 for axis in layout[1:3])  # across channels only: local response normalisation
        return equation.op in ("cumsum", "sort", "iota", "random_bits")

    def _renumbers_channels(self, equation: Equation, source: Slot) -> bool:
        """A slice of some channels, or more of them by padding, is a node of its own: unit numbers change there."""
        layout = self.layouts.get(source)
        if equation.op not in ("slice", "pad") or layout is None:
            return False
        axis = layout[-1]
        return self.program.shapes[source][axis] != self.program.shapes[equation.outputs[0]][axis]

    def _rejoins(self, equation: Equation, source: Slot) -> bool:
        """Whether a reduction is a statistic that normalises the very values it was taken of (`x - mean(x)`)."""
        owned = [slot for slot, owner in self.owner.items() if owner == self.owner[source]]
        values = self._reach(owned, ops.ELEMENTWISE | ops.MOVES)
        statistic = self._reach(equation.outputs, ops.ELEMENTWISE | ops.MOVES | ops.REDUCTIONS)
        return any(
            reader.op in ops.ELEMENTWISE and any(slot in values and slot not in statistic for slot in reader.slots)
            for slot in statistic
            for reader in self.readers[slot]
        )

    def _reach(self, slots: Iterable[Slot], through: frozenset[str]) -> set[Slot]:
        """Every slot computed from `slots` by the operations `through` alone."""
        front = list(slots)
        seen = set(front)
        while front:
            for reader in self.readers[front.pop()]:
                if reader.op in through:
                    front += [slot for slot in reader.outputs if slot not in seen]
                    seen.update(reader.outputs)
        return seen

    def _layout(self, equation: Equation, source: Slot) -> fields.Layout | None:
        """Which axes of the output are n, h, w, c; None when it has no positions."""
        before, after = self.layouts.get(source), self.program.shapes[equation.outputs[0]]
        if equation.op == "conv_general_dilated" and len(after) == 4:
            n, c, h, w = equation.params["dimension_numbers"].out_spec
            return (n, h, w, c)
        if equation.op == "transpose" and before is not None and len(before) == 4:
            permutation = equation.params["permutation"]
            return tuple(permutation.index(axis) for axis in before)
        if before is not None and len(before) == len(after):
            return before
        return (0, 1, 2, 3) if len(after) == 4 and equation.op == "reshape" else None

    def _extend(
        self, equation: Equation, owner: str, active: list[Slot], layout: fields.Layout | None, seen: fields.Field
    ) -> None:
        self._note(equation.outputs, owner, layout, seen)
        node = self.nodes.get(owner)
        affine = len(active) == 1 and active[0] in self.affine and self._is_affine(equation, active[0])
        if affine:
            self.affine.update(equation.outputs)
        if node is None:
            return
        node.parameters |= self._parameters(equation)
        same_shape = self.program.shapes[equation.outputs[0]] == self.program.shapes[node.first]
        if not affine and node.activation is None and (same_shape or equation.op == "reduce_max"):
            node.activation = self._activation(equation)
        elif equation.op == "mul" and len(active) == 2 and active[0] != active[1]:
            node.activation = ops.GATED.get(node.activation, node.activation)
        if same_shape and layout == node.layout:
            node.last = equation.outputs[0]
            if affine:
                node.pre = node.last

    def _is_affine(self, equation: Equation, active: Slot) -> bool:
        if equation.op == "div":
            return equation.inputs[0] == active
        return equation.op in ops.AFFINE or equation.op in ops.MOVES

    def _activation(self, equation: Equation) -> str | None:
        for name in equation.scope:
            if name.strip("_") in ops.ACTIVATIONS:
                return ops.ACTIVATIONS[name.strip("_")]
        if equation.op == "max":
            zero = any(isinstance(i, Constant) and i.value.ndim == 0 and i.value == 0 for i in equation.inputs)
            return "ReLU" if zero else None
        return ops.ACTIVATION_PRIMITIVES.get(equation.op)

    def _begin(
        self, equation: Equation, owners: tuple[str, ...], active: list[Slot], layout: fields.Layout | None, seen: fields.Field
    ) -> None:
        """A node for each output: only control flow and `split` have several."""
        kernel = self._kernel(equation)
        kind = self._kind(equation, kernel, active[0])
        self.affine.update(equation.outputs)
        for first in equation.outputs:
            name = self._name(kind, kernel)
            self._note((first,), name, layout, seen)
            parameters = set(self._parameters(equation))
            self.nodes[name] = Node(name, kind, owners, equation, first, first, first, layout, seen, kernel, None, parameters)

    def _note(self, outputs: tuple[Slot, ...], owner: str, layout: fields.Layout | None, seen: fields.Field) -> None:
        for slot in outputs:
            self.owner[slot], self.layouts[slot], self.fields[slot] = owner, layout, seen

    def _kind(self, equation: Equation, kernel: Slot | None, source: Slot) -> str:
        if kernel is None:
            return ops.KINDS.get(equation.op, equation.op)
        if equation.op == "dot_general":
            return "dense"
        groups, lhs = equation.params["feature_group_count"], equation.params["dimension_numbers"].lhs_spec
        return "depthwise_conv" if groups > 1 and groups == self.program.shapes[source][lhs[1]] else "conv"

    def _name(self, kind: str, kernel: Slot | None) -> str:
        if kernel is None:
            self.numbers[kind] += 1
            return f"{kind}_{self.numbers[kind]}"
        largest = max(self.origin[kernel], key=lambda slot: (math.prod(self.program.shapes[slot]), -slot))
        *parents, leaf = self.path[largest].removeprefix("params/").split("/")
        stem = "/".join(parents) if parents and leaf in ops.KERNEL_NAMES else "/".join([*parents, leaf])
        self.numbers[stem] += 1  # a layer that is applied again keeps its name and gets a number
        return stem if self.numbers[stem] == 1 else f"{stem}@{self.numbers[stem]}"


def _kernel_shape(node: Node, program: Program) -> tuple[int, ...] | None:
    if node.kernel is None:
        return None
    shape = program.shapes[node.kernel]
    if node.equation.op == "dot_general":
        return (math.prod(shape) // program.shapes[node.first][-1], program.shapes[node.first][-1])
    out, cin, *spatial = node.equation.params["dimension_numbers"].rhs_spec
    return (*(shape[axis] for axis in spatial), shape[cin], shape[out])


def _layer(node: Node, tracer: _Tracer) -> Layer:
    program = tracer.program
    shape = program.shapes[node.first]
    if node.layout is not None:
        shape = tuple(shape[axis] for axis in node.layout)
    kernel = _kernel_shape(node, program)
    params = node.equation.params
    is_conv = node.kernel is not None and node.equation.op == "conv_general_dilated"
    window = list((node.layout or ())[1:3]) if "window_strides" in params and not is_conv else []
    return Layer(
        name=node.name,
        kind=node.kind,
        inputs=node.inputs,
        shape=shape[1:],
        activation=node.activation,
        num_params=sum(math.prod(program.shapes[slot]) for slot in node.parameters),
        flops=2 * math.prod(kernel[:-1]) * math.prod(shape[1:]) if kernel else 0,
        receptive_field=fields.record(node.field, program.shapes[program.images][1:3]),
        kernel_shape=kernel or (tuple(params["window_dimensions"][a] for a in window) if window else None),
        strides=tuple(params["window_strides"])[:2] if is_conv else tuple(params["window_strides"][a] for a in window) or None,
        dilation=tuple(params["rhs_dilation"])[:2] if is_conv else None,
        groups=params["feature_group_count"] if is_conv else 1,
    )


def trace(program: Program) -> Trace:
    """Find the layers of `program`.

    Raises `NetworkError` when the images are not `(n, h, w, c)` or the outputs do not depend on them.
    """
    if len(program.shapes[program.images]) != 4:
        raise NetworkError(Problem("network", f"images of shape {program.shapes[program.images]}", "give (n, h, w, c)"))
    tracer = _Tracer(program)
    tracer.run()
    outputs = [tracer.owner.get(slot) for slot in program.outputs if isinstance(slot, int)]
    if not outputs or None in outputs:
        raise NetworkError(Problem("network", "its output does not depend on the image", "return the logits of `apply`"))
    graph = Graph(
        input_shape=program.shapes[program.images][1:],
        layers=tuple(_layer(node, tracer) for node in tracer.nodes.values()),
        outputs=tuple(dict.fromkeys(outputs)),
    )
    return Trace(program, graph, tracer.nodes, frozenset(tracer.owner))
