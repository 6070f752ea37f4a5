"""Keras models: `.keras` and `.h5` files, and the CNNs of `keras.applications`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from generator.config.sources import KerasSource
from generator.errors import ConfigError, Problem
from generator.records import Preprocessing, WeightsInfo
from generator.sources import keras_applications as applications
from generator.sources import keras_config
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.extras import require
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.keras_files import SavedModel, check_weights_file, read_saved_model
from generator.zoo.imagenet import imagenet_labels

_NUM_IMAGENET = 1000
_WITHOUT_FILE = ("imagenet", "random")
#: What Keras calls a model that nobody named.
_AUTOMATIC = re.compile(r"((functional|sequential|model)(_\d+)?)?")


def describe(source: KerasSource, base: Path) -> SourceFacts:
    require("keras", source.model)
    name = applications.application_name(source.model)
    return _describe_file(source, base) if name is None else _describe_application(source, name, base)


def load(source: KerasSource, base: Path) -> LoadedModel:
    require("keras", source.model)
    name = applications.application_name(source.model)
    return _load_file(source, base) if name is None else _load_application(source, name, base)


def _load_application(source: KerasSource, name: str, base: Path) -> LoadedModel:
    facts = _describe_application(source, name, base)
    from generator.sources import keras_models

    weights = facts.weights_path or source.weights or "imagenet"
    model, values = keras_models.application(name, weights, facts.input_shape)
    path = facts.weights_path or Path(source.model)
    return _explained(source, facts.input_shape, *keras_models.pure(model, values, path))


def _load_file(source: KerasSource, base: Path) -> LoadedModel:
    path, saved, shape = _checked(source, base)
    from generator.sources import keras_models

    config = keras_config.modernise(saved.config)
    channels_first = keras_config.is_channels_first(config)
    named_input = keras_config.named_input(config)  # before Keras takes the config apart
    own_shape = (shape[2], *shape[:2]) if channels_first else shape
    model, values = keras_models.from_config(config, path, own_shape)
    made = keras_models.pure(model, values, path, channels_first=channels_first, named_input=named_input)
    return _explained(source, shape, *made)


def _explained(source: KerasSource, shape: tuple[int, int, int], apply: Callable[[Any, Any], Any], params: Any) -> LoadedModel:
    def problem(_: BaseException, rule: str) -> Problem:
        return Problem(source.model, rule, "check `input_shape` or `preprocessing.size_px`")

    return LoadedModel(explained(apply, problem), params, shape)


def _describe_application(source: KerasSource, name: str, base: Path) -> SourceFacts:
    known = applications.APPLICATIONS[name.lower()]
    place, weights = f"keras.applications.{name}", source.weights or "imagenet"
    default = (known.size_px, known.size_px, 3)
    shape = source.input_shape or default
    if shape[2] != 3 or (weights == "imagenet" and shape != default):
        rule = f"input_shape {list(shape)} does not suit its weights {weights!r}"
        raise ConfigError(Problem(place, rule, f"leave `input_shape` out, or write {list(default)}"))
    version = metadata.version("keras")
    path = None
    if weights in _WITHOUT_FILE:
        info = WeightsInfo(
            file=f"{name} ({weights})",
            format="keras.applications",
            digest=hashlib.sha256(f"keras {version} {name} {weights} {shape}".encode()).hexdigest(),
            num_bytes=0,
            licence=NOT_STATED,
            provenance="trained on ImageNet, from Keras" if weights == "imagenet" else "random, untrained",
        )
    else:
        path = base / Path(weights).expanduser()
        check_weights_file(path)
        info = weights_info(path, ".weights.h5", NOT_STATED, f"local file {path.name}")
    return SourceFacts(
        title=name,
        description="",
        input_shape=shape,
        preprocessing=_with_crop(applications.preprocessing(known.mode, shape[:2], 3)),
        labels=imagenet_labels(),
        weights=info,
        weights_path=path,
        code_paths=(),
        facts=[("Architecture", f"{place} of Keras {version}")],
        libraries=("keras",),
    )


def _with_crop(preprocessing: Preprocessing) -> Preprocessing:
    """Photographs for ImageNet's networks are cut as those who measured them did."""
    return preprocessing.model_copy(update={"crop_fraction": 0.875})


