"""The Fashion CNN: a small network for 28 x 28 grey images of clothes, made to be looked at.

Five convolutions at three resolutions; the first has large kernels, so that its edges and blobs can be seen:

    28x28  conv1 5x5 -> 24, max pool
    14x14  conv2 3x3 -> 32, conv3 3x3 -> 32, max pool
     7x7   conv4 3x3 -> 80, conv5 3x3 -> 80, mean
           classifier -> 10

Each convolution is followed by batch normalisation (Ioffe, Szegedy 2015) and ReLU. 98,674 parameters, 15.2 MFLOP an image.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

BATCH_NORM_EPSILON = 1e-5
#: Of the running statistics: a tenth of each training batch goes in, so that even the early checkpoints have useful ones.
BATCH_NORM_MOMENTUM = 0.9


class FashionCnn(nnx.Module):
    """`model(images)` with float32 `(n, 28, 28, 1)` gives the logits float32 `(n, 10)`.

    Images are grey, scaled to 0-1, then normalised as `fashion_card.PREPROCESSING` says. A new module is ready to look
    at images; `model.train()` makes it normalise by the batch instead of the running statistics.
    """

    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = _conv(1, 24, 5, rngs)
        self.norm1 = _norm(24, rngs)
        self.conv2 = _conv(24, 32, 3, rngs)
        self.norm2 = _norm(32, rngs)
        self.conv3 = _conv(32, 32, 3, rngs)
        self.norm3 = _norm(32, rngs)
        self.conv4 = _conv(32, 80, 3, rngs)
        self.norm4 = _norm(80, rngs)
        self.conv5 = _conv(80, 80, 3, rngs)
        self.norm5 = _norm(80, rngs)
        self.classifier = nnx.Linear(80, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm1(self.conv1(images)))
        x = self.halve(x)
        x = nnx.relu(self.norm2(self.conv2(x)))
        x = nnx.relu(self.norm3(self.conv3(x)))
        x = self.halve(x)
        x = nnx.relu(self.norm4(self.conv4(x)))
        x = nnx.relu(self.norm5(self.conv5(x)))
        return self.classifier(jnp.mean(x, axis=(1, 2)))

    def halve(self, x: jax.Array) -> jax.Array:
        """The largest value of every 2 x 2 block: `(n, h, w, c)` to `(n, h / 2, w / 2, c)`."""
        return nnx.max_pool(x, (2, 2), strides=(2, 2))


def _conv(num_in: int, num_out: int, size: int, rngs: nnx.Rngs) -> nnx.Conv:
    # No bias: the normalisation that follows would take it away again.
    initial = nnx.initializers.he_normal()
    return nnx.Conv(num_in, num_out, (size, size), padding="SAME", use_bias=False, kernel_init=initial, rngs=rngs)


def _norm(num_features: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(
        num_features, use_running_average=True, epsilon=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM, rngs=rngs
    )


def flatten(state: nnx.State) -> dict[str, np.ndarray]:
    """Every array of `state` under its path, such as `conv1/kernel`, sorted: the tensors of a checkpoint."""
    return {"/".join(map(str, path)): np.array(leaf[...]) for path, leaf in sorted(nnx.to_flat_state(state))}


def unflatten(tensors: dict[str, np.ndarray]) -> FashionCnn:
    """The network with the tensors of a checkpoint, as float32; the inverse of `flatten(nnx.state(model))`."""
    model = FashionCnn(rngs=nnx.Rngs(0))
    flat = {tuple(name.split("/")): jnp.asarray(tensor, jnp.float32) for name, tensor in tensors.items()}
    nnx.update(model, nnx.traversals.unflatten_mapping(flat))
    return model
