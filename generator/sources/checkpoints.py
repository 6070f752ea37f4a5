"""Checkpoints of networks that are written in JAX: files of any known format, and folders that Orbax wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from generator.records import WeightsInfo
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.weights import checkpoint_format, read_checkpoint
from generator.sources.weights.orbax_folder import newest_step, orbax_info, read_orbax


def checkpoint_info(path: Path) -> WeightsInfo:
    """What is known of a checkpoint without reading its arrays. Raises `WeightsError` for what is no checkpoint."""
    if path.is_dir():
        return orbax_info(newest_step(path), NOT_STATED, f"local folder {path.name}")
    return weights_info(path, checkpoint_format(path), NOT_STATED, f"local file {path.name}")


def read_named(path: Path) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by its name, joined with `/`. Raises `WeightsError` as `read_checkpoint` does."""
    return read_orbax(newest_step(path)) if path.is_dir() else read_checkpoint(path)
