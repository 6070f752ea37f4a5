"""What the tasks that tell findings about a model have in common: its dataset, read as the network sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from generator.build import digest
from generator.build.model_plan import ModelPlan, drawing_digest
from generator.build.shipped_findings import shipped
from generator.build.task import Files, Inputs
from generator.naming import unique_slugs
from generator.network.graph import Graph, Layer
from generator.probes.datasets import Dataset
from generator.probes.prepare import prepare
from generator.records import SAMPLED_GRID, Measured

#: Files beside those of layers.
NAMED, IMPORTANCE, FAULTS, EFFECTS, THUMBNAILS = "named.npz", "importance.npz", "faults.json", "effects.npz", "images.npz"


@dataclass(frozen=True)
class Measuring:
    """A model and the dataset it is measured on."""

    plan: ModelPlan
    graph: Graph
    dataset: Dataset

    @cached_property
    def layers(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.plan.layers(self.graph)}

    @cached_property
    def files(self) -> dict[str, str]:
        """The file of each layer in the census."""
        taken = [file.partition(".")[0] for file in (NAMED, IMPORTANCE, FAULTS, EFFECTS, THUMBNAILS)]
        return {name: f"{stem}.npz" for name, stem in zip(self.layers, unique_slugs([*self.layers], taken), strict=True)}

    @cached_property
    def outputs_of_classes(self) -> list[int] | None:
        """Which output each class of the dataset is, by name; None where one is none of the model's."""
        names, known = self.dataset.info.labels, self.plan.labels
        if not names or not known or not set(names) <= set(known):
            return None
        return [known.index(name) for name in names]

    @property
    def info(self) -> Measured:
        return Measured(
            dataset=self.dataset.info.title,
            num_images=len(self.dataset),
            num_labelled=len(self.dataset) if self.outputs_of_classes else 0,
            positions=SAMPLED_GRID**2,
            shipped=not self.dataset.is_here,
        )

    def read(self, number: int) -> np.ndarray:
        """An image as the network is fed, float32 `(h, w, c)`."""
        return prepare(self.dataset.read(int(number)), self.plan.preprocessing).input

    def truth(self, numbers: Iterable[int]) -> list[int] | None:
        """The output that each of some images should be named, where that is known."""
        outputs = self.outputs_of_classes
        return None if outputs is None else [outputs[self.dataset.label(int(number))] for number in numbers]

    def task_id(self, kind: str) -> str:
        return self.plan.task_id(kind)

    def looking(self) -> dict[str, str]:
        """Digests of what decides which images the network computes, and what it makes of them."""
        return {
            **self.plan.computing(),
            "images": self.dataset.fingerprint,
            "here": str(self.dataset.is_here),
            "preprocessing": digest.of_json(self.plan.preprocessing.model_dump(mode="json")),
            "layers": digest.of_json([*self.layers]),
            "classes": digest.of_json([self.outputs_of_classes, self.plan.labels]),
        }

    def or_shipped(self, kind: str, run: Callable[[Inputs], Files]) -> Callable[[Inputs], Files]:
        """`run`, or what came with the model where the dataset's images are not on this machine."""
        return run if self.dataset.is_here else lambda _: shipped(self.plan, kind)


def code(own: str, *modules: str) -> str:
    """Digest of `modules`, and of what calls them: this module and `own`."""
    glue = [digest.of_module(name) for name in (__name__, own)]
    return digest.combine({"modules": drawing_digest(*modules), "glue": digest.of_json(glue)})
