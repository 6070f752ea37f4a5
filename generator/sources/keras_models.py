"""A Keras model as a pure function, on Keras 3's JAX backend.

A model is built inside a `StatelessScope`, where its variables have shapes but no values; only what the weights file really
holds is ever allocated. Layers are named from the outside in (`base/conv1`), as Keras's own paths leave nested models out.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from generator.errors import ConfigError, NetworkError, Problem, WeightsError
from generator.sources import keras_config
from generator.sources.extras import require
from generator.sources.python_files import described
from generator.sources.weights import check_finite

_ONNX = "a model that Keras 3 cannot rebuild may still come in through ONNX (`kind: onnx`)"
#: Values that one layer may give for one image: 1 GiB of float32.
_MAX_VALUES = 2**28
_MAX_NAMED = 12


def framework() -> ModuleType:
    """Keras on JAX, with the settings that its files and papers assume. Raises `ConfigError` if it runs on something else."""
    require("keras", "kind: keras")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"
    import keras

    if keras.backend.backend() != "jax":
        rule = f"Keras was already imported with the backend {keras.backend.backend()!r}; CNNscope computes with JAX"
        raise ConfigError(
            Problem("kind: keras", rule, "set the environment variable KERAS_BACKEND=jax before Keras is imported")
        )
    # ~/.keras/keras.json may say otherwise, and automatic names go on counting from model to model.
    keras.utils.clear_session(free_memory=False)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    return keras


def from_config(config: dict[str, Any], path: Path, shape: tuple[int, ...]) -> tuple[Any, dict[int, Any]]:
    """The model of a checked, modernised config, and the values of its variables by `id`, read from `path`.

    shape: of one image, in the model's own order of axes; used where the config leaves it open.
    """
    keras = framework()
    _check_classes(keras, config, path)
    with _valueless(keras) as scope:
        model = _built(keras, config, path, shape)
        _check_sizes(keras, model, path)
        _read_weights(model, path)
    return model, _known(model, scope, path)


def application(name: str, weights: str | Path, shape: tuple[int, int, int]) -> tuple[Any, dict[int, Any]]:
    """A model of `keras.applications`, and its variables' values by `id`. weights: `imagenet`, `random` or a file."""
    keras = framework()
    place = f"keras.applications.{name}"
    build = functools.partial(getattr(keras.applications, name), input_shape=shape)
    if weights == "random":
        with _same_random_numbers():
            model = build(weights=None)
        return model, {id(variable): variable.value for variable in model.variables}
    with _valueless(keras) as scope:
        try:
            model = build(weights="imagenet" if weights == "imagenet" else None)
        except Exception as error:
            rule = f"Keras cannot make it with the weights {str(weights)!r}: {described(error)}"
            way_out = "`weights: imagenet` needs the network once; else name a local `.weights.h5` file, or `weights: random`"
            raise NetworkError(Problem(place, rule, way_out if weights == "imagenet" else "check `input_shape`")) from error
        if isinstance(weights, Path):
            _read_weights(model, weights)
    return model, _known(model, scope, weights if isinstance(weights, Path) else Path(place))


@contextmanager
def _valueless(keras: ModuleType) -> Iterator[Any]:
    """A scope in which variables get no values, and what is assigned to them stays in the scope."""
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        keras.utils.clear_session(free_memory=False)  # else Keras would make up for it at the end of the next scope


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Initialisers draw their seeds from Python's generator: the same ones every time, and nobody else notices."""
    before = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(before)


def _check_classes(keras: ModuleType, config: dict[str, Any], path: Path) -> None:
    known = {*dir(keras.layers), *dir(keras.models), *keras_config.APPLICATION_LAYERS, "Functional"}
    layers = [layer for layer in keras_config.all_layers(config) if layer is not config]
    kinds = (layer.get("class_name") for layer in layers if not str(layer.get("module", "")).startswith("keras.src."))
    unknown = [kind for kind in dict.fromkeys(map(str, kinds)) if kind not in known]
    if unknown:
        rule = "{!r} is no layer of Keras's own: its code is not in the file"
        raise NetworkError(Problem(str(path), rule.format(kind), _ONNX) for kind in unknown[:_MAX_NAMED])


def _application_layers() -> dict[str, Any]:
    modules = keras_config.APPLICATION_LAYERS.items()
    return {name: getattr(importlib.import_module(module), name) for name, module in modules}


def _built(keras: ModuleType, config: dict[str, Any], path: Path, shape: tuple[int, ...]) -> Any:
    try:
        if "module" in config:
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        else:
            kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
            model = kind.from_config(config["config"], custom_objects=_application_layers())
        if not isinstance(model, keras.Model):
            raise TypeError(f"a {type(model).__name__} is no model")
        if not model.built:
            model.build((None, *shape))
    except Exception as error:
        raise NetworkError(Problem(str(path), f"Keras cannot rebuild this model: {described(error)}", _ONNX)) from error
    return model


