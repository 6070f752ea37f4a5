"""Climbs: what an image would have to change so that a unit answers more, for any layer, by one compiled program.

The network's steps are divided into segments. Each one runs, and is run backwards, only if the layer climbed lies in it or
behind it: a segment's gradient is taken around a branch that holds all later ones. So an early layer costs no more than its
own prefix, and yet the whole network is compiled once, not once for each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.network.program import Slot, evaluate, needed
from generator.network.rectify import redirected
from generator.network.rewrite import FoldedLayer, Rewritten, rewrite
from generator.network.trace import Node, Trace

#: How many segments the steps are divided into at most. More of them waste less work behind the layer that is climbed, but
#: take longer to compile.
MOST_SEGMENTS = 16

#: Activation functions that pass what lies above zero and little else.
RECTIFIERS = frozenset(
    {"ReLU", "ReLU6", "clip", "leaky ReLU", "ELU", "SELU", "CELU", "SiLU", "GELU", "Mish", "softplus", "hard swish"}
)

Positions = Callable[[int, int], np.ndarray]
Prepare = Callable[[Iterable[Slot], Callable[[Mapping[Slot, jax.Array]], list[jax.Array]]], list[jax.Array]]
_Values = tuple[jax.Array, ...]


def everywhere(height: int, width: int) -> np.ndarray:
    """The mean over a map, as weights `(height, width)` of its positions."""
    return np.full((height, width), 1 / (height * width), np.float32)


def centre(height: int, width: int) -> np.ndarray:
    """The position in the middle of a map; the lower right of the four middle ones where sides are even."""
    return at(height // 2, width // 2)(height, width)


def at(row: int, column: int) -> Positions:
    """One position of a map."""

    def positions(height: int, width: int) -> np.ndarray:
        weights = np.zeros((height, width), np.float32)
        weights[row, column] = 1.0
        return weights

    return positions


@dataclass(frozen=True)
class Ascent:
    """layers: those it can climb, in the order of execution. width: the largest number of units among them.

    `function(constants, images, layer, units, is_open)` is pure. images: float32 `(n, h, w, c)`. layer: int scalar, an index
    into `layers`. units: float32 `(n, width)`, for each image how its layer's units are weighted, the rest zero. is_open: bool
    `(n,)`, for which images shut rectifiers are passed (`rectify.py`).

    A unit's answer is its pre-activation, so that a bound such as ReLU6's does not end the climb; where a rectifier follows,
    answers below zero do not count (as long as there are any above). It returns the scores `(n,)`, the weighted sum over
    `positions` of `answers = sum(units * pre-activation)`; the peaks `(n,)`, the largest answers; and the gradient of the
    scores with respect to the images.
    """

    layers: tuple[str, ...]
    width: int
    function: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]
    constants: list[jax.Array]


@dataclass(frozen=True)
class _Tap:
    """A layer's pre-activation among the steps. batch, positions (none in a vector), channels: its axes.

    rectified: whether what lies below zero is cut off next.
    """

    index: int
    slot: Slot
    batch: int
    positions: tuple[int, ...]
    channels: int
    rectified: bool


@dataclass(frozen=True)
class _Segment:
    """Steps that run together. reads, leaves: slots that come in from earlier segments, and that later ones need."""

    steps: Sequence[Any]
    taps: tuple[_Tap, ...]
    reads: tuple[Slot, ...]
    leaves: tuple[Slot, ...]


def build(
    traced: Trace,
    layers: Iterable[str],
    positions: Positions,
    prepare: Prepare,
) -> Ascent:
    """The ascent of `layers` in `traced`. prepare: evaluates what depends on parameters alone (`Network`)."""
    rewritten = rewrite(traced)
    open_slot = len(traced.program.shapes) + 2 * len(traced.nodes)
    taps = _taps(traced, layers)
    body, alive = needed(redirected(rewritten.steps, traced, open_slot), [tap.slot for tap in taps])
    repeated = [step for step in body if step.outputs[0] not in traced.active]
    segments = _segments([step for step in body if step.outputs[0] in traced.active], taps, traced)
    frontier = sorted(slot for slot in alive if slot in rewritten.plain or slot in rewritten.folded)

    def function(
        constants: Sequence[jax.Array], images: jax.Array, layer: jax.Array, units: jax.Array, is_open: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        known = {**dict(zip(frontier, constants, strict=True)), open_slot: is_open}

        def climb(number: int, incoming: _Values) -> tuple[jax.Array, jax.Array, _Values]:
            """Scores and peaks, and the gradient of the scores with respect to `incoming`."""
            segment = segments[number]

            def run(values: _Values) -> tuple[_Values, _Values]:
                own, _ = needed(repeated, [slot for step in segment.steps for slot in step.slots])
                found = evaluate([*own, *segment.steps], {**known, **dict(zip(segment.reads, values, strict=True))})
                return tuple(found[slot] for slot in segment.leaves), tuple(found[tap.slot] for tap in segment.taps)

            (outgoing, tapped), pull = jax.vjp(run, incoming)
            last = number + 1 == len(segments)

            def here(_: _Values) -> tuple[jax.Array, jax.Array, _Values, _Values]:
                answers = [_answers(tap, value, layer, units) for tap, value in zip(segment.taps, tapped, strict=True)]
                nothing = jnp.zeros(len(images), jnp.float32)
                return nothing, nothing, tuple(jnp.zeros_like(value) for value in outgoing), tuple(answers)

            def further(values: _Values) -> tuple[jax.Array, jax.Array, _Values, _Values]:
                nothing = jax.eval_shape(lambda: here(values)[3])
                return *climb(number + 1, values), tuple(jnp.zeros(answer.shape, answer.dtype) for answer in nothing)

            if last:
                scores, peaks, gradients, answers = here(outgoing)
            else:
                scores, peaks, gradients, answers = jax.lax.cond(layer > segment.taps[-1].index, further, here, outgoing)
            seeds = []
            for tap, value, answer in zip(segment.taps, tapped, answers, strict=True):
                score, peak, seed = _measured(tap, value.shape, answer, layer, units, positions)
                scores, peaks = scores + score, peaks + peak
                seeds.append(seed.astype(value.dtype))
            return scores, peaks, pull((gradients, tuple(seeds)))[0]

        scores, peaks, (gradient,) = climb(0, (images,))
        return scores, peaks, gradient

    names = {node.pre: name for name, node in traced.nodes.items()}
    width = max(traced.program.shapes[tap.slot][tap.channels] for tap in taps)
    return Ascent(tuple(names[tap.slot] for tap in taps), width, function, _constants(rewritten, frontier, prepare))


@dataclass(frozen=True)
class Climbable:
    """Pre-activations of some layers, for objectives of any kind; compiled as one program for these layers.

    `function(constants, images, is_open)` is pure and returns them by layer, maps as `(n, h, w, c)`, vectors as `(n, c)`.
    """

    function: Callable[..., dict[str, jax.Array]]
    constants: list[jax.Array]


def build_climbable(traced: Trace, layers: Sequence[str], prepare: Prepare) -> Climbable:
    """As `build`, for objectives that are no weighted sum of one layer's units."""
    rewritten = rewrite(traced)
    open_slot = len(traced.program.shapes) + 2 * len(traced.nodes)
    nodes = {name: traced.nodes[name] for name in layers}
    body, alive = needed(redirected(rewritten.steps, traced, open_slot), [node.pre for node in nodes.values()])
    frontier = sorted(slot for slot in alive if slot in rewritten.plain or slot in rewritten.folded)

    def function(constants: Sequence[jax.Array], images: jax.Array, is_open: jax.Array) -> dict[str, jax.Array]:
        known = {**dict(zip(frontier, constants, strict=True)), open_slot: is_open, traced.program.images: images}
        found = evaluate(body, known)
        ordered = {name: node.layout or range(found[node.pre].ndim) for name, node in nodes.items()}
        return {name: jnp.transpose(found[node.pre], ordered[name]) for name, node in nodes.items()}

    return Climbable(function, _constants(rewritten, frontier, prepare))


