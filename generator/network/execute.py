"""Runs a traced network: any layer's value as an output, only as far as it is needed, fast on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.errors import NetworkError, Problem, did_you_mean
from generator.network import ascent, folding, parallel
from generator.network.graph import Graph, Value
from generator.network.program import Constant, Operand, Program, Slot, evaluate, flatten, needed
from generator.network.rewrite import rewrite
from generator.network.trace import Node, Trace, trace

OUTPUT = ""

#: What the largest value of the images that run together may take on a CPU. A layer's input and output then stay in the
#: cache, and memory that one group has touched serves the next: 20 images of EfficientNet-Lite0 run 1.8 times as fast.
GROUP_BYTES = 10 << 20


@dataclass(frozen=True)
class Tap:
    """A value to record. layer: its name, or `output` for the function's own (first) result."""

    layer: str
    value: Value = "activation"


@dataclass(frozen=True)
class Weights:
    """What one layer multiplies with.

    kernel: float32 `(kh, kw, cin // groups, cout)` or `(cin, cout)`, as the network applies it. scale, offset: float32
    `(cout,)`, normalisation and bias as one factor and one offset: pre-activation = scale * (kernel * x) + offset.
    """

    kernel: np.ndarray
    scale: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Tapped:
    """A network that returns its taps.

    `function(constants, images)` is pure: it can be jitted, differentiated and mapped. The constants stay arguments, so
    that compiled programs are small. Calling the object runs it jitted, on `num_devices` side by side.
    """

    function: Callable[[Sequence[jax.Array], jax.Array], list[jax.Array]]
    constants: list[jax.Array]
    num_devices: int = 1

    @cached_property
    def _jitted(self) -> Callable[[jax.Array], list[jax.Array]]:
        if self.num_devices == 1:
            return partial(jax.jit(self.function), self.constants)
        return parallel.side_by_side(self.function, self.constants, self.num_devices)

    def __call__(self, images: jax.Array | np.ndarray) -> list[jax.Array]:
        return self._jitted(jnp.asarray(images))


@dataclass(frozen=True)
class Ablated:
    """A network whose units can be weakened or silenced.

    `function(constants, images, masks)` is pure and returns the network's (first) output. masks: for each layer float32
    `(n, units)`, or `(1, units)` for all images, what its activation is multiplied with. Calling the object runs it jitted.
    """

    function: Callable[[Sequence[jax.Array], jax.Array, Sequence[jax.Array]], jax.Array]
    constants: list[jax.Array]

    @cached_property
    def _jitted(self) -> Callable[..., jax.Array]:
        return jax.jit(self.function)

    def __call__(self, images: jax.Array | np.ndarray, masks: Sequence[np.ndarray]) -> jax.Array:
        return self._jitted(self.constants, jnp.asarray(images), [jnp.asarray(mask) for mask in masks])


@dataclass(frozen=True)
class _Mask:
    """A layer's activation times its mask, over the activation. inputs: its slot, and the mask's. batch, channels: axes."""

    inputs: tuple[Slot, Slot]
    batch: int
    channels: int

    @property
    def slots(self) -> tuple[Slot, Slot]:
        return self.inputs

    @property
    def outputs(self) -> tuple[Slot]:
        return self.inputs[:1]

    def run(self, value: jax.Array, mask: jax.Array) -> tuple[jax.Array]:
        ordered = mask if self.batch < self.channels else mask.T
        return (
            value * jnp.expand_dims(ordered, [axis for axis in range(value.ndim) if axis not in (self.batch, self.channels)]),
        )


