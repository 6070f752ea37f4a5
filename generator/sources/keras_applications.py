"""What `keras.applications` holds and how each family wants its pixels, known without importing Keras."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generator.errors import ConfigError, Problem, did_you_mean
from generator.records import Preprocessing

#: How pixels become input, by the names that Keras gives these conventions (`imagenet_utils.preprocess_input`), and `raw` for
#: models that begin by rescaling 0-255 themselves.
MODES: dict[str, dict] = {
    "raw": {"range": (0.0, 255.0)},
    "caffe": {"channels": "bgr", "range": (0.0, 255.0), "mean": (103.939, 116.779, 123.68)},
    "tf": {"range": (-1.0, 1.0)},
    "torch": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
}
#: How the guesses and pages put it.
MODE_TEXTS = {
    "raw": "pixels in 0-255, rescaled by the model itself",
    "caffe": "BGR pixels in 0-255 less ImageNet's mean",
    "tf": "pixels in -1 to 1",
    "torch": "pixels in 0-1, normalised with ImageNet's mean and deviation",
}


@dataclass(frozen=True)
class Application:
    """name: the class in `keras.applications`. size_px: of its square images. mode: one of `MODES`."""

    name: str
    size_px: int
    mode: str


def _family(mode: str, **sizes: int) -> dict[str, Application]:
    return {name.lower(): Application(name, size, mode) for name, size in sizes.items()}


#: By the name in lower case.
APPLICATIONS: dict[str, Application] = {
    **_family("caffe", VGG16=224, VGG19=224, ResNet50=224, ResNet101=224, ResNet152=224),
    **_family("tf", ResNet50V2=224, ResNet101V2=224, ResNet152V2=224, MobileNet=224, MobileNetV2=224),
    **_family("tf", InceptionV3=299, InceptionResNetV2=299, Xception=299, NASNetMobile=224, NASNetLarge=331),
    **_family("torch", DenseNet121=224, DenseNet169=224, DenseNet201=224),
    **_family("raw", MobileNetV3Small=224, MobileNetV3Large=224),
    **_family("raw", EfficientNetB0=224, EfficientNetB1=240, EfficientNetB2=260, EfficientNetB3=300),
    **_family("raw", EfficientNetB4=380, EfficientNetB5=456, EfficientNetB6=528, EfficientNetB7=600),
    **_family("raw", EfficientNetV2B0=224, EfficientNetV2B1=240, EfficientNetV2B2=260, EfficientNetV2B3=300),
    **_family("raw", EfficientNetV2S=384, EfficientNetV2M=480, EfficientNetV2L=480),
    **_family("raw", ConvNeXtTiny=224, ConvNeXtSmall=224, ConvNeXtBase=224, ConvNeXtLarge=224, ConvNeXtXLarge=224),
}
_PREFIX = "keras.applications."
#: What the names inside saved models begin with (`mobilenetv2_1.00_224`), longest first; for models without a rescaling layer.
_STEMS = {
    "caffe": ("vgg16", "vgg19", "resnet50", "resnet101", "resnet152"),
    "tf": (
        *("resnet50v2", "resnet101v2", "resnet152v2", "mobilenet", "inceptionv3", "inceptionresnetv2", "xception", "nasnet"),
        *("efficientnetv2",),
    ),
    "torch": ("densenet",),
}


def application_name(model: str) -> str | None:
    """`VGG16` of `keras.applications.vgg16`, None for a file. Raises `ConfigError` for a name that Keras does not have."""
    if not model.lower().startswith(_PREFIX):
        return None
    name = model[len(_PREFIX) :]
    if name.lower() not in APPLICATIONS:
        names = [application.name for application in APPLICATIONS.values()]
        raise ConfigError(Problem(model, f"keras.applications has no CNN {name!r}", did_you_mean(name, names, show=len(names))))
    return APPLICATIONS[name.lower()].name


def mode_of(model_name: str) -> str | None:
    """The mode of a saved model that bears an application's name, such as `mobilenetv2_1.00_224`; None for other names."""
    plain = re.sub(r"[^a-z0-9]", "", model_name.lower())
    found = [(len(stem), mode) for mode, stems in _STEMS.items() for stem in stems if plain.startswith(stem)]
    return max(found)[1] if found else None


def preprocessing(mode: str | None, size_px: tuple[int, int], channels: int) -> Preprocessing:
    """mode: one of `MODES`, or None for pixels in 0-1. Grey images have a mean and deviation only where one serves all."""
    if channels == 1:
        convention = {"range": MODES[mode]["range"]} if mode in ("raw", "tf") else {}
        return Preprocessing(size_px=size_px, channels="grey", **convention)
    return Preprocessing(size_px=size_px, **MODES.get(mode or "", {}))
