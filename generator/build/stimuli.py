"""What the tuning stimuli do to each unit of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from generator.probes.prepare import prepare
from generator.probes.tuning_stimuli import Stimuli, tuning_stimuli
from generator.records import Preprocessing

if TYPE_CHECKING:
    from generator.network.execute import Network

#: Images of one call.
BATCH = 32

#: Gratings need some room.
SMALLEST_PX = 8


def stimuli_for(preprocessing: Preprocessing) -> Stimuli:
    """The stimuli at the size of the network's input."""
    return tuning_stimuli(max(SMALLEST_PX, *preprocessing.size_px), preprocessing.channels == "grey")


def answers_to_stimuli(network: Network, layers: Sequence[str], preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    """Each unit's answer to every stimulus, float32 `(num_stimuli, units)`, by layer."""
    from generator.network.execute import Tap
    from generator.views.tuning import largest

    images = np.stack([prepare(image, preprocessing).input for image in stimuli_for(preprocessing).images])
    padded = np.concatenate([images, np.repeat(images[-1:], -len(images) % BATCH, axis=0)])
    taps = [Tap(layer, "pre_activation") for layer in layers]  # a bound such as ReLU6's makes all gratings alike
    run = network.tapped(taps, batch=BATCH, reduce=lambda values: [largest(value) for value in values])
    found = [run(padded[start : start + BATCH]) for start in range(0, len(padded), BATCH)]
    stacked = [np.concatenate(parts)[: len(images)] for parts in zip(*found, strict=True)]
    return {layer: np.asarray(values, np.float32) for layer, values in zip(layers, stacked, strict=True)}
