"""Checkpoint files to named NumPy arrays. No file can make code run, whatever it holds."""

from __future__ import annotations

from generator.sources.weights.checkpoint import checkpoint_format, read_checkpoint
from generator.sources.weights.finite import check_finite

__all__ = ["check_finite", "checkpoint_format", "read_checkpoint"]
