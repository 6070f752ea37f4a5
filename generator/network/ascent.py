"""Climbs: what an image would have to change so that a unit answers more, for any layer, by one compiled program.

The network's steps are divided into segments. Each one runs, and is run backwards, only if the layer climbed lies in it or
behind it: a segment's gradient is taken around a branch that holds all later ones. So an early layer costs no more than its
own prefix, and yet the whole network is compiled once, not once for each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from generator.network.program import Slot, evaluate, needed
from generator.network.rectify import redirected
from generator.network.rewrite import FoldedLayer, Prepare, rewrite
from generator.network.trace import Node, Trace

#: How many segments the steps are divided into at most. More of them waste less work behind the layer that is climbed, but
#: take longer to compile.
MOST_SEGMENTS = 10

#: Activation functions that pass what lies above zero and little else.
RECTIFIERS = frozenset(
    {"ReLU", "ReLU6", "clip", "leaky ReLU", "ELU", "SELU", "CELU", "SiLU", "GELU", "Mish", "softplus", "hard swish"}
)

Positions = Callable[[int, int], np.ndarray]
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
    """layers: those it can climb, in the order of execution.

    `function(constants, images, layer, units, signs, is_open)` is pure. images: float32 `(n, h, w, c)`. layer: int scalar, an
    index into `layers`. units, signs: int and float32 `(n,)`, for each image a unit of that layer and its factor. is_open: bool
    `(n,)`, for which images shut rectifiers are passed (`rectify.py`).

    A unit's answer is its pre-activation times the sign, so that a bound such as ReLU6's does not end the climb; where a
    rectifier follows, answers below zero do not count (as long as there are any above). It returns the scores `(n,)`, the
    answers' weighted sum over `positions`; the peaks `(n,)`, the largest answers; and the gradient of the scores with respect
    to the images.
    """

    layers: tuple[str, ...]
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


class _Answers(NamedTuple):
    """Of the layer climbed, at every position: what its units answer, and how much that counts; `(n, length)`."""

    values: jax.Array
    weights: jax.Array


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
    frontier = rewritten.frontier(alive)
    spreads, spread_of = _spreads(taps, traced, positions)
    cut = np.array([tap.rectified for tap in taps])

    def function(
        constants: Sequence[jax.Array],
        images: jax.Array,
        layer: jax.Array,
        units: jax.Array,
        signs: jax.Array,
        is_open: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        known = {**dict(zip(frontier, constants, strict=True)), open_slot: is_open}
        spread, rectified = jnp.asarray(spreads)[jnp.asarray(spread_of)[layer]], jnp.asarray(cut)[layer]

        def climb(number: int, incoming: _Values) -> tuple[_Answers, _Values]:
            """What the layer climbed answers, and the gradient of the scores with respect to `incoming`."""
            segment = segments[number]

            def run(values: _Values) -> tuple[_Values, _Values]:
                own, _ = needed(repeated, [slot for step in segment.steps for slot in step.slots])
                found = evaluate([*own, *segment.steps], {**known, **dict(zip(segment.reads, values, strict=True))})
                return tuple(found[slot] for slot in segment.leaves), tuple(found[tap.slot] for tap in segment.taps)

            (outgoing, tapped), pull = jax.vjp(run, incoming)

            def here(_: _Values) -> tuple[_Answers, _Values]:
                values = _values_of(segment.taps, tapped, layer, units, len(spread)) * signs[:, None]
                return _Answers(values, _counted(values, spread, rectified)), tuple(map(jnp.zeros_like, outgoing))

            if number + 1 == len(segments):
                found, gradients = here(outgoing)
            else:
                found, gradients = jax.lax.cond(layer > segment.taps[-1].index, partial(climb, number + 1), here, outgoing)
            pairs = zip(segment.taps, tapped, strict=True)
            seeds = tuple(_seed(tap, value, found.weights * signs[:, None], layer, units) for tap, value in pairs)
            return found, pull((gradients, seeds))[0]

        found, (gradient,) = climb(0, (images,))
        scores = (found.values * found.weights).sum(axis=1)
        return scores, jnp.where(jnp.isnan(spread), -jnp.inf, found.values).max(axis=1), gradient

    names = {node.pre: name for name, node in traced.nodes.items()}
    return Ascent(tuple(names[tap.slot] for tap in taps), function, rewritten.constants(frontier, prepare))


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
    frontier = rewritten.frontier(alive)

    def function(constants: Sequence[jax.Array], images: jax.Array, is_open: jax.Array) -> dict[str, jax.Array]:
        known = {**dict(zip(frontier, constants, strict=True)), open_slot: is_open, traced.program.images: images}
        found = evaluate(body, known)
        ordered = {name: node.layout or range(found[node.pre].ndim) for name, node in nodes.items()}
        return {name: jnp.transpose(found[node.pre], ordered[name]) for name, node in nodes.items()}

    return Climbable(function, rewritten.constants(frontier, prepare))


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


def _spreads(taps: Sequence[_Tap], traced: Trace, positions: Positions) -> tuple[np.ndarray, np.ndarray]:
    """How the positions of each shape of map are weighted, `(shapes, length)`, NaN behind them; and the shape of each tap."""
    shapes = [tuple(traced.program.shapes[tap.slot][axis] for axis in tap.positions) for tap in taps]
    kinds = sorted(set(shapes))
    spreads = np.full((len(kinds), max(map(math.prod, kinds))), np.nan, np.float32)
    for spread, shape in zip(spreads, kinds, strict=True):
        spread[: math.prod(shape)] = positions(*shape).reshape(-1) if shape else 1.0
    return spreads, np.array([kinds.index(shape) for shape in shapes])


def _values_of(taps: Sequence[_Tap], values: _Values, layer: jax.Array, units: jax.Array, length: int) -> jax.Array:
    """The values of `units` at every position, filled up to `(n, length)`; zero unless the layer is one of `taps`."""
    by_shape: dict[tuple[int, ...], jax.Array] = {}
    for tap, value in zip(taps, values, strict=True):
        ordered = jnp.transpose(value, (tap.batch, *tap.positions, tap.channels))
        flat = jnp.where(layer == tap.index, ordered.reshape(len(ordered), -1, ordered.shape[-1]), 0)
        by_shape[flat.shape] = by_shape[flat.shape] + flat if flat.shape in by_shape else flat
    total = jnp.zeros((len(units), length))
    for shape, flat in by_shape.items():
        # One number and zeros: exact, and one short loop for all taps of a shape. A gather takes longer to compile.
        chosen = jnp.where(jnp.arange(shape[2]) == units[:, None, None], flat, 0).sum(axis=2)
        total = total + jnp.pad(chosen, ((0, 0), (0, length - shape[1])))
    return total


def _counted(answers: jax.Array, spread: jax.Array, rectified: jax.Array) -> jax.Array:
    """How much `answers` `(n, length)` count. spread: `(length,)`, NaN where the map has no position."""
    weights = jnp.nan_to_num(spread)
    # What lies below zero says nothing of how much the unit answers, unless all of it does.
    above = answers > 0
    silent = ~(above & (weights > 0)).any(axis=1, keepdims=True)
    return jnp.where(above | silent | ~rectified, weights, 0)


def _seed(tap: _Tap, value: jax.Array, slopes: jax.Array, layer: jax.Array, units: jax.Array) -> jax.Array:
    """The score's gradient with respect to the tap's `value`. slopes: with respect to its units', `(n, length)`."""
    axes = (tap.batch, *tap.positions, tap.channels)
    num_positions = math.prod(value.shape[axis] for axis in tap.positions)
    own = (jnp.arange(value.shape[tap.channels]) == units[:, None]) & (layer == tap.index)
    seed = jnp.where(own[:, None, :], slopes[:, :num_positions, None], 0)
    return jnp.transpose(seed.reshape([value.shape[axis] for axis in axes]), np.argsort(axes)).astype(value.dtype)


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
