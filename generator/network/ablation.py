"""What a network would say without some of its units, and how much hangs on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from generator.network.execute import Ablated, Network
from generator.network.survey import BATCH, Read, batches


@dataclass(frozen=True)
class Effects:
    """Of each of `e` experiments against the whole network.

    kept, lost, won: int64 `(e,)`, labelled images named rightly with and without, only with, only without the units. changed:
    int64 `(e,)`, images named otherwise. shift: float64 `(e,)`, mean absolute change of the outputs over their mean magnitude.
    right: labelled images that the whole network names rightly.
    """

    kept: NDArray[np.int64]
    lost: NDArray[np.int64]
    won: NDArray[np.int64]
    changed: NDArray[np.int64]
    shift: NDArray[np.float64]
    right: int


def ablate(
    network: Network,
    experiments: Sequence[Mapping[str, Sequence[int]]],
    read: Read,
    num_images: int,
    *,
    labels: Sequence[int] | None = None,
) -> Effects:
    """What `num_images` images are named when the units of each experiment, by layer, are set to zero.

    read: as in `survey`. labels: each image's class among the network's outputs. Images are read once, and all experiments
    are one compiled program, in which units are arguments. Raises the `UserError`s of `read`, all of them in one.
    """
    layers = sorted({layer for experiment in experiments for layer in experiment})
    batch = min(BATCH, num_images)
    run = network.ablated(layers, batch=batch)
    whole = [np.ones((1, network.graph.by_name[layer].num_units), np.float32) for layer in layers]
    masks = [_masks(whole, layers, experiment) for experiment in experiments]
    counts = np.zeros((4, len(experiments)), np.int64)  # kept, lost, won, changed
    moved, size, right = np.zeros(len(experiments)), 0.0, 0
    for numbers, images in batches(read, range(num_images), batch):
        before = _outputs(run, images, whole, len(numbers))
        size += float(np.abs(before).sum())
        named = before.argmax(axis=1)
        truth = None if labels is None else np.array([labels[number] for number in numbers])
        right += 0 if truth is None else int((named == truth).sum())
        for place, mask in enumerate(masks):
            after = _outputs(run, images, mask, len(numbers))
            moved[place] += float(np.abs(after - before).sum())
            now = after.argmax(axis=1)
            counts[3, place] += (now != named).sum()
            if truth is not None:
                was, is_ = named == truth, now == truth
                counts[:3, place] += (was & is_).sum(), (was & ~is_).sum(), (~was & is_).sum()
    kept, lost, won, changed = counts
    return Effects(kept, lost, won, changed, moved / size if size else moved, right)


def importance(network: Network, layers: Sequence[str], read: Read, num_images: int) -> dict[str, NDArray[np.float64]]:
    """How much what the network names an image hangs on each unit, `(u,)` by layer.

    Mean over images of the squared slope of the named output's log-probability along the unit's activation, times that
    activation: what a first-order Taylor expansion says the unit's removal would do (Molchanov et al. 2019, equation 8).
    read: as in `survey`. Raises the `UserError`s of `read`, all of them in one.
    """
    batch = min(BATCH, num_images)
    ablated = network.ablated(layers, batch=batch)
    whole = [jnp.ones((batch, network.graph.by_name[layer].num_units), jnp.float32) for layer in layers]

    def squared(constants: Sequence[jax.Array], images: jax.Array, counts: jax.Array) -> list[jax.Array]:
        def said(masks: Sequence[jax.Array]) -> jax.Array:
            outputs = ablated.function(constants, images, masks).reshape(batch, -1)
            # Some networks end in a softmax of their own.
            chances = (outputs >= 0).all() & (jnp.abs(outputs.sum(axis=1) - 1) < 1e-3).all()
            named = jnp.where(chances, jnp.log(jnp.maximum(outputs, 1e-30)), jax.nn.log_softmax(outputs)).max(axis=1)
            return (named * counts).sum()

        return [jnp.square(slope).sum(axis=0) for slope in jax.grad(said)(whole)]

    run = jax.jit(squared)
    totals = [np.zeros(mask.shape[1]) for mask in whole]
    for numbers, images in batches(read, range(num_images), batch):
        counts = jnp.asarray(np.arange(batch) < len(numbers), jnp.float32)
        for total, found in zip(totals, run(ablated.constants, jnp.asarray(images), counts), strict=True):
            total += np.asarray(found, np.float64)
    return {layer: total / num_images for layer, total in zip(layers, totals, strict=True)}


def _masks(whole: Sequence[NDArray], layers: Sequence[str], experiment: Mapping[str, Sequence[int]]) -> list[NDArray]:
    masks = [mask.copy() for mask in whole]
    for layer, mask in zip(layers, masks, strict=True):
        mask[:, list(experiment.get(layer, ()))] = 0
    return masks


def _outputs(run: Ablated, images: NDArray, masks: Sequence[NDArray], number: int) -> NDArray[np.float64]:
    found = np.asarray(run(images, masks))[:number]
    return found.reshape(number, -1).astype(np.float64)
