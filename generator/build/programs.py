"""Compiled climbs in one network: one program for any unit of any layer, and one for each layer's diverse images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from generator.build import devices
from generator.config.views import FeatureVisView
from generator.errors import NetworkError, Problem
from generator.records import Preprocessing

if TYPE_CHECKING:
    import jax

    from generator.network.ascent import Ascent
    from generator.network.execute import Network
    from generator.views.feature_vis.optimisation import Climb, Climbed, Drawn
    from generator.views.feature_vis.transforms import Scaling

#: How much images of one unit are to differ, over how much they are to excite it.
DIVERSITY = 1.0

#: Largest side of an image unless the config says otherwise.
SIZE_PX = 128


def size_px(settings: FeatureVisView, input_shape: tuple[int, int, int]) -> int:
    """Side of the images."""
    return settings.size_px or min(SIZE_PX, *input_shape[:2])


def scaling(preprocessing: Preprocessing, num_channels: int) -> Scaling:
    """From images in 0-1, grey or red, green, blue, to what the network is fed."""
    from generator.views.feature_vis.transforms import Scaling

    low, high = preprocessing.range
    mean, std = (np.broadcast_to(np.array(v, np.float32), num_channels) for v in (preprocessing.mean, preprocessing.std))
    return Scaling((high - low) / std, (low - mean) / std, preprocessing.channels == "bgr")


class Programs:
    """Made when they are first needed, and then for all units.

    natural: gives inputs of the network, float32 `(n, h, w, c)`, whose spectrum MACO keeps; asked only for that.
    """

    def __init__(
        self,
        network: Network,
        settings: FeatureVisView,
        preprocessing: Preprocessing,
        natural: Callable[[], np.ndarray],
    ):
        self._network, self._settings, self._natural = network, settings, natural
        self.size = size_px(settings, network.input_shape)
        self.scaling = scaling(preprocessing, network.input_shape[2])
        self._diverse: dict[str, Callable[..., Climbed]] = {}

    def climb(self, layer: str, units: np.ndarray, signs: np.ndarray, seeds: Sequence[int]) -> Climbed:
        """An image for each unit and sign, all of one layer; as many as all devices work on at a time.

        units: int32 `(n,)`. signs: float32 `(n,)`.
        """
        from jax.sharding import PartitionSpec as P

        from generator.views.feature_vis.optimisation import drawn

        index = np.int32(self._ascent.layers.index(layer))
        each = (units, signs, drawn(self.plan, seeds))
        return self._any_unit(index, *(devices.placed(value, P("device")) for value in each))

    def diverse(self, layer: str, unit: int, seeds: Sequence[int]) -> Climbed:
        """Images of one unit that look different to its layer, one for each of `seeds`, always as many.

        They depend on each other, so one device makes them.
        """
        from generator.views.feature_vis.optimisation import drawn

        if layer not in self._diverse:
            self._diverse[layer] = self._diverse_program(layer, len(seeds))
        return self._diverse[layer](np.int32(unit), devices.on_one(drawn(self.plan, seeds)))

    # -- what is made once ----------------------------------------------------------------------------------------------

    @cached_property
    def plan(self) -> Climb:
        from generator.views.feature_vis import optimisation, parameterisations, settings

        preset, kind = settings.PRESETS[self._settings.preset], self._settings.parameterisation
        size, channels = self.size, self._network.input_shape[2]
        if kind == "maco":
            images = _resized(self.scaling.shown(self._natural()), size)
            shape = parameterisations.Maco(size, channels, parameterisations.mean_magnitudes(images))
            seen, steps = settings.crops(preset, self._frame), preset.maco_steps
        else:
            shape = (parameterisations.Fourier if kind == "fourier" else parameterisations.Pixels)(size, channels)
            seen, steps = settings.robustness(preset, size, self._frame), preset.steps
        return optimisation.Climb(shape, seen, self.scaling, settings.optimiser(kind), self._settings.steps or steps)

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

    @property
    def _crops(self) -> int:
        """How many times the network sees an image at each step."""
        from generator.views.feature_vis.transforms import Crops

        return self.plan.seen.count if isinstance(self.plan.seen, Crops) else 1

    @cached_property
    def _ascent(self) -> Ascent:
        """Of every layer with channels: one program serves all, and no image depends on which layers are asked for."""
        from generator.network import ascent

        layers = [layer.name for layer in self._network.graph.layers if len(layer.shape) in (1, 3)]
        positions = ascent.centre if self._settings.objective == "neuron" else ascent.everywhere
        size = (*self._frame, self._network.input_shape[2])
        return self._network.ascent(layers, positions, batch=devices.share() * self._crops, size=size)

    @cached_property
    def _any_unit(self) -> Callable[..., Climbed]:
        """For all devices: each one works on its own images, by itself."""
        import jax
        from jax.sharding import PartitionSpec as P

        from generator.views.feature_vis.optimisation import climb

        ascent, plan = self._ascent, self.plan

        def run(constants: list[jax.Array], layer: jax.Array, units: jax.Array, signs: jax.Array, begin: Drawn) -> Climbed:
            def slope(fed: jax.Array, is_open: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
                each = (jax.numpy.repeat(values, len(fed) // len(units)) for values in (units, signs))
                return ascent.function(constants, fed, layer, *each, is_open)

            return climb(plan, slope, begin)

        specs = {"in_specs": (P(), P(), *[P("device")] * 3), "out_specs": P("device")}
        sharded = jax.shard_map(run, mesh=devices.mesh(), check_vma=False, **specs)
        return partial(jax.jit(sharded, compiler_options=devices.options()), devices.placed(ascent.constants, P()))

    def _diverse_program(self, layer: str, count: int) -> Callable[..., Climbed]:
        import jax

        from generator.views.feature_vis import objectives
        from generator.views.feature_vis.optimisation import climb, slope_of

        plan = self.plan
        size = (*self._frame, self._network.input_shape[2])
        climbable = self._network.climbable([layer], batch=count * self._crops, size=size)
        spatial = self._network.graph.by_name[layer].spatial
        goal = objectives.neuron if self._settings.objective == "neuron" and spatial else objectives.channel

        def run(constants: list[jax.Array], unit: jax.Array, begin: Drawn) -> Climbed:
            excite, differ = goal(layer, unit), objectives.diversity(layer)

            def of(values: dict[str, jax.Array]) -> jax.Array:
                scores = excite.of(values)
                return scores + DIVERSITY * jax.lax.stop_gradient(jax.numpy.abs(scores)) * differ.of(values)

            values = partial(climbable.function, constants)
            return climb(plan, slope_of(objectives.Objective((layer,), of), values), begin)

        return partial(jax.jit(run), devices.on_one(climbable.constants))


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """`images` `(n, h, w, c)` in 0-1 as `(n, size, size, c)`, the middle square of each."""
    side = min(images.shape[1:3])
    top, left = ((length - side) // 2 for length in images.shape[1:3])
    square = np.rint(images[:, top : top + side, left : left + side] * 255).clip(0, 255).astype(np.uint8)

    def one(channel: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BOX), np.float32) / 255

    return np.stack([np.stack([one(image[:, :, c]) for c in range(image.shape[2])], axis=-1) for image in square])