def _constants(rewritten: Rewritten, frontier: Sequence[Slot], prepare: Prepare) -> list[jax.Array]:
    """The values of `frontier`, which depend on parameters alone."""

    def derive(values: Mapping[Slot, jax.Array]) -> list[jax.Array]:
        return [rewritten.folded[slot](values) if slot in rewritten.folded else values[slot] for slot in frontier]

    return prepare([slot for s in frontier for slot in rewritten.reads.get(s, [s])], derive)


def _taps(traced: Trace, layers: Iterable[str]) -> list[_Tap]:
    """In the order of execution."""
    made = {slot: place for place, step in enumerate(traced.program.equations) for slot in step.outputs}
    nodes: list[Node] = sorted((traced.nodes[name] for name in layers), key=lambda node: made[node.pre])
    found = []
    for index, node in enumerate(nodes):
        rank = len(traced.program.shapes[node.pre])
        batch, *positions, channels = node.layout if node.layout is not None else range(rank)
        found.append(_Tap(index, node.pre, batch, tuple(positions), channels, node.activation in RECTIFIERS))
    return found


def _answers(tap: _Tap, value: jax.Array, layer: jax.Array, units: jax.Array) -> jax.Array:
    """`sum(units * value)` at every position, `(n, positions)`; zero unless the tap is the one climbed."""
    ordered = jnp.transpose(value, (tap.batch, *tap.positions, tap.channels))
    chosen = jnp.where(layer == tap.index, units[:, : ordered.shape[-1]], 0)
    return jnp.einsum("npc,nc->np", ordered.reshape(len(ordered), -1, ordered.shape[-1]), chosen)


