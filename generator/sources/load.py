"""A network with its weights, ready to be traced. JAX and the frameworks are imported when a network is loaded."""

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
from generator.sources.contract import LoadedModel


def load(source: SourceConfig, base: Path) -> LoadedModel:
    """The network of a source with its weights; relative paths in it start at `base`, the config's folder.

    Raises `WeightsError` if the checkpoint is damaged, unsafe, not finite, or of another architecture, and `ConfigError` or
    `NetworkError` if the network cannot be imported or built.
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
    return kind.load(source, base)
