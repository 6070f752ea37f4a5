"""A small CNN as a PyTorch module: three normalised convolutions, a mean over all positions, one number for each class."""

import torch
from torch import nn


class TorchCnn(nn.Module):
    """`model(images)` with float32 `(n, channels, h, w)` gives float32 `(n, num_classes)`; images may have any size.

    Layers are named after the attributes: `stem.conv`, `middle.conv`, `top.conv` and `classifier`.
    """

    def __init__(self, channels: int = 1, num_classes: int = 10, width: int = 24):
        super().__init__()
        self.stem = Normalised(channels, width, 5)
        self.middle = Normalised(width, 2 * width, 3)
        self.top = Normalised(2 * width, 3 * width, 3)
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Linear(3 * width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(images))
        x = self.pool(self.middle(x))
        return self.classifier(self.top(x).mean(dim=(2, 3)))


class Normalised(nn.Module):
    """A convolution, batch normalisation (Ioffe, Szegedy 2015) and ReLU."""

    def __init__(self, cin: int, cout: int, size: int):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, size, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))