class Network:
    """A CNN: `apply(params, images)` with its layers known.

    apply: pure function of a parameter pytree and float32 images `(n, h, w, c)`. params: the pytree. input_shape: `(h, w, c)`.
    Tracing reads shapes only; nothing is computed until a layer's weights or values are asked for.
    """

    def __init__(self, apply: Callable[[Any, jax.Array], Any], params: Any, input_shape: tuple[int, int, int]):
        self._apply, self._params, self.input_shape = apply, params, tuple(input_shape)
        self._traces: dict[tuple[int, ...], Trace] = {}

    @property
    def graph(self) -> Graph:
        return self._traced(1, self.input_shape).graph

    def weights(self, layers: Iterable[str]) -> dict[str, Weights]:
        """The weights of `layers`, evaluated through whatever the model does to them first; each must have a kernel."""
        traced = self._traced(1, self.input_shape)
        nodes = [_node(traced, name) for name in layers]
        folds = folding.find(traced)
        reads = [slot for node in nodes for slot in (node.kernel, *folds[node.name].all_slots)]

        def derive(values: Mapping[Slot, jax.Array]) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
            found = []
            for node in nodes:
                layer, fold = traced.graph.by_name[node.name], folds[node.name]
                kernel = _canonical(node, values[node.kernel]).reshape(layer.kernel_shape)
                found.append((kernel, *folding.compose((*fold.steps, *fold.beyond), values, layer.num_units, jnp.float32)))
            return found

        found = self._prepare(traced.program, reads, derive)
        return {
            node.name: Weights(*(np.asarray(array, np.float32) for array in arrays))
            for node, arrays in zip(nodes, found, strict=True)
        }

    def tapped(
        self,
        taps: Sequence[Tap],
        *,
        batch: int = 1,
        size: tuple[int, int, int] | None = None,
        reduce: Callable[[list[jax.Array]], list[jax.Array]] | None = None,
    ) -> Tapped:
        """A function that returns the values of `taps`, in their order, and computes nothing that they do not need.

        Feature maps come as `(n, h, w, c)`, vectors as `(n, c)`. batch: the number of images; on a CPU many run in small
        groups, as no image depends on another one. size: of the images if not the network's own `(h, w, c)`. reduce: what is
        returned instead, computed from the values of each group while they are in the cache; arrays with an entry an image.
        Raises `NetworkError` for a layer that does not exist.
        """
        size = tuple(size or self.input_shape)
        num_devices = parallel.num_devices(batch, self._params)
        together = _group_size(self._traced(1, size), batch // num_devices)
        traced = self._traced(together, size)
        wanted, layouts = _wanted(traced, taps)
        if not _each_image(traced, wanted, layouts):
            num_devices, together = 1, batch
            traced = self._traced(batch, size)
            wanted, layouts = _wanted(traced, taps)
        program = traced.program
        rewritten = rewrite(traced)
        body, alive = needed(rewritten.steps, wanted)
        frontier = rewritten.frontier(alive)

        def function(constants: Sequence[jax.Array], images: jax.Array) -> list[jax.Array]:
            values = evaluate(body, {**dict(zip(frontier, constants, strict=True)), program.images: images})
            found = [operand.value if isinstance(operand, Constant) else values[operand] for operand in wanted]
            ordered = [v if layout is None else jnp.transpose(v, layout) for v, layout in zip(found, layouts, strict=True)]
            return ordered if reduce is None else reduce(ordered)

        if together < batch:
            function = _in_groups(function, together)
        return Tapped(function, rewritten.constants(frontier, partial(self._prepare, program)), num_devices)

    def ablated(self, layers: Sequence[str], *, batch: int) -> Ablated:
        """The network with the units of `layers` under masks; nothing else of it changes. Raises as `tapped` does."""
        together = _group_size(self._traced(1, self.input_shape), batch)
        traced = self._traced(together, self.input_shape)
        program, rewritten = traced.program, rewrite(traced)
        nodes = [_node(traced, name) for name in layers]
        first = len(program.shapes) + 2 * len(traced.nodes)
        masks = {}
        for place, node in enumerate(nodes):
            layout = node.layout or tuple(range(len(program.shapes[node.last])))
            masks[node.last] = _Mask((node.last, first + place), layout[0], layout[-1])
        steps = [one for step in rewritten.steps for one in (step, masks.get(step.outputs[0])) if one is not None]
        body, alive = needed(steps, program.outputs[:1])
        frontier = rewritten.frontier(alive)

        def function(constants: Sequence[jax.Array], images: jax.Array, masks: Sequence[jax.Array]) -> jax.Array:
            known = dict(zip(frontier, constants, strict=True))

            def group(images: jax.Array, masks: Sequence[jax.Array]) -> jax.Array:
                return evaluate(body, {**known, **dict(enumerate(masks, first)), program.images: images})[program.outputs[0]]

            if together == batch:
                return group(images, masks)
            each = [jnp.broadcast_to(mask, (batch, mask.shape[1])) for mask in masks]
            split = [value.reshape(-1, together, *value.shape[1:]) for value in (images, *each)]
            found = jax.lax.map(lambda some: group(some[0], some[1:]), split)
            return found.reshape(-1, *found.shape[2:])

        return Ablated(function, rewritten.constants(frontier, partial(self._prepare, program)))

    def ascent(
        self, layers: Iterable[str], positions: ascent.Positions, *, batch: int, size: tuple[int, int, int] | None = None
    ) -> ascent.Ascent:
        """The gradient of any of `layers` with respect to `batch` images of `size`, layer and units chosen when it runs.

        positions: how the positions of a map are weighted (`ascent.everywhere`, `centre`, `at`). Raises `NetworkError` for a
        layer that does not exist.
        """
        traced = self._traced(batch, tuple(size or self.input_shape))
        names = [_node(traced, name).name for name in layers]
        return ascent.build(traced, names, positions, partial(self._prepare, traced.program))

    def climbable(self, layers: Iterable[str], *, batch: int, size: tuple[int, int, int] | None = None) -> ascent.Climbable:
        """Pre-activations of `layers` for `batch` images of `size`, for objectives of any kind. Raises as `ascent` does."""
        traced = self._traced(batch, tuple(size or self.input_shape))
        names = [_node(traced, name).name for name in layers]
        return ascent.build_climbable(traced, names, partial(self._prepare, traced.program))

    def takes(self, size: tuple[int, int, int]) -> bool:
        """Whether the network can be traced for images of `size` `(h, w, c)`, which need not be its own."""
        try:
            self._traced(1, tuple(size))
        except Exception:  # whatever the network's own code raises for shapes that do not fit
            return False
        return True

    def _traced(self, batch: int, size: tuple[int, ...]) -> Trace:
        key = (batch, *size)
        if key not in self._traces:
            self._traces[key] = trace(flatten(self._apply, self._params, jax.ShapeDtypeStruct(key, jnp.float32)))
        return self._traces[key]

    def _prepare(self, program: Program, wanted: Iterable[Slot], derive: Callable[[Mapping[Slot, jax.Array]], Any]) -> Any:
        """`derive` of the values of `wanted`, which depend on parameters alone; one compiled function does all of it."""
        equations, alive = needed(program.equations, wanted)
        leaves = zip(program.parameters.values(), jax.tree_util.tree_leaves(self._params), strict=True)
        inputs = {slot: leaf for slot, leaf in leaves if slot in alive}
        # It runs once: compiling it well takes twice as long as compiling it at all.
        quickly = {"xla_backend_optimization_level": 0}
        return jax.jit(lambda values: derive(evaluate(equations, dict(values))), compiler_options=quickly)(inputs)


def _group_size(traced: Trace, batch: int) -> int:
    """How many of `batch` images to run together: a divisor of it. traced: for a single image."""
    if jax.default_backend() != "cpu":
        return batch
    program = traced.program
    largest = max((math.prod(program.shapes[slot]) * program.dtypes[slot].itemsize for slot in traced.active), default=1)
    most = max(1, GROUP_BYTES // max(1, largest))
    return max(size for size in range(1, batch + 1) if batch % size == 0 and size <= most)


def _in_groups(
    function: Callable[[Sequence[jax.Array], jax.Array], list[jax.Array]], size: int
) -> Callable[[Sequence[jax.Array], jax.Array], list[jax.Array]]:
    """`function` of `size` images as one of any multiple of it, a group after the other."""

    def grouped(constants: Sequence[jax.Array], images: jax.Array) -> list[jax.Array]:
        groups = images.reshape(-1, size, *images.shape[1:])
        found = jax.lax.map(lambda group: function(constants, group), groups)
        return [value.reshape(-1, *value.shape[2:]) for value in found]

    return grouped


def _wanted(traced: Trace, taps: Sequence[Tap]) -> tuple[list[Operand], list[tuple[int, ...] | None]]:
    """Where the program has the values of `taps`, and how their axes are ordered; None for the function's own output."""
    nodes = [None if tap.layer == OUTPUT else _node(traced, tap.layer) for tap in taps]
    wanted = [
        traced.program.outputs[0] if node is None else node.last if tap.value == "activation" else node.pre
        for tap, node in zip(taps, nodes, strict=True)
    ]
    return wanted, [None if node is None else node.layout for node in nodes]


def _each_image(traced: Trace, wanted: Iterable[Operand], layouts: Iterable[tuple[int, ...] | None]) -> bool:
    """Whether all those values depend on the images and have an entry for each, so that images can run apart."""
    shapes, num_images = traced.program.shapes, traced.program.shapes[traced.program.images][0]
    axes = [layout[0] if layout else 0 for layout in layouts]
    return all(
        not isinstance(operand, Constant) and operand in traced.active and shapes[operand][axis : axis + 1] == (num_images,)
        for operand, axis in zip(wanted, axes, strict=True)
    )


def _node(traced: Trace, name: str) -> Node:
    if name not in traced.nodes:
        raise NetworkError(Problem("network", f"no layer {name!r}", did_you_mean(name, traced.nodes)))
    return traced.nodes[name]


def _canonical(node: Node, kernel: jax.Array) -> jax.Array:
    """The kernel with its axes in the order `kh kw cin cout`, or `cin cout`."""
    if node.equation.op == "conv_general_dilated":
        out, cin, *spatial = node.equation.params["dimension_numbers"].rhs_spec
        return jnp.transpose(kernel, (*spatial, cin, out))
    side = 1 if node.equation.inputs[1] == node.kernel else 0
    contracted = node.equation.params["dimension_numbers"][0][side]
    free = [axis for axis in range(kernel.ndim) if axis not in contracted]
    return jnp.transpose(kernel, (*contracted, *free))
