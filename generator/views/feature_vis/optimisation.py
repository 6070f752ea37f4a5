"""The climb itself: a fixed number of steps uphill, for several images at once, as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from generator.views.feature_vis.objectives import Objective
from generator.views.feature_vis.parameterisations import Parameterisation
from generator.views.feature_vis.transforms import Crops, Robustness, Scaling, cropped, framed, sampled, unmoved

#: Steps during which shut rectifiers are passed where nothing else leads away (Lucid, 2018).
OPEN_STEPS = 16

#: The quantile of gathered gradients that is fully opaque.
OPAQUE = 0.95

#: Scores and peaks `(m,)`, and the scores' gradient, of what the network is fed `(m, frame, frame, c)`; is_open: bool `(m,)`.
Slope = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]


@dataclass(frozen=True)
class Climb:
    """How a batch of images is optimised. seen: the transforms. steps: their number."""

    parameterisation: Parameterisation
    seen: Robustness | Crops
    scaling: Scaling
    optimiser: optax.GradientTransformation
    steps: int


@dataclass(frozen=True)
class Climbed:
    """images: float32 `(n, size, size, c)` in 0-1. opacity: float32 `(n, size, size)` in 0-1, where gradients gathered (MACO's
    transparency). start, reached, peak: of the unmoved image, first and last: `(n,)`.
    """

    images: jax.Array
    opacity: jax.Array
    start: jax.Array
    reached: jax.Array
    peak: jax.Array


jax.tree_util.register_dataclass(Climbed, ("images", "opacity", "start", "reached", "peak"), ())


def slope_of(objective: Objective, values: Callable[[jax.Array, jax.Array], dict[str, jax.Array]]) -> Slope:
    """The slope of any objective. values: of its layers, from what the network is fed and `is_open`. Peaks are its scores."""

    def slope(fed: jax.Array, is_open: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        scores, pull = jax.vjp(lambda fed: objective.of(values(fed, is_open)), fed)
        return scores, scores, pull(jnp.ones_like(scores))[0]

    return slope


class _State(NamedTuple):
    """gathered: the sum of absolute gradients at each pixel so far. stuck: whether the last one was zero everywhere."""

    parameters: jax.Array
    memory: Any
    gathered: jax.Array
    stuck: jax.Array
    start: jax.Array
    reached: jax.Array
    peak: jax.Array


def climb(plan: Climb, slope: Slope, keys: jax.Array) -> Climbed:
    """Optimise an image for each of `keys` `(n,)`; what becomes of one depends on its own key (and its slope) alone.

    slope: of as many images as the network sees at a time: `n`, or `n * count` crops.
    """
    shape = plan.parameterisation
    first = shape.start(keys)

    def seen(images: jax.Array, number: jax.Array) -> jax.Array:
        """As the network sees them; unmoved at the beginning and at the end, when scores are kept."""
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        resting = (number == 0) | (number == plan.steps)
        middle = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(keys), *leaf.shape)), unmoved())
        if isinstance(plan.seen, Crops):
            still = partial(framed, affine=middle, frame=plan.seen.frame)
            crops = partial(cropped, keys=own, crops=plan.seen)
            return jax.lax.cond(resting, lambda x: jnp.repeat(still(x), plan.seen.count, axis=0), crops, images)
        moved = jax.vmap(partial(sampled, robustness=plan.seen))(own)
        return framed(images, jax.tree.map(partial(jnp.where, resting), middle, moved), plan.seen.frame)

    def step(number: jax.Array, state: _State) -> _State:
        images, of_parameters = jax.vjp(shape.images, state.parameters)
        fed, of_images = jax.vjp(lambda images: plan.scaling.fed(seen(images, number)), images)
        each = len(fed) // len(keys)
        scores, peaks, gradient = slope(fed, jnp.repeat(state.stuck & (number < OPEN_STEPS), each))
        (uphill,) = of_images(gradient)
        # To unit length for each image: how steep it is differs by orders of magnitude between layers, and where rectifiers
        # are passed; an optimiser that remembers the steepest step would hardly move any more.
        length = jnp.sqrt(jnp.square(uphill).sum(axis=(1, 2, 3)))
        uphill = uphill / jnp.where(length > 0, length, 1)[:, None, None, None]
        (change,) = of_parameters(-uphill)  # optimisers go downhill
        change, memory = plan.optimiser.update(change, state.memory, state.parameters)
        moved = optax.apply_updates(state.parameters, change)
        return _State(
            jnp.where(number < plan.steps, moved, state.parameters),
            memory,
            state.gathered + jnp.abs(uphill).sum(axis=-1),
            length == 0,
            jnp.where(number == 0, scores[::each], state.start),
            scores[::each],
            peaks[::each],
        )

    zeros = jnp.zeros(len(keys), jnp.float32)
    blank = jnp.zeros((len(keys), shape.size, shape.size), jnp.float32)
    state = _State(first, plan.optimiser.init(first), blank, zeros > 0, zeros, zeros, zeros)
    # One more than the steps: the last one only looks.
    last = jax.lax.fori_loop(0, plan.steps + 1, step, state)
    most = jnp.quantile(last.gathered, OPAQUE, axis=(1, 2), keepdims=True)
    opacity = jnp.clip(last.gathered / jnp.maximum(most, 1e-30), 0, 1)
    return Climbed(shape.images(last.parameters), opacity, last.start, last.reached, last.peak)
