"""Every CNN of Keras Applications against Keras itself: all convolutions found, every layer's values the same.

One architecture is one piece of work. A model gets weights that neither vanish nor explode and normalisation statistics that
are not trivial, so that folding is really tested; it is saved as `.keras` and comes in through the `keras` source. Keras's own
values are those of a model whose outputs are all its layers', before any of our code touched it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from generator.config.sources import KerasSource
from generator.sources import load
from generator.sources.keras_applications import APPLICATIONS

DEPENDS_ON = ("network/*.py", "sources/keras_*.py")

#: Side of the images; the default of 224-600 px tests nothing more. 75 px is the least that Inception takes.
SIZE_PX = 96
BATCH = 2
TOLERANCE = 1e-4
CONVOLUTIONS = {"Conv2D": 1, "DepthwiseConv2D": 1, "SeparableConv2D": 2, "Conv2DTranspose": 1}
#: Compiling takes most of the time, and code that runs once need not be fast.
QUICKLY = {"xla_backend_optimization_level": 0}


def cases() -> list[str]:
    """The names of all architectures, as `keras.applications` writes them."""
    return [application.name for application in APPLICATIONS.values()]


def run(name: str) -> dict[str, Any]:
    """Compares one architecture. `error` is the worst over all layers of max |ours - Keras's| / max |Keras's|.

    num_activations, num_pre_activations: layers whose value is one of ours, and was compared as the folded network gives it;
    num_inside: the others (padding, dropout, a convolution before its normalisation), compared inside the traced program.
    """
    start = time.monotonic()
    images = np.random.default_rng(1).uniform(-1, 1, (BATCH, SIZE_PX, SIZE_PX, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.keras"
        model = _model(name)
        model.save(path)
        expected, sources = values_of_keras(model, images)
        convolutions = _convolutions(model)
        del model
        loaded = load(KerasSource(kind="keras", model=path.name), Path(folder))
    result = _compared(loaded, images, expected, convolutions, sources)
    return {**_judged(result), **result, "seconds": round(time.monotonic() - start, 1)}


def _judged(result: dict[str, Any]) -> dict[str, Any]:
    wrong = []
    if result["num_found"] < result["num_convolutions"] or result["num_spurious"]:
        wrong.append(f"{result['num_found']} convolutions found and {result['num_spurious']} that are none")
    if result["num_above"]:
        wrong.append(f"{result['num_above']} layers beyond {TOLERANCE:g}, the worst {result['worst_layer']}")
    return {"ok": not wrong, "failure": "; ".join(wrong)}


def _model(name: str) -> Any:
    """The architecture with weights of our own. Built without values, as Keras's initialisers take most of a minute."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    keras.utils.clear_session(free_memory=False)
    random = np.random.default_rng(0)
    with keras.StatelessScope(initialize_variables=False):
        model = getattr(keras.applications, name)(weights=None, input_shape=(SIZE_PX, SIZE_PX, 3))
    keras.utils.clear_session(free_memory=False)  # which forgets that there are variables to initialise
    for layer in model._flatten_layers(include_self=False):
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            variable.assign(_drawn(variable, layer, random))
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model


def _drawn(variable: Any, layer: Any, random: np.random.Generator) -> np.ndarray:
    shape = tuple(variable.shape)
    if not np.issubdtype(np.dtype(variable.dtype), np.floating):
        return np.zeros(shape, variable.dtype)
    match variable.name:
        case "gamma" | "scale":
            return random.uniform(0.5, 1.0, shape)
        case "moving_variance" | "variance":
            return random.uniform(0.5, 1.5, shape)
        case "beta" | "bias" | "moving_mean" | "mean":
            return random.normal(0, 0.3, shape)
        case "depthwise_kernel":
            fan_in = shape[0] * shape[1]
        case "kernel" if type(layer).__name__ == "DepthwiseConv2D":
            fan_in = shape[0] * shape[1]
        case _:
            fan_in = math.prod(shape[:-1])
    # A factor of 2 for rectifiers would drive EfficientNetV2L's gates apart: Keras's own values would then change by a tenth
    # where its images change by one part in ten million.
    return random.normal(0, math.sqrt(1 / max(1, fan_in)), shape)


