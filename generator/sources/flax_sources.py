"""Flax modules of one's own, with a checkpoint."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.config.sources import FlaxSource
from generator.errors import ConfigError, NetworkError, Problem, UserError
from generator.records import Preprocessing
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.matching import match_parameters
from generator.sources.python_files import described, import_name, raised_at, source_files
from generator.sources.weights import check_finite, checkpoint_format, read_checkpoint

if TYPE_CHECKING:
    from generator.sources.flax_modules import PureModule


def describe(source: FlaxSource, base: Path) -> SourceFacts:
    path = _checkpoint(source, base)
    module, _, class_name = source.module.partition(":")
    problems: list[Problem] = []
    height, width, channels = source.input_shape
    if channels not in (1, 3):
        rule = f"input_shape has {channels} channels, but images have 1 (grey) or 3 (colour)"
        problems.append(Problem(source.module, rule, "input_shape is (height, width, channels)"))
    code: tuple[Path, ...] = ()
    try:
        code = source_files(module, base)
    except UserError as error:
        problems += error.problems
    try:
        weights = weights_info(path, checkpoint_format(path), NOT_STATED, f"local file {path.name}")
    except UserError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return SourceFacts(
        title=class_name,
        description="",
        input_shape=source.input_shape,
        preprocessing=Preprocessing(size_px=(height, width), channels="grey" if channels == 1 else "rgb"),
        labels=None,
        weights=weights,
        weights_path=path,
        code_paths=code,
        facts=[("Module", source.module)],
        libraries=("flax",),
    )


def load(source: FlaxSource, base: Path) -> LoadedModel:
    path = _checkpoint(source, base)
    tensors = read_checkpoint(path)
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
