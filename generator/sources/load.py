"""A network with its weights, ready to be traced. JAX and Flax are imported when a network is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.config.schema import FlaxSource, SourceConfig, ZooSource
from generator.errors import ConfigError, NetworkError, Problem, UserError
from generator.sources.contract import LoadedModel
from generator.sources.describe import weights_path
from generator.sources.matching import match_parameters
from generator.sources.python_files import described, import_class, raised_at
from generator.sources.weights import check_finite, read_checkpoint
from generator.zoo.registry import entry

if TYPE_CHECKING:
    from generator.sources.flax_modules import PureModule


def load(source: SourceConfig, base: Path) -> LoadedModel:
    """The network of a source with its weights; relative paths in it start at `base`, the config's folder.

    Raises `WeightsError` if the checkpoint is damaged, unsafe, not finite, or of another architecture, and `ConfigError` or
    `NetworkError` if the module cannot be imported or built.
    """
    path = weights_path(source, base)
    tensors = read_checkpoint(path)
    match source:
        case ZooSource():
            model = entry(source.name)
            converted = (model.convert(name, array) for name, array in tensors.items())
            tensors = dict(pair for pair in converted if pair is not None)
            module, input_shape = _zoo_module(source), model.input_shape
        case FlaxSource():
            module, input_shape = _flax_module(source, base), source.input_shape
    values = match_parameters(module.expected, tensors, path, module.other_names)
    check_finite(values, path)
    return LoadedModel(_explained(module.apply, source, base), module.bind(values), input_shape)


def _explained(apply: Callable[[Any, Any], Any], source: SourceConfig, base: Path) -> Callable[[Any, Any], Any]:
    """`apply`, whose failures name their place in the network's own code; nothing else runs in it, so none of ours hide."""

    def explained(params: Any, images: Any) -> Any:
        try:
            return apply(params, images)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            shape = " x ".join(map(str, images.shape[1:]))
            rule = f"the network cannot run on images of {shape}: {described(error)}"
            if isinstance(source, ZooSource):
                raise NetworkError(Problem(source.name, rule, "choose another `preprocessing.size_px`")) from error
            place = raised_at(error, source.module, base)
            raise NetworkError(Problem(place, rule, "correct the module, its `arguments` or `input_shape`")) from error

    return explained


def _zoo_module(source: ZooSource) -> PureModule:
    from generator.sources.flax_modules import pure_nnx

    return pure_nnx(entry(source.name).build)


def _flax_module(source: FlaxSource, base: Path) -> PureModule:
    from flax import linen, nnx

    from generator.sources.flax_modules import pure_linen, pure_nnx

    module_class = import_class(source.module, base)
    is_nnx = isinstance(module_class, type) and issubclass(module_class, nnx.Module)
    if not is_nnx and not (isinstance(module_class, type) and issubclass(module_class, linen.Module)):
        rule = "this is neither a flax.nnx.Module nor a flax.linen.Module"
        raise ConfigError(Problem(source.module, rule, "name the module's class"))
    _check_arguments(source, module_class, ["rngs"] if is_nnx else [])
    try:
        if is_nnx:
            return pure_nnx(lambda: module_class(**source.arguments, rngs=nnx.Rngs(0)))
        return pure_linen(module_class(**source.arguments), source.input_shape)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's module does is theirs to fix
        rule = f"building it for images of shape {source.input_shape} failed: {described(error)}"
        place = raised_at(error, source.module, base)
        raise NetworkError(Problem(place, rule, "check the module, its `arguments` and `input_shape`")) from error


def _check_arguments(source: FlaxSource, module_class: Any, given: list[str]) -> None:
    # Of the constructor itself: the signature of an NNX class is that of its metaclass, which takes anything.
    _, *parameters = inspect.signature(module_class.__init__).parameters.values()
    signature = inspect.Signature(parameters)
    try:
        signature.bind(**source.arguments, **dict.fromkeys(given))
    except TypeError as error:
        rule = f"`arguments` do not fit its constructor: {error}"
        raise ConfigError(Problem(source.module, rule, f"it takes {signature}")) from error