def _measured(
    tap: _Tap, shape: tuple[int, ...], answers: jax.Array, layer: jax.Array, units: jax.Array, positions: Positions
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Score and peak `(n,)` of `answers`, and the score's gradient with respect to the tap's value, of `shape`."""
    spread = np.ones(1, np.float32)
    if tap.positions:
        spread = positions(*(shape[axis] for axis in tap.positions)).reshape(-1)
    counts = jnp.ones_like(answers)
    if tap.rectified:
        # What lies below zero says nothing of how much the unit answers, unless all of it does.
        silent = ~((answers > 0) & (spread > 0)).any(axis=1, keepdims=True)
        counts = ((answers > 0) | silent).astype(answers.dtype)
    score = (answers * counts) @ spread
    weights = (counts * spread)[:, :, None] * jnp.where(layer == tap.index, units[:, : shape[tap.channels]], 0)[:, None, :]
    axes = (tap.batch, *tap.positions, tap.channels)
    weights = weights.reshape([shape[axis] for axis in axes])
    return score, answers.max(axis=1), jnp.transpose(weights, np.argsort(axes))


def _segments(steps: Sequence[Any], taps: Sequence[_Tap], traced: Trace) -> list[_Segment]:
    """`steps` in parts of about equal cost, each ending with a tap."""
    by_slot = {tap.slot: tap for tap in taps}
    costs = [_cost(step, traced) for step in steps]
    share = sum(costs) / MOST_SEGMENTS
    parts: list[tuple[list[Any], list[_Tap]]] = [([], [])]
    spent = bound = 0.0
    for step, cost in zip(steps, costs, strict=True):
        if spent >= bound + share and parts[-1][1] and parts[-1][0][-1].outputs[0] == parts[-1][1][-1].slot:
            parts.append(([], []))
            bound = spent
        parts[-1][0].append(step)
        parts[-1][1].extend(by_slot[slot] for slot in step.outputs if slot in by_slot)
        spent += cost
    if not parts[-1][1]:
        parts.pop()
    segments, made = [], {traced.program.images}
    for number, (own, found) in enumerate(parts):
        reads = tuple(sorted(made & {slot for part, _ in parts[number:] for step in part for slot in step.slots}))
        made |= {slot for step in own for slot in step.outputs}
        leaves = tuple(sorted(made & {slot for part, _ in parts[number + 1 :] for step in part for slot in step.slots}))
        segments.append(_Segment(own, tuple(found), reads, leaves))
    return segments


def _cost(step: Any, traced: Trace) -> float:
    """About how long a step takes, in arbitrary units: a multiply-add of a dense product counts one.

    Elementwise work and depthwise multiply-adds are bound by memory instead, about eight times as slow for each number.
    """
    size = math.prod(traced.program.shapes[step.outputs[0]])
    if not isinstance(step, FoldedLayer):
        return 8.0 * size
    shape = traced.program.shape(step.convolution.inputs[1])
    if step.convolution.op == "dot_general":
        return float(size * math.prod(shape) / traced.program.shapes[step.outputs[0]][-1])
    numbers = step.convolution.params["dimension_numbers"]
    multiplies = size * math.prod(shape) / shape[numbers.rhs_spec[0]]
    return 8.0 * multiplies if step.convolution.params["feature_group_count"] > 1 else multiplies
