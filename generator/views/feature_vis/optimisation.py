"""The climb itself: a fixed number of steps uphill, for several images at once, as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from generator.views.feature_vis.objectives import Objective
from generator.views.feature_vis.parameterisations import Parameterisation
from generator.views.feature_vis.transforms import Affine, Crops, Robustness, Scaling, cropped, framed, sampled, unmoved

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


class Drawn(NamedTuple):
    """What is drawn at random for some images, before they are optimised. parameters: the first ones, `(n, ...)`.

    moves: how they are moved at each step, an `Affine` of `(n, steps + 1)`, at the first and the last one not at all; or uint32
    seeds of their crops, `(n,)`.
    """

    parameters: jax.Array | np.ndarray
    moves: Affine | jax.Array | np.ndarray


def drawn(plan: Climb, seeds: Sequence[int]) -> Drawn:
    """For each of `seeds`, from it alone. In NumPy: the same in XLA takes a second to compile."""
    parameters, moves = [], []
    for seed in seeds:
        random = np.random.default_rng(seed)
        parameters.append(plan.parameterisation.start(random))
        if isinstance(plan.seen, Crops):
            moves.append(random.integers(1 << 32, dtype=np.uint32))
        else:
            between, rest = sampled(random, plan.steps - 1, plan.seen), unmoved()
            moves.append(jax.tree.map(lambda some, ends: np.concatenate([ends[None], some, ends[None]]), between, rest))
    return Drawn(np.stack(parameters), jax.tree.map(lambda *each: np.stack(each), *moves))


class Climbed(NamedTuple):
    """images: float32 `(n, size, size, c)` in 0-1. gathered: the sum of absolute gradients at each pixel, `(n, size, size)`.
    start, reached, peak: of the unmoved image, first and last: `(n,)`.
    """

    images: jax.Array
    gathered: jax.Array
    start: jax.Array
    reached: jax.Array
    peak: jax.Array


def opacity(gathered: np.ndarray) -> np.ndarray:
    """MACO's transparency, in 0-1: where gradients gathered (Fel et al. 2023). gathered: `(size, size)`, of one image."""
    return np.clip(gathered / max(np.quantile(gathered, OPAQUE), 1e-30), 0, 1)


def slope_of(objective: Objective, values: Callable[[jax.Array, jax.Array], dict[str, jax.Array]]) -> Slope:
    """The slope of any objective. values: of its layers, from what the network is fed and `is_open`. Peaks are its scores."""

    def slope(fed: jax.Array, is_open: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        scores, pull = jax.vjp(lambda fed: objective.of(values(fed, is_open)), fed)
        return scores, scores, pull(jnp.ones_like(scores))[0]

    return slope


class _State(NamedTuple):
    """gathered: as in `Climbed`, so far. stuck: whether the last gradient was zero everywhere."""

    parameters: jax.Array
    memory: Any
    gathered: jax.Array
    stuck: jax.Array
    start: jax.Array
    reached: jax.Array
    peak: jax.Array


def climb(plan: Climb, slope: Slope, begin: Drawn) -> Climbed:
    """Optimise images from where they begin; what becomes of one depends on its own beginning (and its slope) alone.

    slope: of as many images as the network sees at a time: `n`, or `n * count` crops.
    """
    shape = plan.parameterisation
    first, moves = jax.tree.map(jnp.asarray, begin)

    def seen(images: jax.Array, number: jax.Array) -> jax.Array:
        """As the network sees them; unmoved at the beginning and at the end, when scores are kept."""
        if not isinstance(plan.seen, Crops):
            return framed(images, jax.tree.map(lambda each: each[:, number], moves), plan.seen.frame)
        middle = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(first), *leaf.shape)), unmoved())
        still = partial(framed, affine=middle, frame=plan.seen.frame)
        own = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), number))(moves)
        resting = (number == 0) | (number == plan.steps)
        crops = partial(cropped, keys=own, crops=plan.seen)
        return jax.lax.cond(resting, lambda x: jnp.repeat(still(x), plan.seen.count, axis=0), crops, images)

    def step(number: jax.Array, state: _State) -> _State:
        images, of_parameters = jax.vjp(shape.images, state.parameters)
        fed, of_images = jax.vjp(lambda images: plan.scaling.fed(seen(images, number)), images)
        each = len(fed) // len(first)
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

    zeros = jnp.zeros(len(first), jnp.float32)
    blank = jnp.zeros((len(first), shape.size, shape.size), jnp.float32)
    state = _State(first, plan.optimiser.init(first), blank, zeros > 0, zeros, zeros, zeros)
    # One more than the steps: the last one only looks.
    last = jax.lax.fori_loop(0, plan.steps + 1, step, state)
    return Climbed(shape.images(last.parameters), last.gathered, last.start, last.reached, last.peak)
