"""Trains the PyTorch module of a configuration on its datasets `training` and `test`; writes the state dict that it names, and
the same network as an ONNX file beside it:

    .venv/bin/python configs/examples/train_torch.py configs/torch.yaml

It reads the same file as `cnnscope build` does: network, images and their preprocessing are stated once.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from reading import read_config, read_dataset
from torch import nn
from torch.nn.functional import cross_entropy

from generator.errors import UserError
from generator.sources.python_files import import_name


def main() -> None:
    options = parse_options()
    base = options.config.parent
    config = read_config(options.config)
    source = config.models[0].source
    torch.manual_seed(0)
    model = import_name(source.module, base)(**source.arguments)
    train(model, *tensors(*read_dataset(config, "training", base)), options.epochs, options.batch)
    images, labels = tensors(*read_dataset(config, "test", base))
    right = predict(model, images) == labels
    print(f"{right.float().mean():.2%} of {len(right):,} test images right")
    path = base / source.weights
    torch.save(model.state_dict(), path)
    torch.onnx.export(model, (images[:1],), path.with_suffix(".onnx"), dynamo=True, external_data=False, verbose=False)
    print(f"{path} and {path.with_suffix('.onnx')} written; now `cnnscope build {options.config}`")


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Channels come first in PyTorch: float32 `(n, c, h, w)`, and int64 `(n,)`."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2)), torch.from_numpy(labels).long()


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int) -> None:
    """Adam (Kingma, Ba 2015) on the cross-entropy, its steps growing smaller along a cosine."""
    batch = min(batch, len(images))
    num_steps = epochs * (len(images) // batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    model.train()
    for epoch in range(epochs):
        losses = []
        for chosen in torch.randperm(len(images)).split(batch)[: len(images) // batch]:
            optimizer.zero_grad()
            loss = cross_entropy(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {epochs}: mean loss {np.mean(losses):.3f}", flush=True)
    model.eval()


@torch.no_grad()
def predict(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The likeliest class int64 `(n,)` of each image."""
    return torch.cat([model(part).argmax(dim=1) for part in images.split(500)])


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a configuration whose first model's source is `torch`, with `weights`")
    parser.add_argument("--epochs", type=int, default=3, help="how often every image is seen (%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images of one step (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
