"""The 1,000 classes of ImageNet (ILSVRC 2012), in the order of a classifier's outputs."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def imagenet_labels() -> tuple[str, ...]:
    """Short English names, one for each class index 0-999, all distinct. Their licence lies beside the text file."""
    text = resources.files("generator.zoo").joinpath("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
