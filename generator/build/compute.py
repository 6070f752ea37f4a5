"""What JAX computes for a model: its graph and weights, and its values for a probe. Nothing here imports JAX before that."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from generator import sources
from generator.build.arrays import compact, to_bytes
from generator.build.devices import use_every_core
from generator.config.sources import SourceConfig
from generator.errors import NetworkError, Problem
from generator.naming import unique_slugs
from generator.network.graph import Graph, Value

if TYPE_CHECKING:
    from generator.network.execute import Network, Tapped

GRAPH = "graph.json"
OUTPUTS = "outputs.npy"


class LazyNetwork:
    """The traced network of a source, loaded when it is first asked for. Used by one thread at a time (the compute lane).

    input_shape: `(h, w, c)` of the images it will get, which may differ in size from those it was trained on.
    place: where the config speaks of it. compiled: folder for JAX's persistent compilation cache, unless
    `JAX_COMPILATION_CACHE_DIR` names another.
    """

    def __init__(self, source: SourceConfig, base: Path, input_shape: tuple[int, int, int], place: str, compiled: Path):
        self._source, self._base, self._place, self._compiled = source, base, place, compiled
        self.input_shape = input_shape
        self._network: Network | None = None
        self._tapped: dict[tuple[tuple[str, Value], ...], Tapped] = {}

    def trace(self) -> dict[str, bytes]:
        """`graph.json`, and kernel, scale and offset of every layer that has a kernel (`weights_files`)."""
        with self._explained():
            network = self._loaded()
            kernels = [layer.name for layer in network.graph.layers if layer.has_kernel]
            weights = network.weights(kernels)
        files = {GRAPH: network.graph.model_dump_json().encode()}
        for layer, names in weights_files(network.graph).items():
            found = weights[layer]
            files.update(zip(names, map(to_bytes, (found.kernel, found.scale, found.offset)), strict=True))
        return files

    def record(self, taps: Mapping[tuple[str, Value], str], image: np.ndarray) -> dict[str, bytes]:
        """The values of `taps`, layer and value to file name, for one image `(h, w, c)`; and its outputs, `outputs.npy`."""
        with self._explained():
            outputs, *maps = (np.asarray(value[0], np.float32) for value in self._function(tuple(taps))(image[None]))
        return {OUTPUTS: to_bytes(outputs), **{file: to_bytes(compact(m)) for file, m in zip(taps.values(), maps, strict=True)}}

    @contextmanager
    def using(self) -> Iterator[Network]:
        """The network, for whatever else there is to compute with it; what goes wrong is explained as for everything here."""
        with self._explained():
            yield self._loaded()

    def _function(self, taps: tuple[tuple[str, Value], ...]) -> Tapped:
        from generator.network.execute import OUTPUT, Tap

        if taps not in self._tapped:
            self._tapped[taps] = self._loaded().tapped([Tap(OUTPUT), *(Tap(layer, value) for layer, value in taps)])
        return self._tapped[taps]

    def _loaded(self) -> Network:
        if self._network is None:
            import jax

            from generator.network.execute import Network

            use_every_core()
            if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
                jax.config.update("jax_compilation_cache_dir", str(self._compiled.resolve()))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
            model = sources.load(self._source, self._base)
            self._network = Network(model.apply, model.params, self.input_shape)
        return self._network

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The network room does not know which network it has; and memory may not suffice for images of this size."""
        import jax

        try:
            yield
        except NetworkError as error:
            problems = (replace(p, place=self._place) if p.place == "network" else p for p in error.problems)
            raise NetworkError(problems) from error
        except jax.errors.JaxRuntimeError as error:
            size = " x ".join(map(str, self.input_shape))
            rule = f"computing it for images of {size} failed: {next(iter(str(error).splitlines()), '')}"
            raise NetworkError(Problem(self._place, rule, "choose a smaller `preprocessing.size_px`")) from error


def weights_files(graph: Graph) -> Mapping[str, Sequence[str]]:
    """The files with kernel, scale and offset of each layer that has a kernel, by its name."""
    layers = [layer.name for layer in graph.layers if layer.has_kernel]
    stems = unique_slugs(layers)
    return {
        layer: [f"{stem}.{name}.npy" for name in ("kernel", "scale", "offset")]
        for layer, stem in zip(layers, stems, strict=True)
    }
