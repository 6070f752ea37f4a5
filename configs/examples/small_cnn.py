"""A small CNN as a Flax module: three convolutions, a mean over all positions, one number for each class."""

import jax
from flax import nnx


class SmallCnn(nnx.Module):
    """`model(images)` with float32 `(n, h, w, channels)` gives float32 `(n, num_classes)`; images may have any size.

    Layers are named after the attributes: `conv1`, `conv2`, `conv3` and `classifier`.
    """

    def __init__(self, channels: int, num_classes: int, width: int = 24, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(channels, width, (5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(width, 2 * width, (3, 3), rngs=rngs)
        self.conv3 = nnx.Conv(2 * width, 3 * width, (3, 3), rngs=rngs)
        self.classifier = nnx.Linear(3 * width, num_classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.conv1(images)), (2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), strides=(2, 2))
        x = nnx.relu(self.conv3(x))
        return self.classifier(x.mean(axis=(1, 2)))
