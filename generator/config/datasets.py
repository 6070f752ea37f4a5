"""Many images of one kind, from which exemplars are drawn: the entries below `datasets:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from generator.config.sections import FilePath, Name, Section


class FolderDataset(Section):
    """Image files by glob, relative to the config. With `class_folders`, each image's label is its folder's name."""

    name: Name
    kind: Literal["folder"]
    path: FilePath
    class_folders: bool = False
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class IdxDataset(Section):
    """Two IDX files, as MNIST and its kin have them (`.gz` or not). label_names: one for each class number."""

    name: Name
    kind: Literal["idx"]
    images: FilePath
    labels: FilePath | None = None
    label_names: tuple[str, ...] | None = None
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class NpzDataset(Section):
    """A NumPy archive with `images` uint8 `(n, h, w)` or `(n, h, w, c)`, and optionally `labels` (n) and `label_names`."""

    name: Name
    kind: Literal["npz"]
    path: FilePath
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class CropsDataset(Section):
    """Square pieces of probes, for models without a dataset at hand. probes: names of probe sets, or `set/probe`.

    per_image: pieces of each. scales: smallest and largest side of a piece, as shares of the image's shorter side.
    """

    name: Name
    kind: Literal["crops"]
    probes: Annotated[tuple[str, ...], Field(min_length=1)]
    per_image: PositiveInt = 48
    scales: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.2, 1.0)
    seed: Annotated[int, Field(ge=0)] = 0


class ZooDataset(Section):
    """The images that ship with a zoo model (`fashion_cnn`: 200 test images)."""

    name: Name
    kind: Literal["zoo"]
    model: str
    limit: PositiveInt | None = None


DatasetConfig = Annotated[FolderDataset | IdxDataset | NpzDataset | CropsDataset | ZooDataset, Field(discriminator="kind")]
