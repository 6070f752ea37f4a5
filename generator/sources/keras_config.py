"""A Keras model's config, read and made ready without Keras: what it would run, what its images are, what older versions wrote.

A config is a tree of dictionaries with a `class_name` and a `config`. Keras 3 adds the `module` of each class; what Keras 2
wrote into `.h5` files has none. Nothing of a config is run here; what Keras would import, load or execute is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generator.errors import NetworkError, Problem

_ONNX = "export it to ONNX and use `kind: onnx`"
_LAMBDA = f"replace it by a layer of Keras's own (Rescaling, Activation, ...) and save again, or {_ONNX}"
#: Layers that would run somebody's code, or read other files.
_CODE = {
    "Lambda": ("holds Python code, which is not run", _LAMBDA),
    "__lambda__": ("holds Python code, which is not run", _LAMBDA),
    "TFSMLayer": ("loads a TensorFlow SavedModel, whose code is not run", _ONNX),
    "TorchModuleWrapper": ("holds a pickled PyTorch module, which is not unpickled", f"use `kind: torch`, or {_ONNX}"),
    "JaxLayer": ("holds Python code, which is not run", "use `kind: function` with the same code"),
    "FlaxLayer": ("holds Python code, which is not run", "use `kind: flax` with the same module"),
    "TFOpLambda": ("is a bare TensorFlow function, which Keras 3 does not know", f"use a layer of Keras's own, or {_ONNX}"),
    "SlicingOpLambda": (
        "is a bare TensorFlow function, which Keras 3 does not know",
        f"use a layer of Keras's own, or {_ONNX}",
    ),
    "TextVectorization": ("is for text", "a CNN for images is needed"),
    "StringLookup": ("is for text", "a CNN for images is needed"),
    "IntegerLookup": ("is for tables", "a CNN for images is needed"),
    "QuantizedDTypePolicy": ("is a quantised layer", f"save the model as it was before `quantize`, or {_ONNX}"),
    "QuantizedFloat8DTypePolicy": ("is a quantised layer", f"save the model as it was before `quantize`, or {_ONNX}"),
}
#: Values that Keras writes as if they were objects.
_PLAIN = {"__keras_tensor__", "__numpy__", "__tensor__", "__bytes__", "__ellipsis__", "__slice__"}
_ROOMS = "models|layers|ops|initializers|regularizers|constraints|activations|dtype_policies|random"
_MODULE = re.compile(rf"builtins|keras|keras(\.src)?\.({_ROOMS})(\.[a-z0-9_]+)*|keras\.src\.applications\.[a-z0-9_]+")
#: Where Keras 2 had the classes of models.
_OLD_MODULE = re.compile(r"keras(\.src)?\.engine\.(functional|sequential|training)")
#: Layers that only `keras.applications` defines, by their modules there; what has no `module` is looked up here.
APPLICATION_LAYERS = {
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
}
#: What begins a model without changing what its pixels mean.
_TRANSPARENT = re.compile(r"InputLayer|Random\w*|ZeroPadding2D|Resizing|CenterCrop|Dropout|Activation")
#: For which Keras 2 wrote `groups`, which Keras 3 refuses.
_UNGROUPED = {"DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"}
#: Optimizer, loss and metrics, often somebody's own; never read.
_TRAINING = "compile_config"
_MAX_LAYERS = 20_000
_MAX_NAMED = 12
_REDUCED = re.compile(r"(mixed_)?b?float(16|64)")


def check_config(config: Any, path: Path) -> None:
    """Raises `NetworkError` for everything in a config that is not a class of Keras's own, or that would run code."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list) or "class_name" not in config:
        raise NetworkError(Problem(str(path), "its config is not that of a Keras model", "save it again with Keras"))
    found = {}
    for number, section in enumerate(_objects(config)):
        problem = _problem(section)
        if problem and len(found) < _MAX_NAMED:
            found.setdefault(problem, Problem(str(path), *problem))
        if number > _MAX_LAYERS * 10:
            raise NetworkError(Problem(str(path), f"its config has more than {_MAX_LAYERS:,} layers", ""))
    if found:
        raise NetworkError(found.values())


