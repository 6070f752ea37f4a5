"""What the rest of CNNscope knows of a CNN that came in, wherever it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generator.records import Preprocessing, WeightsInfo


@dataclass(frozen=True)
class SourceFacts:
    """All that is known of a network without running it.

    input_shape: `(h, w, c)` of one image. labels: class names in the order of the outputs, if the source knows them.
    code_paths: the Python files that define the network, for the digest. facts: further lines for the model's page.
    """

    title: str
    description: str
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    weights: WeightsInfo
    weights_path: Path
    code_paths: tuple[Path, ...]
    facts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class LoadedModel:
    """A network as a pure function.

    apply: `(params, images) -> outputs`, images float32 `(n, h, w, c)`; it can be traced, jitted and differentiated.
    params: nested dictionaries of JAX arrays whose paths, joined with `/`, are the names the network's owner knows.
    """

    apply: Callable[[Any, Any], Any]
    params: Any
    input_shape: tuple[int, int, int]
