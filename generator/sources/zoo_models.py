"""Known architectures, with the weights that ship with them, are installed, lie in a file or on the Hugging Face hub."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from generator.config.sources import ZooSource
from generator.errors import ConfigError, Problem
from generator.records import WeightsInfo
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.hub import HubModel, hub_model
from generator.sources.matching import match_parameters
from generator.sources.weights import check_finite, checkpoint_format, read_checkpoint
from generator.zoo.registry import ENTRIES, ZooEntry, entry

_UNKNOWN = "the zoo has no such architecture; `kind: torch` may run it"


def describe(source: ZooSource, base: Path) -> SourceFacts:
    model = entry(source.name)
    if source.hub is not None:
        return _from_hub(model, hub_model(source.hub, source.revision))
    path = _weights_path(source, base)
    if source.weights is None:
        weights, facts = weights_info(path, checkpoint_format(path), model.licence, model.provenance), list(model.facts())
    else:
        # The facts are about the weights that ship with the model; nothing is known of someone else's.
        weights, facts = weights_info(path, checkpoint_format(path), NOT_STATED, f"local file {path.name}"), []
        labels = model.labels_of(model.num_classes(read_checkpoint(path)) if model.heads else None)
        guesses = (model.guess,) if model.guess else ()
        return replace(_facts(model, path, weights, facts), labels=labels, guesses=guesses)
    return _facts(model, path, weights, facts)


def _facts(model: ZooEntry, path: Path, weights: WeightsInfo, facts: list[tuple[str, str]]) -> SourceFacts:
    return SourceFacts(
        title=model.title,
        description=model.description,
        input_shape=model.input_shape,
        preprocessing=model.preprocessing,
        labels=model.labels(),
        weights=weights,
        weights_path=path,
        code_paths=model.code,
        facts=[*facts, *([("Paper", model.paper)] if model.paper else [])],
        libraries=("flax",),
    )


def name_of_repository(repository: str, revision: str | None) -> str:
    """The zoo's name of the architecture whose weights are in a repository of the hub. Raises `UserError`."""
    found = hub_model(repository, revision)
    known = _names_of(found)
    if not known:
        rule = f"the weights there are of timm's {found.config.architecture!r}"
        raise ConfigError(Problem(repository, rule, _UNKNOWN))
    return known[0]


def _names_of(found: HubModel) -> list[str]:
    # Not the zoo's own names: timm's `efficientnet_lite0` has other padding than the zoo's, which timm calls `tf_...`.
    return [name for name, model in ENTRIES.items() if found.config.architecture in model.timm_names]


def _from_hub(model: ZooEntry, found: HubModel) -> SourceFacts:
    """The architecture with what its repository says of its own weights. Raises `ConfigError` if it is another one."""
    config, known = found.config, _names_of(found)
    if model.name not in known:
        rule = f"the weights there are of timm's {config.architecture!r}, but `name:` says {model.name!r}"
        raise ConfigError(Problem(found.repository, rule, f"write `name: {known[0]}`" if known else _UNKNOWN))
    weights = weights_info(found.weights, checkpoint_format(found.weights), config.licence, found.provenance)
    facts = _facts(model, found.weights, weights, [("Repository", found.repository), ("Commit", found.commit)])
    labels = config.labels or model.labels_of(config.num_classes)
    shape = (*config.preprocessing.size_px, model.input_shape[2])
    return replace(facts, input_shape=shape, preprocessing=config.preprocessing, labels=labels)


def load(source: ZooSource, base: Path) -> LoadedModel:
    from generator.sources.flax_modules import pure_nnx

    model, path = entry(source.name), _weights_path(source, base)
    tensors = read_checkpoint(path)
    module = pure_nnx(partial(model.build, **model.build_arguments(tensors)))
    values = match_parameters(module.expected, model.parameters(tensors), path, module.other_names)
    check_finite(values, path)

    def problem(_: BaseException, rule: str) -> Problem:
        return Problem(source.name, rule, "choose another `preprocessing.size_px`")

    return LoadedModel(explained(module.apply, problem), module.bind(values), model.input_shape)


def _weights_path(source: ZooSource, base: Path) -> Path:
    """Where the checkpoint lies. Raises `WeightsError` if a model's own is not installed, or the hub's cannot be had."""
    if source.hub is not None:
        return hub_model(source.hub, source.revision).weights
    return entry(source.name).weights() if source.weights is None else base / Path(source.weights).expanduser()
