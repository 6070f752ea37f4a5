"""How a CNN gets in: from the zoo, or as a Flax module of one's own. Importing this loads neither JAX nor Flax."""

from __future__ import annotations

from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.describe import describe
from generator.sources.load import load

__all__ = ["LoadedModel", "SourceFacts", "describe", "load"]
