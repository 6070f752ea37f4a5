"""Flax modules of one's own, with a checkpoint."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.config.sources import FlaxSource
from generator.errors import ConfigError, NetworkError, Problem, UserError
from generator.records import WeightsInfo
from generator.sources.checkpoints import checkpoint_info, read_named
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.matching import match_parameters
from generator.sources.own_code import described_code
from generator.sources.python_files import described, import_name, raised_at
from generator.sources.weights import check_finite

if TYPE_CHECKING:
    from generator.sources.flax_modules import PureModule


def describe(source: FlaxSource, base: Path) -> SourceFacts:
    def weights(_: tuple[Path, ...]) -> tuple[WeightsInfo, Path]:
        path = _checkpoint(source, base)
        return checkpoint_info(path), path

    facts = [("Module", source.module)]
    return described_code(source.module, source.input_shape, base, weights, facts=facts, libraries=("flax",))


def load(source: FlaxSource, base: Path) -> LoadedModel:
    path = _checkpoint(source, base)
    tensors = read_named(path)
    module = _module(source, base)
    values = match_parameters(module.expected, tensors, path, module.other_names)
    check_finite(values, path)

    def problem(error: BaseException, rule: str) -> Problem:
        place = raised_at(error, source.module, base)
        return Problem(place, rule, "correct the module, its `arguments` or `input_shape`")

    return LoadedModel(explained(module.apply, problem), module.bind(values), source.input_shape)


def _checkpoint(source: FlaxSource, base: Path) -> Path:
    return base / Path(source.checkpoint).expanduser()


def _module(source: FlaxSource, base: Path) -> PureModule:
    from flax import linen, nnx

    from generator.sources.flax_modules import pure_linen, pure_nnx

    module_class = import_name(source.module, base)
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
