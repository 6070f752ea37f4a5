"""Flax modules, NNX and linen, as pure functions of a nested dictionary of parameters.

Neither is trained further here: normalisation uses its running statistics and dropout is off.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx, traverse_util

#: Arguments by which modules are told, when they are called, that this is not training.
_INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}
_CHECKPOINTED = (nnx.Param, nnx.BatchStat)


@dataclass(frozen=True)
class PureModule:
    """A module before its weights are known.

    expected: every parameter's name, joined with `/`, with `shape` and `dtype`. other_names: names that a checkpoint may
    use instead. bind: values by name to the nested params. apply: `(params, images) -> outputs`.
    """

    expected: dict[str, jax.ShapeDtypeStruct]
    other_names: dict[str, str]
    bind: Callable[[Mapping[str, np.ndarray]], Any]
    apply: Callable[[Any, jax.Array], Any]


def inference_arguments(function: Callable[..., Any]) -> dict[str, bool]:
    """Those of `train=False`, `deterministic=True` and the like that the function's signature names."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in _INFERENCE.items() if name in parameters}


def _names(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _bind(tree: Any, values: Mapping[str, np.ndarray]) -> Any:
    """`tree` with each leaf replaced by the value of its name."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jnp.asarray(values[jax.tree_util.keystr(path, simple=True, separator="/")]), tree
    )


def pure_nnx(build: Callable[[], nnx.Module]) -> PureModule:
    """The pure form of the NNX module that `build` makes; parameters and batch statistics come from the checkpoint."""
    model = nnx.eval_shape(build)
    model.eval()
    graph, state, rest = nnx.split(model, _CHECKPOINTED, ...)
    if jax.tree.leaves(rest):
        # Constants and random states are not in checkpoints; building the module in earnest gives their values. Under jit,
        # so that the random parameters, which nobody needs, are not even computed.
        rest = jax.jit(lambda: nnx.split(build(), _CHECKPOINTED, ...)[2])()
    shapes = nnx.to_pure_dict(state)
    arguments = inference_arguments(type(model).__call__)

    def apply(params: Any, images: jax.Array) -> Any:
        filled = jax.tree.map(lambda leaf: leaf, state)
        nnx.replace_by_pure_dict(filled, params)
        return nnx.merge(graph, filled, rest)(images, **arguments)

    return PureModule(_names(shapes), {}, lambda values: _bind(shapes, values), apply)


def pure_linen(module: linen.Module, input_shape: tuple[int, int, int]) -> PureModule:
    """The pure form of a linen module.

    Collections share one tree (`BatchNorm_0/scale` and `BatchNorm_0/mean` lie side by side); a name that would then occur
    twice keeps its collection in front. Checkpoints may name the collection or not.
    """
    arguments = inference_arguments(type(module).__call__)
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)

    def initial(key: jax.Array, images: jax.Array) -> Any:
        return module.init({"params": key, "dropout": key}, images, **arguments)

    variables = traverse_util.flatten_dict(jax.eval_shape(initial, jax.random.key(0), images))
    taken = {path[1:] for path in variables if path[0] == "params"}
    places = {path: path if path[0] != "params" and path[1:] in taken else path[1:] for path in variables}
    shapes = traverse_util.unflatten_dict({places[path]: leaf for path, leaf in variables.items()})
    other_names = {"/".join(path): "/".join(place) for path, place in places.items()}

    def apply(params: Any, images: jax.Array) -> Any:
        flat = traverse_util.flatten_dict(params)
        filled = traverse_util.unflatten_dict({path: flat[place] for path, place in places.items()})
        return module.apply(filled, images, **arguments)

    return PureModule(_names(shapes), other_names, lambda values: _bind(shapes, values), apply)