def _check_sizes(keras: ModuleType, model: Any, path: Path) -> None:
    for name, layer in leaves(keras, model):
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):  # a layer that is called more than once has no one output
            continue
        size = max((math.prod(axis for axis in one.shape[1:] if axis) for one in outputs), default=0)
        if size > _MAX_VALUES:
            rule = f"layer {name!r} gives {size:,} values for one image, more than {_MAX_VALUES:,}"
            raise NetworkError(Problem(str(path), rule, "give smaller images, or check the model"))


def _read_weights(model: Any, path: Path) -> None:
    try:
        model.load_weights(str(path))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        rule = "its weights do not fit the model: " + " ".join(lines)[:400]
        raise WeightsError(
            Problem(str(path), rule, "save model and weights together, with the same version of Keras")
        ) from error


def _known(model: Any, scope: Any, path: Path) -> dict[int, Any]:
    """What was read, and of variables that are no weights (states of random generators) what they begin with."""
    values = {id(variable): scope.get_current_value(variable) for variable in model.variables}
    missing = [variable.path for variable in model.weights if values[id(variable)] is None]
    if missing:
        more = f", ... {len(missing)} in all" if len(missing) > _MAX_NAMED else ""
        rule = f"it holds no values for {', '.join(missing[:_MAX_NAMED])}{more}"
        raise WeightsError(Problem(str(path), rule, "save the model again, after it was built"))
    return {id(v): v.value if values[id(v)] is None else values[id(v)] for v in model.variables}


def leaves(keras: ModuleType, model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer and operation of a model that is no model itself, with its name from the outside in, each once."""
    seen: set[int] = set()
    stack = [(prefix, model)]
    while stack:
        outer, section = stack.pop()
        inner = section.layers if isinstance(section, keras.Sequential) else getattr(section, "operations", section.layers)
        found = []
        for layer in inner:
            name = f"{outer}{layer.name}"
            if isinstance(layer, keras.Model):
                found.append((f"{name}/", layer))
            elif id(layer) not in seen and not isinstance(layer, keras.layers.InputLayer):
                seen.add(id(layer))
                yield name, layer
        stack.extend(reversed(found))


def pure(
    model: Any, values: dict[int, Any], path: Path, *, channels_first: bool = False, named_input: str | None = None
) -> tuple[Callable, Any]:
    """`(apply, params)` of a model, whose layers from now on compute under the names they have here.

    values: of all its variables, by `id`. named_input: the key under which the model wants its images, if it does.
    """
    import jax
    import jax.numpy as jnp
    import keras

    paths = _paths(keras, model)
    params: dict[str, Any] = {}
    for variable in model.variables:
        value = values[id(variable)]
        if jnp.issubdtype(value.dtype, jnp.floating):
            _put(params, paths[id(variable)], jnp.asarray(value, jnp.float32))
    check_finite({paths[id(v)]: np.asarray(values[id(v)]) for v in model.variables}, path)
    for name, layer in leaves(keras, model):
        layer.call = _within(jax.named_scope, f"layer:{name}", layer.call)
    trainable, rest = model.trainable_variables, model.non_trainable_variables

    def apply(params: Any, images: Any) -> Any:
        def value(variable: Any) -> Any:
            found = params
            for part in paths[id(variable)].split("/"):
                found = found.get(part) if isinstance(found, dict) else None
            return values[id(variable)] if found is None else found

        ordered = jnp.transpose(images, (0, 3, 1, 2)) if channels_first else images
        inputs = {named_input: ordered} if named_input else ordered
        outputs, _ = model.stateless_call([value(v) for v in trainable], [value(v) for v in rest], inputs, training=False)
        found = list(outputs.values()) if isinstance(outputs, dict) else keras.tree.flatten(outputs)
        return found[0] if len(found) == 1 else found

    return apply, params


def _within(scope: Callable[[str], Any], name: str, call: Callable) -> Callable:
    @functools.wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        with scope(name):
            return call(*args, **kwargs)

    return run


def _paths(keras: ModuleType, model: Any) -> dict[int, str]:
    """A unique path for every variable: its layer's name, then what Keras calls it inside that layer."""
    found: dict[int, str] = {}
    taken: set[str] = set()
    for layer_name, layer in [*leaves(keras, model), ("", model)]:
        for variable in getattr(layer, "variables", ()):
            if id(variable) in found:
                continue
            _, _, inside = f"/{variable.path}".rpartition(f"/{layer.name}/")
            path = f"{layer_name}/{inside or variable.name}".lstrip("/")
            while path in taken:
                path += "_"
            taken.add(path)
            found[id(variable)] = path
    return found


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split("/")
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[leaf] = value