def values_of_keras(
    model: Any, inputs: np.ndarray, before: str | None = None, prefix: str = ""
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Every layer's output, and the names of the layers that each one reads; of nested models too, which are used once.

    before: the name of what a nested model reads. prefix: of its layers' names.
    """
    import jax
    import keras

    inner = model.layers if isinstance(model, keras.Sequential) else model.operations  # an operation may be a plain `x + y`
    nodes = {layer: layer._inbound_nodes[0] for layer in inner if not isinstance(layer, keras.layers.InputLayer)}
    outputs = keras.Model(model.inputs, [node.output_tensors[0] for node in nodes.values()])

    def call(trainable: list[Any], rest: list[Any], inputs: Any) -> list[Any]:
        return outputs.stateless_call(trainable, rest, [inputs], training=False)[0]

    values = [
        [variable.value for variable in group] for group in (outputs.trainable_variables, outputs.non_trainable_variables)
    ]
    found = [np.asarray(value) for value in jax.jit(call, compiler_options=QUICKLY)(*values, inputs)]
    own = {layer.name: value for layer, value in zip(nodes, found, strict=True)}
    expected: dict[str, np.ndarray] = {}
    sources: dict[str, list[str]] = {}
    for layer, node in nodes.items():
        name, read = prefix + layer.name, [tensor._keras_history.operation for tensor in node.input_tensors]
        names = [before if isinstance(one, keras.layers.InputLayer) else prefix + one.name for one in read]
        sources[name] = [one for one in names if one]
        if isinstance(layer, keras.Model):
            given = inputs if isinstance(read[0], keras.layers.InputLayer) else own[read[0].name]
            values_inside, sources_inside = values_of_keras(layer, given, names[0], f"{name}/")
            expected |= values_inside
            sources |= sources_inside
            sources[name] = [f"{name}/{layer.layers[-1].name}"]
        else:
            expected[name] = own[layer.name]
    return expected, sources


def _convolutions(model: Any, prefix: str = "") -> dict[str, int]:
    """How many kernels every convolution has, by its layer's name; those of nested models too."""
    found: dict[str, int] = {}
    for layer in model.layers:
        if hasattr(layer, "layers"):
            found |= _convolutions(layer, f"{prefix}{layer.name}/")
        elif type(layer).__name__ in CONVOLUTIONS:
            found[prefix + layer.name] = CONVOLUTIONS[type(layer).__name__]
    return found


def _compared(
    loaded: Any,
    images: np.ndarray,
    expected: dict[str, np.ndarray],
    convolutions: dict[str, int],
    sources: dict[str, list[str]],
) -> dict[str, Any]:
    from generator.network.execute import Network

    network = Network(loaded.apply, loaded.params, loaded.input_shape)
    errors, kinds = layer_errors(network, loaded, images, expected, sources)
    worst = max(errors, key=lambda name: errors[name])
    found = Counter(
        layer.name.partition("@")[0] for layer in network.graph.layers if layer.has_kernel and layer.kind != "dense"
    )
    return {
        "num_convolutions": sum(convolutions.values()),
        "num_found": sum(min(number, found[name]) for name, number in convolutions.items()),
        "num_spurious": sum((found - Counter(convolutions)).values()),
        "num_layers": len(expected),
        "num_activations": kinds["activation"],
        "num_pre_activations": kinds["pre_activation"],
        "num_inside": kinds["inside"],
        "smallest_value": min(float(np.abs(value).max()) for value in expected.values()),
        "largest_value": max(float(np.abs(value).max()) for value in expected.values()),
        "error": errors[worst],
        "worst_layer": worst,
        "num_above": sum(error > TOLERANCE for error in errors.values()),
    }


def layer_errors(
    network: Any, loaded: Any, images: np.ndarray, expected: dict[str, np.ndarray], sources: dict[str, list[str]]
) -> tuple[dict[str, float], Counter[str]]:
    """max |ours - Keras's| / max |Keras's| of every layer, and how many were an `activation`, a `pre_activation` or `inside`.

    expected: Keras's own value by the layer's name. sources: names of the layers that each one reads.
    """
    from generator.network.execute import Tap

    taps, slots, values = _places(loaded, list(expected), sources, images)
    actual = dict(zip(taps, network.tapped([Tap(*tap) for tap in taps.values()], batch=len(images))(images), strict=True))
    actual.update(values(slots))
    errors = {}
    for name, wanted in expected.items():
        ours = np.asarray(actual[name]).reshape(wanted.shape)
        error = float(np.abs(ours - wanted).max()) / (float(np.abs(wanted).max()) or 1.0)
        errors[name] = error if math.isfinite(error) else math.inf
    return errors, Counter([value for _, value in taps.values()] + ["inside"] * len(slots))


def _places(loaded: Any, layers: list[str], sources: dict[str, list[str]], images: np.ndarray) -> tuple[dict, dict, Any]:
    """Where each layer's value is in our network: a tap where it is one, else a slot of the program as it was traced.

    The last gives the values of such slots. A layer that computes nothing (dropout) has its input's value.
    """
    import jax
    import jax.numpy as jnp

    from generator.network.program import evaluate, flatten, needed
    from generator.network.trace import trace

    program = flatten(loaded.apply, loaded.params, jax.ShapeDtypeStruct(images.shape, jnp.float32))
    traced = trace(program)
    last: dict[str, int] = {}
    for equation in program.equations:
        if equation.layers and equation.outputs[0] in traced.active:
            last[equation.layers[0]] = equation.outputs[0]
    names = {node.pre: (name, "pre_activation") for name, node in traced.nodes.items()}
    names |= {node.last: (name, "activation") for name, node in traced.nodes.items()}

    def slot(layer: str) -> int:
        while layer not in last:
            if not sources.get(layer):
                return program.images
            (layer,) = sources[layer]
        return last[layer]

    taps = {layer: names[slot(layer)] for layer in layers if slot(layer) in names}
    slots = {layer: slot(layer) for layer in layers if layer not in taps}

    def values(slots: dict[str, int]) -> dict[str, Any]:
        body, _ = needed(program.equations, slots.values())
        leaves = dict(zip(program.parameters.values(), jax.tree_util.tree_leaves(loaded.params), strict=True))

        def call(leaves: dict[int, Any], images: Any) -> list[Any]:
            known = evaluate(body, {**leaves, program.images: images})
            return [known[one] for one in slots.values()]

        return dict(zip(slots, jax.jit(call, compiler_options=QUICKLY)(leaves, images), strict=True))

    return taps, slots, values


if __name__ == "__main__":
    for case in sys.argv[1:] or cases():
        print(json.dumps({"case": case, **run(case)}), flush=True)
