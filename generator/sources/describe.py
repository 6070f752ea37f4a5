"""What is known of a network before any of it runs: files, digests, preprocessing, labels. No JAX, no Flax."""

from __future__ import annotations

import hashlib
from pathlib import Path

from generator.config.schema import FlaxSource, SourceConfig, ZooSource
from generator.errors import ConfigError, Problem, UserError
from generator.records import Preprocessing, WeightsInfo
from generator.sources.contract import SourceFacts
from generator.sources.python_files import source_files
from generator.sources.weights import checkpoint_format
from generator.zoo.registry import entry

_NOT_STATED = "not stated"


def describe(source: SourceConfig, base: Path) -> SourceFacts:
    """The facts of a source; relative paths in it start at `base`, the config's folder.

    Reads the weights file for its digest but does not interpret it beyond its format. Raises `UserError` with everything
    that is wrong: a module or file that is missing, a file that is no checkpoint, an unusable input shape.
    """
    match source:
        case ZooSource():
            return _describe_zoo(source, base)
        case FlaxSource():
            return _describe_flax(source, base)


def weights_path(source: SourceConfig, base: Path) -> Path:
    """Where the source's checkpoint lies. Raises `WeightsError` if a zoo model's own is not installed."""
    match source:
        case ZooSource(weights=None):
            return entry(source.name).weights()
        case ZooSource():
            return base / Path(source.weights).expanduser()
        case FlaxSource():
            return base / Path(source.checkpoint).expanduser()


def _describe_zoo(source: ZooSource, base: Path) -> SourceFacts:
    model = entry(source.name)
    path = weights_path(source, base)
    if source.weights is None:
        weights, facts = _weights_info(path, model.licence, model.provenance), list(model.facts())
    else:
        # The facts are about the weights that ship with the model; nothing is known of someone else's.
        weights, facts = _weights_info(path, _NOT_STATED, f"local file {path.name}"), []
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
    )


def _describe_flax(source: FlaxSource, base: Path) -> SourceFacts:
    path = weights_path(source, base)
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
        weights = _weights_info(path, _NOT_STATED, f"local file {path.name}")
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
    )


def _weights_info(path: Path, licence: str, provenance: str) -> WeightsInfo:
    kind = checkpoint_format(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightsInfo(
        file=path.name,
        format=kind,
        digest=digest,
        num_bytes=path.stat().st_size,
        licence=licence,
        provenance=provenance,
    )
