"""EfficientNet-Lite0 in PyTorch, whose hooks reduce every layer's maps as a search for exemplars needs. Needs torch and NumPy.

    python exemplars.py CHECKPOINT IMAGES.npy BATCH

Prints `ready`, then for each line on standard input passes over all images and prints the seconds.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from efficientnet_lite0 import EfficientNetLite0, load
from torch import nn

HIGHEST, LOWEST = 9, 3


class Best:
    """The strongest images of each unit of one layer, and how often its activations are positive."""

    def __init__(self) -> None:
        self.seen = 0
        self.kept: dict[bool, tuple[torch.Tensor, torch.Tensor]] = {}
        self.positive: torch.Tensor | float = 0.0

    def hook(self, _module: nn.Module, _inputs: object, value: torch.Tensor) -> None:
        # A view, as maps are in channels-last memory; before the activation function order and sign are the same.
        flat = value.permute(0, 2, 3, 1).flatten(1, 2) if value.ndim == 4 else value[:, None]
        largest = flat.amax(dim=1)
        self.positive = self.positive + (flat > 0).sum(dim=(0, 1))
        images = torch.arange(self.seen, self.seen + len(largest))[:, None].expand_as(largest)
        self.seen += len(largest)
        for top, number in ((True, HIGHEST), (False, LOWEST)):
            new = largest, images
            old = self.kept.get(top)
            values, numbers = new if old is None else (torch.cat(pair) for pair in zip(old, new, strict=True))
            best, rows = values.topk(min(number, len(values)), dim=0, largest=top)
            self.kept[top] = best, numbers.gather(0, rows)


def searched(network: EfficientNetLite0, images: torch.Tensor, batch: int) -> float:
    """Seconds of one pass."""
    hooks = [
        module.register_forward_hook(Best().hook)
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d | nn.Linear)
    ]
    start = time.perf_counter()
    with torch.no_grad():
        for part in images.split(batch):
            network(part)
    seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    return seconds


def main(checkpoint: str, file: str, batch: str) -> None:
    network = load(checkpoint).to(memory_format=torch.channels_last)
    images = torch.from_numpy(np.load(file)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(searched(network, images, int(batch)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
