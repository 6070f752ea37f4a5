"""Makes `data/`: small networks as both of PyTorch's exporters write them, and what PyTorch computes in every module of them.

Needs PyTorch; the tests that read the files do not. Run from the repository: `python -m tests.sources.pytorch.make_fixtures`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from generator.sources.torch_export import followed, quietly, recorded

DATA = Path(__file__).with_name("data")


def convolution(cin: int, cout: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layers = nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(cout), nn.ReLU()
    return nn.Sequential(*layers)


class Block(nn.Module):
    """Two convolutions around which the input goes, as in ResNet."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        inner += x
        return self.relu(inner)


class Excited(nn.Module):
    """A depthwise and a pointwise convolution, then channels weighed by their means, as in MobileNetV3."""

    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.depthwise, self.pointwise = convolution(cin, cin, stride=2, groups=cin), convolution(cin, cout, 1)
        self.squeeze, self.excite = nn.Conv2d(cout, 4, 1), nn.Conv2d(4, cout, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.hardswish(self.pointwise(self.depthwise(x)))
        means = functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.excite(functional.relu(self.squeeze(means))))


class Shuffled(nn.Module):
    """Half of the channels go on untouched; then channels of both halves alternate, as in ShuffleNetV2."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(convolution(channels // 2, channels // 2, 1), convolution(channels // 2, channels // 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=1)
        joined = torch.cat([first, self.branch(second)], dim=1)
        n, c, h, w = joined.shape
        return joined.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def network(*blocks: nn.Module, channels: int) -> nn.Sequential:
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 5)
    return nn.Sequential(convolution(3, 8, stride=2), nn.MaxPool2d(2), *blocks, nn.Sequential(*head))


NETWORKS = {
    "plain": lambda: network(channels=8),
    "residual": lambda: network(Block(8), Block(8), channels=8),
    "depthwise": lambda: network(Excited(8, 12), Excited(12, 12), channels=12),
    "shuffle": lambda: network(Shuffled(8), Shuffled(8), channels=8),
}


def seeded(name: str) -> nn.Module:
    """The network of that name with weights and statistics that are the same every time."""
    torch.manual_seed(0)
    module = NETWORKS[name]()
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if value.is_floating_point() and value.ndim == 1:
                value.uniform_(0.5, 1.5) if key.endswith(("var", "weight")) else value.normal_(0.0, 0.1)
    return module.eval()


def outputs(module: nn.Module, images: torch.Tensor) -> dict[str, np.ndarray]:
    """What each module returned last, by its path with slashes; `output` for the whole."""
    kept: dict[str, np.ndarray] = {}

    def keep(path: str):
        return lambda _, __, output: kept.__setitem__(path, output.clone().numpy())

    for path, submodule in module.named_modules():
        submodule.register_forward_hook(keep(path.replace(".", "/") or "output"))
    with torch.no_grad():
        module(images)
    return kept


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name in NETWORKS:
        images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(1))
        with quietly():
            (DATA / f"{name}.followed.onnx").write_bytes(followed(seeded(name), images))
            (DATA / f"{name}.recorded.onnx").write_bytes(recorded(seeded(name), images))
        np.savez_compressed(DATA / f"{name}.npz", images=images.permute(0, 2, 3, 1).numpy(), **outputs(seeded(name), images))
    with quietly():
        batch = ({0: torch.export.Dim.AUTO},)
        program = torch.export.export(seeded("plain"), (torch.rand(2, 3, 20, 20),), dynamic_shapes=batch)
    torch.export.save(program, DATA / "plain.pt2")


if __name__ == "__main__":
    main()
