"""Many images of one kind, from which exemplars are drawn: the entries below `datasets:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from generator.config.sections import FilePath, Name, RefusedValueError, Section

PublishedName = Literal["mnist", "fashion_mnist", "cifar10", "cifar100"]
Split = Literal["train", "test"]
#: Of CIFAR-100: 100 classes, or the 20 that they belong to.
CifarLabels = Literal["fine", "coarse"]
#: Where the channels of an array of images are.
Layout = Literal["channels_first", "channels_last"]


def _growing(scales: tuple[float, float]) -> tuple[float, float]:
    if scales[0] > scales[1]:
        raise RefusedValueError(f"must not fall, got [{scales[0]:g}, {scales[1]:g}]", "write [smallest, largest]")
    return scales


Share = Annotated[float, Field(gt=0, le=1)]


class FolderDataset(Section):
    """Image files by glob, relative to the config. With `class_folders`, each image's label is its folder's name.

    limit: of a dataset's images, taken evenly from all classes and from all of each.
    """

    name: Name
    title: str | None = None
    kind: Literal["folder"]
    path: FilePath
    class_folders: bool = False
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class IdxDataset(Section):
    """Two IDX files, as MNIST and its kin have them (`.gz` or not). label_names: one for each class number."""

    name: Name
    title: str | None = None
    kind: Literal["idx"]
    images: FilePath
    labels: FilePath | None = None
    label_names: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class NpzDataset(Section):
    """A NumPy archive with `images` `(n, h, w)`, `(n, h, w, c)` or `(n, c, h, w)`, and optionally `labels` (n) and
    `label_names`. Values are uint8, uint16, or floats in 0-1 or 0-255.

    split: reads `x_train` and `y_train`, or `x_test` and `y_test`. layout: where the shape does not tell the order of axes.
    """

    name: Name
    title: str | None = None
    kind: Literal["npz"]
    path: FilePath
    split: Split | None = None
    layout: Layout | None = None
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class CropsDataset(Section):
    """Square pieces of probes, for models without a dataset at hand. probes: names of probe sets, or `set/probe`.

    per_image: pieces of each. scales: smallest and largest side of a piece, as shares of the image's shorter side.
    """

    name: Name
    title: str | None = None
    kind: Literal["crops"]
    probes: Annotated[tuple[str, ...], Field(min_length=1)]
    per_image: PositiveInt = 48
    scales: Annotated[tuple[Share, Share], AfterValidator(_growing)] = (0.2, 1.0)
    seed: Annotated[int, Field(ge=0)] = 0


class ZooDataset(Section):
    """Images of the dataset that a zoo model was made for. split: those that ship with it (`fashion_cnn`: 200 test images), or
    all of the `test` set, where it lies on this machine; elsewhere its findings come with the model.
    """

    name: Name
    title: str | None = None
    kind: Literal["zoo"]
    model: str
    split: Literal["shipped", "test"] = "shipped"
    limit: PositiveInt | None = None


class CsvDataset(Section):
    """Image files that a CSV file lists: a path a row, absolute or relative to the CSV file, and optionally a label.

    A header may name the columns (`path`, `label`); without one they come in this order.
    """

    name: Name
    title: str | None = None
    kind: Literal["csv"]
    path: FilePath
    limit: PositiveInt | None = None
    licence: str = "not stated"
    provenance: str = ""


class PublishedDataset(Section):
    """A dataset that everybody knows. path: a folder that has its published files, packed or not, or for CIFAR the `.tar.gz`;
    left out, they are sought on this machine and else fetched from the dataset's own address into the cache, and checked.

    labels: CIFAR-100 has 100 `fine` classes and 20 `coarse` ones.
    """

    name: Name
    title: str | None = None
    kind: Literal["published"]
    dataset: PublishedName
    split: Split = "test"
    path: FilePath | None = None
    labels: CifarLabels = "fine"
    limit: PositiveInt | None = None


DatasetConfig = Annotated[
    FolderDataset | IdxDataset | NpzDataset | CsvDataset | PublishedDataset | CropsDataset | ZooDataset,
    Field(discriminator="kind"),
]
