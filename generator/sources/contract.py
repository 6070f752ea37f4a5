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
    weights_path: the file (or Orbax's folder) that `weights` describes; None where the code itself makes them.
    code_paths: the Python files that define the network, for the digest. libraries: distributions whose versions decide what
    the network computes, besides JAX. facts: further lines for the model's page. guesses: what was not stated and had to be
    guessed, a sentence each (`pixels in 0-1, as the file does not say`); `build` without a YAML file says them.
    """

    title: str
    description: str
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    weights: WeightsInfo
    weights_path: Path | None
    code_paths: tuple[Path, ...]
    facts: list[tuple[str, str]] = field(default_factory=list)
    libraries: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadedModel:
    """A network as a pure function.

    apply: `(params, images) -> outputs`, images float32 `(n, h, w, c)`; it can be traced, jitted and differentiated.
    params: nested dictionaries of JAX arrays whose paths, joined with `/`, are the names the network's owner knows.
    What `apply` computes inside `jax.named_scope("layer:NAME")` belongs to the owner's layer NAME: the tracer names what has no
    kernel (additions, pools) after it.
    """

    apply: Callable[[Any, Any], Any]
    params: Any
    input_shape: tuple[int, int, int]
