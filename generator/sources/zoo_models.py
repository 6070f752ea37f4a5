"""Known architectures, with the weights that ship with them, are installed, or lie in a file."""

from __future__ import annotations

from pathlib import Path

from generator.config.sources import ZooSource
from generator.errors import Problem
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.matching import match_parameters
from generator.sources.weights import check_finite, checkpoint_format, read_checkpoint
from generator.zoo.registry import entry


def describe(source: ZooSource, base: Path) -> SourceFacts:
    model = entry(source.name)
    path = _weights_path(source, base)
    if source.weights is None:
        weights, facts = weights_info(path, checkpoint_format(path), model.licence, model.provenance), list(model.facts())
    else:
        # The facts are about the weights that ship with the model; nothing is known of someone else's.
        weights, facts = weights_info(path, checkpoint_format(path), NOT_STATED, f"local file {path.name}"), []
    return SourceFacts(
        title=model.title,
        description=model.description,
        input_shape=model.input_shape,
        preprocessing=model.preprocessing,
        labels=model.labels(),
        weights=weights,
        weights_path=path,
        code_paths=model.code,
        facts=facts,
        libraries=("flax",),
    )


def load(source: ZooSource, base: Path) -> LoadedModel:
    from generator.sources.flax_modules import pure_nnx

    model, path = entry(source.name), _weights_path(source, base)
    converted = (model.convert(name, array) for name, array in read_checkpoint(path).items())
    tensors = dict(pair for pair in converted if pair is not None)
    module = pure_nnx(model.build)
    values = match_parameters(module.expected, tensors, path, module.other_names)
    check_finite(values, path)

    def problem(_: BaseException, rule: str) -> Problem:
        return Problem(source.name, rule, "choose another `preprocessing.size_px`")

    return LoadedModel(explained(module.apply, problem), module.bind(values), model.input_shape)


def _weights_path(source: ZooSource, base: Path) -> Path:
    """Where the checkpoint lies. Raises `WeightsError` if a model's own is not installed."""
    return entry(source.name).weights() if source.weights is None else base / Path(source.weights).expanduser()
