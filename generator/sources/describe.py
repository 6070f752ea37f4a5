"""What is known of a network before any of it runs: files, digests, preprocessing, labels. No JAX, no Flax."""

from __future__ import annotations

from pathlib import Path

from generator.config.sources import (
    FlaxSource,
    FunctionSource,
    KerasSource,
    OnnxSource,
    SourceConfig,
    TorchSource,
    ZooSource,
)
from generator.sources.contract import SourceFacts


def describe(source: SourceConfig, base: Path) -> SourceFacts:
    """The facts of a source; relative paths in it start at `base`, the config's folder.

    Reads the weights file for its digest but does not interpret it beyond its format. Raises `UserError` with everything
    that is wrong: a module or file that is missing, a file that is no checkpoint, an unusable input shape.
    """
    match source:
        case ZooSource():
            from generator.sources import zoo_models as kind
        case FlaxSource():
            from generator.sources import flax_sources as kind
        case FunctionSource():
            from generator.sources import function_sources as kind
        case OnnxSource():
            from generator.sources import onnx_sources as kind
        case KerasSource():
            from generator.sources import keras_sources as kind
        case TorchSource():
            from generator.sources import torch_sources as kind
    return kind.describe(source, base)
