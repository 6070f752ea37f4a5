"""A model made ready to compute with, once, when the first task needs it. Nothing here imports JAX before that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from generator import sources
from generator.config.schema import SourceConfig

if TYPE_CHECKING:
    from generator.network.execute import Network, Tap, Tapped


class LazyNetwork:
    """The traced network of a source, loaded when it is first asked for. Used by one thread at a time (the compute lane).

    input_shape: `(h, w, c)` of the images it will get, which may differ in size from those it was trained on.
    compiled: folder for JAX's persistent compilation cache, unless `JAX_COMPILATION_CACHE_DIR` names another.
    """

    def __init__(self, source: SourceConfig, base: Path, input_shape: tuple[int, int, int], compiled: Path):
        self._source, self._base, self._compiled = source, base, compiled
        self.input_shape = input_shape
        self._network: Network | None = None
        self._tapped: dict[tuple[tuple[Tap, ...], int], Tapped] = {}

    def network(self) -> Network:
        if self._network is None:
            import jax

            from generator.network.execute import Network

            if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
                jax.config.update("jax_compilation_cache_dir", str(self._compiled.resolve()))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
            model = sources.load(self._source, self._base)
            self._network = Network(model.apply, model.params, self.input_shape)
        return self._network

    def values(self, taps: Sequence[Tap], images: np.ndarray) -> list[np.ndarray]:
        """float32 values of `taps` for `images` `(n, h, w, c)`."""
        key = (tuple(taps), len(images))
        if key not in self._tapped:
            self._tapped[key] = self.network().tapped(taps, batch=len(images))
        return [np.asarray(value, np.float32) for value in self._tapped[key](images)]
