"""Reads the layers of a network out of its flattened program.

Every value that depends on the image belongs to a node. A convolution or matrix product with a parameter starts one;
elementwise work on one node's values stays with it (bias, normalisation, activation); where the values of two nodes meet,
a join begins.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from generator.errors import NetworkError, Problem
from generator.network import axes, fields, ops
from generator.network.graph import INPUT, Graph, Layer
from generator.network.layer_names import Names
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
    layout: axes.Layout | None
    field: fields.Field
    kernel: Slot | None = None
    activation: str | None = None
    parameters: set[Slot] = field(default_factory=set)


@dataclass(frozen=True)
class Trace:
    """graph: the layers. nodes: where each layer's values are in `program`. active: slots that depend on the image.

    scopes: the last value computed in each `layer:` scope, by the name that the network's owner gave the layer.
    """

    program: Program
    graph: Graph
    nodes: Mapping[str, Node]
    active: frozenset[Slot]
    scopes: Mapping[str, Slot] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sight:
    """What is known of a value: what its axes stand for, its layout if it is a map, and its field.

    is_rearranged: its rows, columns or channels were put together anew, so that unit numbers or positions change here.
    holds_copies: by repeating them.
    """

    axes: axes.Axes | None
    layout: axes.Layout | None
    field: fields.Field
    is_rearranged: bool = False
    holds_copies: bool = False


class _Tracer:
    def __init__(self, program: Program):
        self.program = program
        self.owner: dict[Slot, str] = {program.images: INPUT}
        self.axes = {program.images: axes.of_layout((0, 1, 2, 3), program.shapes[program.images])}
        self.layouts: dict[Slot, axes.Layout | None] = {program.images: (0, 1, 2, 3)}
        self.fields: dict[Slot, fields.Field] = {program.images: fields.PIXEL}
        self.origin: dict[Slot, frozenset[Slot]] = {slot: frozenset({slot}) for slot in program.parameters.values()}
        self.path = {slot: path for path, slot in program.parameters.items()}
        self.affine: set[Slot] = set()
        self.nodes: dict[str, Node] = {}
        self.names = Names(program.parameters)
        self.scopes: dict[str, Slot] = {}
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
            seen = [self._sight(equation, output) for output in equation.outputs]
            owners = tuple(dict.fromkeys(self.owner[slot] for slot in active))
            if len(owners) == 1 and not seen[0].is_rearranged and self._belongs(equation, active[0]):
                self._extend(equation, owners[0], active, seen)
            elif equation.op == "concatenate":  # an input that occurs twice brings its channels twice
                self._begin(equation, tuple(self.owner[slot] for slot in active), active, seen)
            else:
                self._begin(equation, owners, active, seen)
            self.scopes.update(dict.fromkeys(equation.layers, equation.outputs[0]))

    def _sight(self, equation: Equation, output: Slot) -> _Sight:
        found = axes.through(equation, self.program, self.axes, output)
        field = fields.through(equation, self.program, self.fields, self.axes, found)
        layout = axes.layout(found)
        if layout is None or not axes.is_rearranged(found, layout):
            return _Sight(found, layout, field)
        whole = axes.of_layout(layout, self.program.shapes[output])
        return _Sight(whole, layout, fields.rearranged(field, found, layout), True, axes.holds_copies(found))

    def _constant(self, equation: Equation) -> None:
        """Values made of parameters alone remember which ones."""
        origin = frozenset().union(*(self.origin.get(slot, frozenset()) for slot in equation.slots))
        self.origin.update(dict.fromkeys(equation.outputs, origin))

    def _parameters(self, equation: Equation) -> frozenset[Slot]:
        return frozenset().union(*(self.origin.get(slot, frozenset()) for slot in equation.slots if slot not in self.owner))

    def _kernel(self, equation: Equation) -> Slot | None:
        is_conv = equation.op == "conv_general_dilated" and len(equation.params["window_strides"]) == 2
        if not is_conv and equation.op != "dot_general":
            return None
        constants = [slot for slot in equation.slots if slot not in self.owner and self.origin.get(slot)]
        return constants[0] if len(constants) == 1 else None

    def _belongs(self, equation: Equation, source: Slot) -> bool:
        """Whether an equation with one owner continues that node instead of beginning a new one."""
        if equation.op in ops.ELEMENTWISE or equation.op in ops.MOVES:
            return not self._renumbers_channels(equation, source)
        if equation.op in ops.REDUCTIONS:
            return equation.op in ("argmax", "argmin") or self._rejoins(equation, source)
        layout = self.layouts.get(source)
        if equation.op.startswith("reduce_window") and layout:
            window = equation.params["window_dimensions"]
            return all(window[axis] == 1 for axis in layout[1:3])  # across channels only: local response normalisation
        return equation.op in ("cumsum", "sort", "iota", "random_bits")

    def _renumbers_channels(self, equation: Equation, source: Slot) -> bool:
        """Some of the channels, or more of them by padding, or in another order: a node of its own, as unit numbers change."""
        layout = self.layouts.get(source)
        if layout is None:
            return False
        if equation.op == "rev":
            return layout[-1] in equation.params["dimensions"]
        shapes = (self.program.shapes[slot][layout[-1]] for slot in (source, *equation.outputs[:1]))
        return equation.op in ("slice", "pad") and len(set(shapes)) > 1

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

    def _extend(self, equation: Equation, owner: str, active: list[Slot], seen: list[_Sight]) -> None:
        self._note(equation.outputs, owner, seen)
        node = self.nodes.get(owner)
        affine = len(active) == 1 and active[0] in self.affine and self._is_affine(equation, active[0])
        if affine:
            self.affine.update(equation.outputs)
        if node is None:
            return
        node.parameters |= self._parameters(equation)
        output, layout = equation.outputs[0], seen[0].layout
        if (
            node.kernel is None
            and equation.op in ops.MOVES
            and active == [node.last] == [node.pre]
            and self._is_same_map(node, output, layout)
        ):
            node.first = node.pre = node.last = output
            node.layout = layout
            return
        same_shape = self.program.shapes[output] == self.program.shapes[node.first]
        if not affine and node.activation is None and (same_shape or equation.op == "reduce_max"):
            node.activation = self._activation(equation)
        elif equation.op == "mul" and len(active) == 2 and active[0] != active[1]:
            node.activation = ops.GATED.get(node.activation, node.activation)
        if same_shape and layout == node.layout:
            node.last = output
            if affine:
                node.pre = node.last

    def _is_same_map(self, node: Node, output: Slot, layout: axes.Layout | None) -> bool:
        """Whether a value is the map of `node`, laid out in another way, or with an axis for its only channel."""
        before, after = (_map_shape(self.program, *value) for value in ((node.last, node.layout), (output, layout)))
        return layout is not None and (before == after or (*before, 1) == after)

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

    def _begin(self, equation: Equation, owners: tuple[str, ...], active: list[Slot], seen: list[_Sight]) -> None:
        """A node for each output: only control flow and `split` have several."""
        kernel = self._kernel(equation)
        kind = self._kind(equation, kernel, active[0], seen[0])
        before = self.nodes.get(owners[0])
        self.affine.update(equation.outputs)
        if kind == "resize" and before and before.kind == kind and before.activation is None and len(owners) == 1:
            # Columns after rows: one resizing.
            self._note(equation.outputs, before.name, seen)
            before.first = before.pre = before.last = equation.outputs[0]
            before.layout, before.field = seen[0].layout, seen[0].field
            return
        for first, sight in zip(equation.outputs, seen, strict=True):
            name = self._name(kind, kernel, equation)
            self._note((first,), name, [sight])
            parameters = set(self._parameters(equation))
            self.nodes[name] = Node(
                name, kind, owners, equation, first, first, first, sight.layout, sight.field, kernel, None, parameters
            )

    def _note(self, outputs: tuple[Slot, ...], owner: str, seen: list[_Sight]) -> None:
        for slot, sight in zip(outputs, seen, strict=True):
            self.owner[slot], self.axes[slot], self.layouts[slot] = owner, sight.axes, sight.layout
            self.fields[slot] = sight.field

    def _kind(self, equation: Equation, kernel: Slot | None, source: Slot, sight: _Sight) -> str:
        if sight.is_rearranged and equation.op in ops.REDUCTIONS:
            return ops.OVER_BLOCKS.get(equation.op, equation.op)
        if sight.is_rearranged:
            return "resize" if sight.holds_copies else "shuffle"
        if kernel is None:
            return self._plain_kind(equation, source)
        if equation.op == "dot_general":
            return "dense"
        groups, lhs = equation.params["feature_group_count"], equation.params["dimension_numbers"].lhs_spec
        if any(spread > 1 for spread in equation.params["lhs_dilation"]):
            return "conv_transpose"
        return "depthwise_conv" if groups > 1 and groups == self.program.shapes[source][lhs[1]] else "conv"

    def _plain_kind(self, equation: Equation, source: Slot) -> str:
        """The kind of a node without a kernel."""
        layout, summed = self.layouts.get(source), set()
        if equation.op == "dot_general" and sum(slot in self.owner for slot in equation.slots) == 1:
            summed = set(equation.params["dimension_numbers"][0][0 if equation.inputs[0] == source else 1])
        elif equation.op == "gather":
            summed = set(equation.params["dimension_numbers"].collapsed_slice_dims)
        if layout and summed and summed <= set(layout[1:3]):
            return "resize"
        if layout and equation.op in ops.REDUCTIONS and layout[-1] in equation.params["axes"]:
            return ops.OVER_CHANNELS.get(equation.op, equation.op)
        return ops.KINDS.get(equation.op, equation.op)

    def _name(self, kind: str, kernel: Slot | None, equation: Equation) -> str:
        if kernel is not None:
            largest = max(self.origin[kernel], key=lambda slot: (math.prod(self.program.shapes[slot]), -slot))
            return self.names.of_kernel(self.path[largest])
        return self.names.of_scope(equation.layers[-1]) if equation.layers else self.names.of_kind(kind)


def _map_shape(program: Program, slot: Slot, layout: axes.Layout | None) -> tuple[int, ...]:
    """A value's shape, a map's as `(n, h, w, c)`."""
    shape = program.shapes[slot]
    return shape if layout is None else tuple(shape[axis] for axis in layout)


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
    shape = _map_shape(program, node.first, node.layout)
    kernel = _kernel_shape(node, program)
    params = node.equation.params
    is_conv = node.kernel is not None and node.equation.op == "conv_general_dilated"
    window = list((node.layout or ())[1:3]) if "window_dimensions" in params else []
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
        flattened=_flattened(node, tracer),
    )


def _flattened(node: Node, tracer: _Tracer) -> str | None:
    """In which order a dense layer reads rows, columns and channels of a map."""
    if node.kernel is None or node.equation.op != "dot_general":
        return None
    side = 0 if node.equation.inputs[1] == node.kernel else 1
    before = tracer.axes[node.equation.inputs[side]]
    parts = [f for axis in node.equation.params["dimension_numbers"][0][side] for f in before[axis]] if before else []
    order = "".join(part.label for part in parts)
    return order if order in ("hwc", "chw") else None


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
    return Trace(program, graph, tracer.nodes, frozenset(tracer.owner), tracer.scopes)