def _problem(section: dict[str, Any]) -> tuple[str, str] | None:
    kind, module, inner = section["class_name"], section.get("module"), section.get("config")
    name = inner.get("name") if isinstance(inner, dict) else inner if isinstance(inner, str) else None
    called = f"{kind!r} ({name})" if name else f"{kind!r}"
    if not isinstance(kind, str):
        return f"a class is named {kind!r}", "save the model again with Keras"
    if kind in _CODE:
        what, way_out = _CODE[kind]
        return f"{called} {what}", way_out
    if kind in _PLAIN or module is None:
        custom = kind not in _PLAIN and (">" in kind or (kind.startswith("__") and "module" not in section))
        return (f"{called} is a class of somebody's own, whose code is not in the file", _ONNX) if custom else None
    if not isinstance(module, str) or not (_MODULE.fullmatch(module) or _OLD_MODULE.fullmatch(module)):
        return f"{called} of {module} is a class of somebody's own, whose code is not in the file", _ONNX
    return None


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary with a `class_name`, in the order they are written, however deep; none of what `modernise` drops."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            stack.extend(reversed([item for key, item in value.items() if key != _TRAINING]))
        elif isinstance(value, list):
            stack.extend(reversed(value))


def layer_configs(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of a model's config, in order; Keras 2.0 wrote a Sequential model as a bare list."""
    inner = model.get("config")
    layers = inner if isinstance(inner, list) else inner.get("layers", []) if isinstance(inner, dict) else []
    return [layer for layer in layers if isinstance(layer, dict)]


def _settings(layer: dict[str, Any]) -> dict[str, Any]:
    inner = layer.get("config")
    return inner if isinstance(inner, dict) else {}


def all_layers(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a model and of those nested in it, without the models themselves."""
    stack = [model]
    while stack:
        layer = stack.pop()
        inner = layer_configs(layer)
        if inner or layer is model:
            stack.extend(reversed(inner))
        else:
            yield layer


def input_shapes(model: dict[str, Any]) -> dict[str, list[Any] | None]:
    """The shape of each input without its batch axis, by name; None where the config does not say."""
    layers = layer_configs(model)
    settings = _settings(model)
    if "input_layers" in settings:
        by_name = {str(layer.get("name", _settings(layer).get("name"))): layer for layer in layers}
        names = list(dict.fromkeys(_references(settings["input_layers"])))
        return {name: _shape(by_name[name]) if name in by_name else None for name in names}
    first = layers[0] if layers else {}
    if layer_configs(first):
        return input_shapes(first)
    stated = _shape(first) or _without_batch(settings.get("build_input_shape")) or _built(model)
    return {str(_settings(first).get("name", "input")): stated}


def _references(value: Any) -> Iterator[str]:
    """Names in `["a", 0, 0]`, in a list or a dictionary of those."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and not isinstance(value[1], str | list):
            yield value[0]
        else:
            for item in value:
                yield from _references(item)


def _shape(layer: dict[str, Any]) -> list[Any] | None:
    settings = _settings(layer)
    return _without_batch(settings.get("batch_shape", settings.get("batch_input_shape")))


def _built(model: dict[str, Any]) -> list[Any] | None:
    build = model.get("build_config")
    return _without_batch(build.get("input_shape")) if isinstance(build, dict) else None


def _without_batch(shape: Any) -> list[Any] | None:
    return shape[1:] if isinstance(shape, list) and len(shape) > 1 else None


def named_input(model: dict[str, Any]) -> str | None:
    """The key under which a model wants its images, if its inputs are a dictionary."""
    stated = _settings(model).get("input_layers")
    return next(iter(stated), None) if isinstance(stated, dict) else None


def is_channels_first(model: dict[str, Any]) -> bool:
    """Whether the first layer that knows of axes wants `(c, h, w)`."""
    formats = (_settings(layer).get("data_format") for layer in all_layers(model))
    return next((value for value in formats if value is not None), None) == "channels_first"


def rescales(model: dict[str, Any]) -> bool:
    """Whether the model itself begins by scaling its pixels."""
    kinds = (str(layer.get("class_name")) for layer in all_layers(model))
    return next((kind for kind in kinds if not _TRANSPARENT.fullmatch(kind)), None) in ("Rescaling", "Normalization")


def names(model: dict[str, Any]) -> list[str]:
    """Names of the model and of the models nested in it, outermost first."""
    found, stack = [], [model]
    while stack:
        section = stack.pop()
        found.append(str(_settings(section).get("name", "")))
        stack.extend(layer for layer in reversed(layer_configs(section)) if layer_configs(layer))
    return found


def num_classes(model: dict[str, Any]) -> int | None:
    """Units of the last layer that has any."""
    sizes = [
        size
        for layer in all_layers(model)
        for size in (_settings(layer).get("units", _settings(layer).get("filters")),)
        if isinstance(size, int) and not isinstance(size, bool)
    ]
    return sizes[-1] if sizes else None


def modernise(model: dict[str, Any]) -> dict[str, Any]:
    """The config, changed in place into one that Keras 3 takes and that computes in float32 on any batch.

    Keras 2 wrote some arguments that Keras 3 refuses (a depthwise layer's `groups`, a shape at the first layer) and allowed
    slashes in names. What concerns training alone goes. Half precision was for speed: weights are float32 either way.
    """
    slashed = {
        str(name) for layer in _objects(model) for name in (layer.get("name"), _settings(layer).get("name")) if "/" in str(name)
    }
    stack: list[Any] = [model]
    while stack:
        value = stack.pop()
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in list(items):
            if isinstance(item, dict | list):
                stack.append(item)
            elif isinstance(item, str) and item in slashed:
                value[key] = item.replace("/", "_")
        if isinstance(value, dict):
            value.pop(_TRAINING, None)
            _in_float32(value)
            if "class_name" in value:
                _modernise_layer(value)
    return model


def _in_float32(section: dict[str, Any]) -> None:
    dtype = section.get("dtype")
    name = _settings(dtype).get("name") if isinstance(dtype, dict) else dtype
    if isinstance(name, str) and _REDUCED.fullmatch(name):
        section["dtype"] = "float32"


def _modernise_layer(layer: dict[str, Any]) -> None:
    kind, inner = layer["class_name"], layer.get("config")
    if _OLD_MODULE.fullmatch(str(layer.get("module"))):
        layer["module"] = "keras.src.models.functional" if kind == "Functional" else "keras"
    if isinstance(inner, list) and kind == "Sequential":
        inner = layer["config"] = {"name": "sequential", "layers": inner}
    if not isinstance(inner, dict):
        return
    if kind == "InputLayer":
        shape = inner.pop("batch_input_shape", None) or inner.get("batch_shape")
        if isinstance(shape, list) and shape:
            inner["batch_shape"] = [None, *shape[1:]]
        inner["dtype"] = "float32"
    elif kind == "Sequential":
        _begin_with_input(inner)
    elif kind in _UNGROUPED and inner.get("groups") == 1:
        del inner["groups"]


def _begin_with_input(sequential: dict[str, Any]) -> None:
    layers = sequential.get("layers")
    if not isinstance(layers, list) or not layers or not isinstance(layers[0], dict):
        return
    settings = _settings(layers[0])
    shape = settings.pop("batch_input_shape", None)
    if shape and layers[0].get("class_name") != "InputLayer" and not layer_configs(layers[0]):
        given = {"batch_shape": [None, *shape[1:]], "dtype": "float32", "name": f"{settings.get('name', 'sequential')}_input"}
        layers.insert(0, {"class_name": "InputLayer", "config": given})
    for layer in layers[1:]:
        if isinstance(layer, dict) and layer.get("class_name") != "InputLayer" and not layer_configs(layer):
            _settings(layer).pop("batch_input_shape", None)
