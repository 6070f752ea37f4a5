"""The images of a configuration's datasets, prepared as its model wants them: the same way to train as later to look."""

from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from generator.config.schema import Config, ModelConfig
from generator.probes import prepare
from generator.probes.datasets import open_dataset
from generator.records import Preprocessing


def read_config(path: Path) -> Config:
    """The configuration, without asking for the files that it names: the weights are yet to be made."""
    try:
        return Config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise SystemExit(f"{path}: {error}") from None


def read_dataset(config: Config, name: str, base: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 `(n, h, w, c)` of the dataset `name`, and their classes int32 `(n,)`: places in the model's `labels`."""
    model, entries = config.models[0], {entry.name: entry for entry in config.datasets}
    if name not in entries or model.labels is None:
        raise SystemExit(f"the configuration needs a dataset named {name!r}, and the model's `labels`")
    dataset = open_dataset(entries[name], base, probes={})
    classes = class_names(model, base)
    if not set(dataset.info.labels or ("none",)) <= set(classes):
        found, wanted = ", ".join(dataset.info.labels or ("none",)), ", ".join(classes)
        raise SystemExit(f"dataset {name!r} has the classes {found}, but the model's `labels` are {wanted}")
    how = preprocessing(model)
    images = np.stack([prepare(dataset.read(index), how).input for index in range(len(dataset))])
    labels = [classes.index(dataset.info.labels[dataset.label(index)]) for index in range(len(dataset))]
    return images, np.array(labels, np.int32)


def class_names(model: ModelConfig, base: Path) -> list[str]:
    """The model's `labels`, which may be a file with one a line."""
    return (base / model.labels).read_text().splitlines() if isinstance(model.labels, str) else list(model.labels)


def preprocessing(model: ModelConfig) -> Preprocessing:
    height, width, channels = model.source.input_shape
    plain = Preprocessing(size_px=(height, width), channels="grey" if channels == 1 else "rgb")
    return model.preprocessing.over(plain)
