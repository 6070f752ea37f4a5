"""Feature visualisations as JAX computes them: units of any layer of one network, several at a time, on all devices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generator.build import devices
from generator.build.programs import Programs
from generator.config.views import FeatureVisView
from generator.records import FeatureVisSetup, Preprocessing
from generator.views.statistics import finite_or_none

if TYPE_CHECKING:
    from generator.build.compute import LazyNetwork
    from generator.network.execute import Network
    from generator.views.feature_vis.draw import Visualised
    from generator.views.feature_vis.optimisation import Climbed


@dataclass(frozen=True)
class Request:
    """One image to make. sign: -1 for what silences the unit. role: tells apart several images of a unit, for the seed."""

    layer: str
    unit: int
    sign: float = 1.0
    role: str = "positive"


@dataclass(frozen=True)
class Found:
    """image: uint8 `(size, size, c)`, with MACO red, green, blue and opacity. Numbers are of the unit, whatever the sign."""

    image: np.ndarray
    start: float
    reached: float
    peak: float


def images_of_a_unit(settings: FeatureVisView) -> int:
    return 1 + settings.negative


class LazyVisualiser:
    """A `Visualiser` of a network that is loaded when it is first needed."""

    def __init__(self, network: LazyNetwork, settings: FeatureVisView, preprocessing: Preprocessing):
        self._network, self._settings, self._preprocessing = network, settings, preprocessing
        self._visualiser: Visualiser | None = None

    @property
    def units_at_a_time(self) -> int:
        """How many units are best visualised together; told without loading JAX, for a device on every core."""
        return max(1, devices.expected() // images_of_a_unit(self._settings))

    def units(
        self, works: Sequence[tuple[str, int]], natural: Callable[[], np.ndarray]
    ) -> tuple[list[Visualised], FeatureVisSetup]:
        """Images of units `(layer, unit)` of one layer, and how they were made. natural: as in `Programs`."""
        with self._network.using() as network:
            if self._visualiser is None:
                self._visualiser = Visualiser(network, self._settings, self._preprocessing, natural)
            return self._visualiser.units(works), self._visualiser.setup(works[0][0])


class Visualiser:
    """Climbs in one network with one set of settings. natural: as in `Programs`."""

    def __init__(
        self,
        network: Network,
        settings: FeatureVisView,
        preprocessing: Preprocessing,
        natural: Callable[[], np.ndarray],
    ):
        self._network, self._settings = network, settings
        self._programs = Programs(network, settings, preprocessing, natural)

    def setup(self, layer: str) -> FeatureVisSetup:
        ends = np.stack([self._programs.scaling.fed(np.full(self._network.input_shape[2], end)) for end in (0.0, 1.0)])
        flat = not self._network.graph.by_name[layer].spatial
        return FeatureVisSetup(
            objective="unit" if flat else self._settings.objective,
            value="pre_activation",
            parameterisation=self._settings.parameterisation,
            preset=self._settings.preset,
            size_px=self._programs.size,
            steps=self._programs.plan.steps,
            seed=self._settings.seed,
            input_range=(float(ends.min()), float(ends.max())),
        )

    def run(self, requests: Sequence[Request]) -> list[Found]:
        """An image for each request; what comes out for one depends neither on the others nor on how many there are.

        requests: all of one layer.
        """
        import jax

        (layer,) = {request.layer for request in requests}
        found: list[Found] = []
        num_images = devices.share() * devices.count()
        for start in range(0, len(requests), num_images):
            some = list(requests[start : start + num_images])
            padded = some + [some[0]] * (num_images - len(some))
            units = np.array([request.unit for request in padded], np.int32)
            signs = np.array([request.sign for request in padded], np.float32)
            climbed = jax.device_get(self._programs.climb(layer, units, signs, _seeds(self._settings.seed, padded)))
            found += [self._found(climbed, place, request.sign) for place, request in enumerate(some)]
        return found

    def units(self, works: Sequence[tuple[str, int]]) -> list[Visualised]:
        """Everything the settings ask for of some units `(layer, unit)` of one layer, in their order."""
        from generator.views.feature_vis.draw import Visualised

        roles = [("positive", 1.0), *([("negative", -1.0)] if self._settings.negative else [])]
        requests = [Request(layer, unit, sign, role) for layer, unit in works for role, sign in roles]
        found = self.run(requests)
        results = []
        for place, (layer, unit) in enumerate(works):
            own = found[place * len(roles) : (place + 1) * len(roles)]
            excited = self._excites(layer, own[0])
            lowest = finite_or_none(own[1].reached) if len(own) > 1 else None
            diverse = self._diverse(layer, unit) if excited else []
            images = np.stack([one.image for one in (*own, *diverse)])
            start, reached = finite_or_none(own[0].start), finite_or_none(own[0].reached)
            results.append(Visualised(unit, images, excited, start, reached, lowest))
        return results

    def _diverse(self, layer: str, unit: int) -> list[Found]:
        import jax

        requests = [Request(layer, unit, role=f"diverse {number}") for number in range(self._settings.diverse)]
        if not requests:
            return []
        climbed = jax.device_get(self._programs.diverse(layer, unit, _seeds(self._settings.seed, requests)))
        return [self._found(climbed, place, 1.0) for place in range(len(requests))]

    def _found(self, climbed: Climbed, place: int, sign: float) -> Found:
        from generator.views.feature_vis.optimisation import opacity

        image = climbed.images[place]
        if self._settings.parameterisation == "maco":
            colours = np.broadcast_to(image, (*image.shape[:2], 3))
            image = np.concatenate([colours, opacity(climbed.gathered[place])[:, :, None]], axis=2)
        pixels = np.clip(np.rint(np.nan_to_num(image, nan=0.5) * 255), 0, 255).astype(np.uint8)
        return Found(pixels, *(sign * float(number[place]) for number in (climbed.start, climbed.reached, climbed.peak)))

    def _excites(self, layer: str, found: Found) -> bool:
        """Whether an image excites its unit: it answers at all where answers are rectified, else more than it did at first."""
        from generator.network.ascent import RECTIFIERS

        if not np.isfinite([found.start, found.reached, found.peak]).all():
            return False
        if self._network.graph.by_name[layer].activation in RECTIFIERS:
            return found.peak > 0
        return found.reached > found.start


def _seeds(seed: int, requests: Sequence[Request]) -> list[int]:
    """Of each image, from what it is of, never from its place among others."""
    texts = [f"{seed}/{request.layer}/{request.unit}/{request.role}" for request in requests]
    return [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
