"""Small Keras models in files, and the same files with something else in them."""

from __future__ import annotations

import json
import os
import zipfile

import h5py

from generator.config.sources import KerasSource
from generator.sources import describe, load

os.environ["KERAS_BACKEND"] = "jax"
import keras


def saved(path, *inner, shape=(8, 8, 3), name="net"):
    keras.utils.clear_session(free_memory=False)
    model = keras.Sequential([keras.Input(shape), *inner], name=name)
    model.save(path)
    return path


def facts_of(path, **more):
    return describe(KerasSource(kind="keras", model=path.name, **more), path.parent)


def loaded(path, **more):
    return load(KerasSource(kind="keras", model=path.name, **more), path.parent)


def config_of(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def with_config(path, config, target):
    """A copy of the file at `path` with another config, as text or as what its JSON is made of."""
    text = config if isinstance(config, str) else json.dumps(config)
    if path.suffix == ".h5":
        target.write_bytes(path.read_bytes())
        with h5py.File(target, "a") as file:
            file.attrs["model_config"] = text
        return target
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w") as copy:
        for entry in archive.namelist():
            copy.writestr(entry, text if entry == "config.json" else archive.read(entry))
    return target


def conv_of(config):
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv2D")