def _checked(source: KerasSource, base: Path) -> tuple[Path, SavedModel, tuple[int, int, int]]:
    """The file's path, its config, and the shape of one image, once all of it was looked at."""
    path = base / Path(source.model).expanduser()
    if source.weights is not None:
        raise ConfigError(Problem(str(path), "`weights` is for keras.applications; this file has its own", "leave it out"))
    saved = read_saved_model(path)
    keras_config.check_config(saved.config, path)
    channels_first = keras_config.is_channels_first(saved.config)
    return path, saved, _input_shape(source, keras_config.input_shapes(saved.config), channels_first, path)


def _describe_file(source: KerasSource, base: Path) -> SourceFacts:
    path, saved, shape = _checked(source, base)
    names, num_classes = keras_config.names(saved.config), keras_config.num_classes(saved.config)
    labels = imagenet_labels() if num_classes == _NUM_IMAGENET else None
    preprocessing, guesses = _guessed(saved, shape, names)
    if labels is not None:
        guesses.append("classes named after ImageNet's, as there are 1,000 of them")
    version = f"Keras {saved.keras_version}" if saved.keras_version else "Keras, version not stated"
    return SourceFacts(
        title=path.stem if _AUTOMATIC.fullmatch(names[0]) else names[0],
        description="",
        input_shape=shape,
        preprocessing=preprocessing,
        labels=labels,
        weights=weights_info(path, f"{saved.kind} ({version})", NOT_STATED, f"local file {path.name}"),
        weights_path=path,
        code_paths=(),
        facts=[("Saved by", version)],
        libraries=("keras",),
        guesses=tuple(guesses),
    )


def _guessed(saved: SavedModel, shape: tuple[int, int, int], names: list[str]) -> tuple[Preprocessing, list[str]]:
    mode, known = None, None
    if keras_config.rescales(saved.config):
        mode, why = "raw", "as it begins with a layer that does so"
    else:
        known = next((name for name in names if applications.mode_of(name)), None)
        mode = applications.mode_of(known) if known else None
        why = f"as the model is called {known!r}" if known else "as the file does not say"
    if mode in ("caffe", "torch") and shape[2] == 1:
        mode, why = None, "as the file does not say"
    text = applications.MODE_TEXTS[mode] if mode else "pixels in 0-1"
    return applications.preprocessing(mode, shape[:2], shape[2]), [f"{text}, {why}"]


def _input_shape(
    source: KerasSource, stated: dict[str, list[Any] | None], channels_first: bool, path: Path
) -> tuple[int, int, int]:
    """`(h, w, c)` of one image, by the file and the source together. Raises `ConfigError` where that is none."""
    if len(stated) != 1:
        listed = ", ".join(stated) or "none"
        rule = f"it has {len(stated)} inputs ({listed}), but a CNN for images has one"
        raise ConfigError(Problem(str(path), rule, "save a model whose only input is the image"))
    ((name, shape),) = stated.items()
    given = source.input_shape
    if shape is None and given is not None:
        shape = [None, None, None]
    if shape is None:
        raise ConfigError(Problem(str(path), "the file does not say the shape of its images", "give `input_shape: [h, w, c]`"))
    if len(shape) != 3 or not all(size is None or (isinstance(size, int) and size > 0) for size in shape):
        rule = f"its input {name!r} has the shape {shape}, which is not that of an image"
        raise ConfigError(Problem(str(path), rule, "an image is (height, width, channels)"))
    own = [*shape[1:], shape[0]] if channels_first else shape
    sizes = [size if size is not None else wanted for size, wanted in zip(own, given or (None, None, None), strict=True)]
    if None in sizes:
        rule = f"its input {name!r} leaves the size of images open: {tuple(own)}"
        raise ConfigError(Problem(str(path), rule, "give `input_shape: [h, w, c]`"))
    if given is not None and tuple(sizes) != tuple(given):
        rule = f"input_shape is {list(given)}, but the file says {sizes}"
        raise ConfigError(Problem(str(path), rule, "leave `input_shape` out"))
    if max(sizes[:2]) > 4096 or sizes[2] not in (1, 3):
        rule = f"its input {name!r} is {' x '.join(map(str, sizes))}"
        raise ConfigError(Problem(str(path), rule, "images have 1 (grey) or 3 (colour) channels and at most 4,096 px a side"))
    return (sizes[0], sizes[1], sizes[2])
