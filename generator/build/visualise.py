"""Feature visualisations as JAX computes them: units of any layer of one network, several at a time, on all devices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from generator.build import devices
from generator.config.views import FeatureVisView
from generator.errors import NetworkError, Problem
from generator.network.graph import Graph
from generator.records import FeatureVisSetup, Preprocessing
from generator.views.statistics import finite_or_none

if TYPE_CHECKING:
    from generator.build.compute import LazyNetwork
    from generator.network.ascent import Ascent
    from generator.network.execute import Network
    from generator.views.feature_vis.draw import Visualised
    from generator.views.feature_vis.optimisation import Climb, Climbed

#: How much images of one unit are to differ, over how much they are to excite it.
DIVERSITY = 1.0

#: Largest side of an image unless the config says otherwise.
SIZE_PX = 128


@dataclass(frozen=True)
class Request:
    """One image to make. sign: -1 for what silences the unit. role: tells apart several images of a unit, for the seed."""

    layer: str
    unit: int
    sign: float = 1.0
    role: str = "positive"


@dataclass(frozen=True)
class Found:
    """image: uint8 `(size, size, c)`, with MACO one more channel, its opacity. Numbers are of the unit, whatever the sign."""

    image: np.ndarray
    start: float
    reached: float
    peak: float


def images_of_a_unit(settings: FeatureVisView) -> int:
    return 1 + settings.negative


def size_px(settings: FeatureVisView, input_shape: tuple[int, int, int]) -> int:
    """Side of the images."""
    return settings.size_px or min(SIZE_PX, *input_shape[:2])


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
        """Images of units `(layer, unit)` of one layer, and how they were made.

        natural: gives inputs of the network, float32 `(n, h, w, c)`, whose spectrum MACO keeps; asked only for that.
        """
        with self._network.using() as network:
            if self._visualiser is None:
                self._visualiser = Visualiser(network, self._settings, self._preprocessing, natural)
            return self._visualiser.units(works), self._visualiser.setup(network.graph, works[0][0])


class Visualiser:
    """Climbs in one network with one set of settings. Programs are compiled when they are first needed.

    natural: as in `LazyVisualiser.units`.
    """

    def __init__(
        self,
        network: Network,
        settings: FeatureVisView,
        preprocessing: Preprocessing,
        natural: Callable[[], np.ndarray],
    ):
        self._network, self._settings, self._preprocessing, self._natural = network, settings, preprocessing, natural
        self.size = size_px(settings, network.input_shape)
        self._diverse_programs: dict[str, Callable[..., Climbed]] = {}

    def setup(self, graph: Graph, layer: str) -> FeatureVisSetup:
        low, high = (self._scaling.fed(np.full((1, 1, self._network.input_shape[2]), end)) for end in (0.0, 1.0))
        flat = not graph.by_name[layer].spatial
        return FeatureVisSetup(
            objective="unit" if flat else self._settings.objective,
            value="pre_activation",
            parameterisation=self._settings.parameterisation,
            preset=self._settings.preset,
            size_px=self.size,
            steps=self._plan.steps,
            seed=self._settings.seed,
            input_range=(float(min(low.min(), high.min())), float(max(low.max(), high.max()))),
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
            climbed = jax.device_get(self._climb(layer, padded))
            found += [_found(climbed, place, request.sign) for place, request in enumerate(some)]
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
            images = np.stack([one.image for one in (*own, *self._diverse(layer, unit))])
            start, reached = finite_or_none(own[0].start), finite_or_none(own[0].reached)
            results.append(Visualised(unit, images, excited, start, reached, lowest))
        return results

    def _diverse(self, layer: str, unit: int) -> list[Found]:
        """Several images of one unit that look different to its layer."""
        import jax
        from jax.sharding import PartitionSpec as P

        count = self._settings.diverse
        if not count:
            return []
        if layer not in self._diverse_programs:
            self._diverse_programs[layer] = self._diverse_program(layer, count)
        requests = [Request(layer, unit, role=f"diverse {number}") for number in range(count)]
        climbed = jax.device_get(
            self._diverse_programs[layer](np.int32(unit), devices.placed(_keys(self._settings.seed, requests), P()))
        )
        return [_found(climbed, place, 1.0) for place in range(count)]

    def _diverse_program(self, layer: str, count: int) -> Callable[..., Climbed]:
        """All images of a unit depend on each other, so one device makes them; a program for each layer."""
        import jax
        from jax.sharding import PartitionSpec as P

        from generator.views.feature_vis import objectives
        from generator.views.feature_vis.optimisation import climb, slope_of

        plan = self._plan
        size = (*self._frame, self._network.input_shape[2])
        climbable = self._network.climbable([layer], batch=count * self._crops, size=size)
        goal = (
            objectives.neuron
            if self._settings.objective == "neuron" and self._network.graph.by_name[layer].spatial
            else objectives.channel
        )

        def run(constants: list[jax.Array], unit: jax.Array, keys: jax.Array) -> Climbed:
            excite, differ = goal(layer, unit), objectives.diversity(layer)

            def of(values: dict[str, jax.Array]) -> jax.Array:
                scores = excite.of(values)
                return scores + DIVERSITY * jax.lax.stop_gradient(jax.numpy.abs(scores)) * differ.of(values)

            values = partial(climbable.function, constants)
            return climb(plan, slope_of(objectives.Objective((layer,), of), values), keys)

        return partial(jax.jit(run), devices.placed(climbable.constants, P()))

    def _excites(self, layer: str, found: Found) -> bool:
        """Whether an image excites its unit: it answers at all where answers are rectified, else more than it did at first."""
        from generator.network.ascent import RECTIFIERS

        if not np.isfinite([found.start, found.reached, found.peak]).all():
            return False
        if self._network.graph.by_name[layer].activation in RECTIFIERS:
            return found.peak > 0
        return found.reached > found.start

    # -- what is made once ----------------------------------------------------------------------------------------------

    @cached_property
    def _scaling(self) -> Any:
        from generator.views.feature_vis.transforms import Scaling

        (low, high), channels = self._preprocessing.range, self._network.input_shape[2]
        mean, std = (
            np.broadcast_to(np.array(v, np.float32), channels) for v in (self._preprocessing.mean, self._preprocessing.std)
        )
        return Scaling((high - low) / std, (low - mean) / std, self._preprocessing.channels == "bgr")

    @cached_property
    def _frame(self) -> tuple[int, int]:
        """What the network sees: the image with some room around it, or its own input's size where it takes no other."""
        from generator.views.feature_vis.settings import margin

        height, width, channels = self._network.input_shape
        wanted = self.size + margin(self.size)
        if self._network.takes((wanted, wanted, channels)):
            return wanted, wanted
        if self.size > min(height, width):
            rule = f"images of {self.size} px do not fit a network that takes {height} x {width} pixels only"
            raise NetworkError(Problem("network", rule, f"choose `views.feature_vis.size_px` up to {min(height, width)}"))
        return height, width

    @cached_property
    def _plan(self) -> Climb:
        from generator.views.feature_vis import optimisation, parameterisations, settings

        preset, kind = settings.PRESETS[self._settings.preset], self._settings.parameterisation
        size, channels = self.size, self._network.input_shape[2]
        if kind == "maco":
            images = _resized(self._scaling.shown(self._natural()), size)
            shape = parameterisations.Maco(size, channels, parameterisations.mean_magnitudes(images))
            seen, steps = settings.crops(preset, self._frame), preset.maco_steps
        else:
            shape = (parameterisations.Fourier if kind == "fourier" else parameterisations.Pixels)(size, channels)
            seen, steps = settings.robustness(preset, size, self._frame), preset.steps
        return optimisation.Climb(shape, seen, self._scaling, settings.optimiser(kind), self._settings.steps or steps)

    @cached_property
    def _ascent(self) -> Ascent:
        """Of every layer with channels: one program serves all, and no image depends on which layers are asked for."""
        from generator.network import ascent

        layers = [layer.name for layer in self._network.graph.layers if len(layer.shape) in (1, 3)]
        positions = ascent.centre if self._settings.objective == "neuron" else ascent.everywhere
        size = (*self._frame, self._network.input_shape[2])
        return self._network.ascent(layers, positions, batch=devices.share() * self._crops, size=size)

    @property
    def _crops(self) -> int:
        """How many times the network sees an image at each step."""
        from generator.views.feature_vis.transforms import Crops

        return self._plan.seen.count if isinstance(self._plan.seen, Crops) else 1

    @cached_property
    def _program(self) -> Callable[..., Climbed]:
        """Compiled for all devices: each one works on its own images, by itself."""
        import jax
        from jax.sharding import PartitionSpec as P

        from generator.views.feature_vis.optimisation import climb

        ascent, plan = self._ascent, self._plan

        def run(constants: list[jax.Array], layer: jax.Array, units: jax.Array, keys: jax.Array) -> Climbed:
            def slope(fed: jax.Array, is_open: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
                each = jax.numpy.repeat(units, len(fed) // len(units), axis=0)
                return ascent.function(constants, fed, layer, each, is_open)

            return climb(plan, slope, keys)

        specs = {"in_specs": (P(), P(), P("device"), P("device")), "out_specs": P("device")}
        sharded = jax.shard_map(run, mesh=devices.mesh(), check_vma=False, **specs)
        return partial(jax.jit(sharded, compiler_options=devices.options()), devices.placed(ascent.constants, P()))

    def _climb(self, layer: str, requests: Sequence[Request]) -> Climbed:
        from jax.sharding import PartitionSpec as P

        units = np.zeros((len(requests), self._ascent.width), np.float32)
        units[np.arange(len(requests)), [request.unit for request in requests]] = [request.sign for request in requests]
        keys = _keys(self._settings.seed, requests)
        index = np.int32(self._ascent.layers.index(layer))
        return self._program(index, devices.placed(units, P("device")), devices.placed(keys, P("device")))


def _keys(seed: int, requests: Sequence[Request]) -> Any:
    """Of each image, from what it is of, never from its place among others."""
    import jax

    texts = [f"{seed}/{request.layer}/{request.unit}/{request.role}" for request in requests]
    numbers = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1 for text in texts]
    return jax.vmap(jax.random.key)(np.array(numbers))


def _found(climbed: Climbed, place: int, sign: float) -> Found:
    image = np.clip(np.rint(climbed.images[place] * 255), 0, 255).astype(np.uint8)
    return Found(image, *(sign * float(number[place]) for number in (climbed.start, climbed.reached, climbed.peak)))


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """`images` `(n, h, w, c)` in 0-1 as `(n, size, size, c)`, the middle square of each."""
    side = min(images.shape[1:3])
    top, left = ((length - side) // 2 for length in images.shape[1:3])
    square = np.rint(images[:, top : top + side, left : left + side] * 255).clip(0, 255).astype(np.uint8)

    def one(channel: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BOX), np.float32) / 255

    return np.stack([np.stack([one(image[:, :, c]) for c in range(image.shape[2])], axis=-1) for image in square])
