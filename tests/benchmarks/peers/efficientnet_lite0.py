"""EfficientNet-Lite0 in PyTorch with the checkpoint's own names: what the peers run. Needs torch alone."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

#: repeats, kernel size, stride of the first block, widening, features.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's 'SAME' is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = []
        for side, size, stride in zip(reversed(x.shape[2:]), reversed(self.kernel_size), reversed(self.stride), strict=True):
            missing = max((math.ceil(side / stride) - 1) * stride + size - side, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(x, pads) if any(pads) else x)


def _norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=1e-3)


class Block(nn.Module):
    def __init__(self, inputs: int, features: int, size: int, stride: int, widening: int):
        super().__init__()
        inner = inputs * widening
        self.shortcut, self.widens = stride == 1 and inputs == features, widening > 1
        if self.widens:
            self._expand_conv, self._bn0 = SameConv(inputs, inner, 1, bias=False), _norm(inner)
        self._depthwise_conv, self._bn1 = SameConv(inner, inner, size, stride, groups=inner, bias=False), _norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, features, 1, bias=False), _norm(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        narrow = self._bn2(self._project_conv(inner))
        return x + narrow if self.shortcut else narrow


class EfficientNetLite0(nn.Module):
    """Float32 `(n, 3, h, w)`, RGB as `(pixel - 127) / 128`, to logits `(n, 1000)`."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), _norm(32)
        blocks, inputs = [], 32
        for repeats, size, stride, widening, features in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(inputs, features, size, stride if repeat == 0 else 1, widening))
                inputs = features
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(inputs, 1280, 1, bias=False), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


def load(path: str) -> EfficientNetLite0:
    """The network with the weights of the checkpoint at `path`, for inference."""
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
