"""What is known of a known architecture, and how its checkpoints' tensors become its parameters. No JAX, no Flax."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.records import Preprocessing

if TYPE_CHECKING:
    from flax import nnx

#: A tensor of a checkpoint, by its name there, to a parameter's path (`blocks/3/depthwise/kernel`) and value, or to None
#: where the module has no use for it. A name that is not of this architecture comes back as it is.
Convert = Callable[[str, np.ndarray], tuple[str, np.ndarray] | None]


def same_names(key: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """For checkpoints that were saved from the module itself: nothing to rename."""
    return key, array


@dataclass(frozen=True)
class ZooEntry:
    """One known architecture.

    name: as configurations write it. input_shape: `(h, w, c)` of one image. labels: class names in the order of the outputs.
    weights: finds the checkpoint on this machine; raises `WeightsError` if it is not there, or if none comes with the
    architecture. build: the NNX module with untrained parameters. convert: see `Convert`. code: the Python files that define
    the network. facts: further lines for the model's page, on `weights`; paper: on the architecture. timm_names: of the same
    architecture in timm. heads: how checkpoints may call the last layer, which tells the number of classes, if it may
    differ; given to `build` as `num_classes`. arguments: further ones that the names of a checkpoint's tensors decide.
    guess: what someone else's weights are taken to want, a sentence.
    """

    name: str
    title: str
    description: str
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    labels: Callable[[], tuple[str, ...]]
    licence: str
    provenance: str
    weights: Callable[[], Path]
    build: Callable[..., nnx.Module]
    code: tuple[Path, ...]
    convert: Convert = same_names
    facts: Callable[[], tuple[tuple[str, str], ...]] = field(default=tuple)
    paper: str = ""
    timm_names: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    arguments: Callable[[Collection[str]], dict[str, Any]] = field(default=lambda _: {})
    guess: str = ""

    def num_classes(self, tensors: Mapping[str, np.ndarray]) -> int | None:
        """As many as the checkpoint's last layer has outputs; None if it has no such layer, or if they are always the same."""
        for name, array in self._plain(tensors).items():
            module, _, parameter = name.replace("/", ".").rpartition(".")
            if module in self.heads and parameter in ("weight", "kernel") and array.ndim > 1:
                return array.shape[0 if parameter == "weight" else -1]
        return None

    def labels_of(self, num_classes: int | None) -> tuple[str, ...] | None:
        """The labels, if there are as many of them as classes."""
        labels = self.labels()
        return labels if num_classes in (None, len(labels)) else None

    def parameters(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The checkpoint's tensors as parameters, by their paths."""
        converted = (self.convert(name, array) for name, array in self._plain(tensors).items())
        return dict(pair for pair in converted if pair is not None)

    def build_arguments(self, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What `build` is called with, so that the module fits the checkpoint."""
        plain, num_classes = self._plain(tensors), self.num_classes(tensors)
        return {**({} if num_classes is None else {"num_classes": num_classes}), **self.arguments(plain)}

    def _plain(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Without what wrappers put before every name (`module.`, `model.`)."""
        for head in self.heads:
            for name in tensors:
                before, found, _ = name.rpartition(f"{head}.weight")
                if found and before.endswith(".") and all(key.startswith(before) for key in tensors):
                    return {key.removeprefix(before): array for key, array in tensors.items()}
        return dict(tensors)


def untrained(module: str, class_name: str, *arguments: Any, **options: Any) -> Callable[..., nnx.Module]:
    """A builder that imports `generator.zoo.<module>`, and with it Flax, only when it is called."""

    def build(**more: Any) -> nnx.Module:
        from flax import nnx

        network = getattr(importlib.import_module(f"generator.zoo.{module}"), class_name)
        return network(*arguments, **options, **more, rngs=nnx.Rngs(0))

    return build


def beside(*files: str) -> tuple[Path, ...]:
    """Python files of this room."""
    return tuple(Path(__file__).with_name(file) for file in files)
