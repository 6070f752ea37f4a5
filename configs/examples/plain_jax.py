"""A CNN as a plain function of its parameters, without any framework above JAX: six convolutions at three resolutions."""

import jax
import jax.numpy as jnp
import numpy as np


def network(channels: int = 3, num_classes: int = 10, width: int = 32):
    """`(apply, params)`: the network, and random values for what it learns (He et al. 2015).

    The keys of `params` become the names of the layers: `stage1/conv1` and so on, and `classifier`.
    """
    random = np.random.default_rng(0)

    def layer(*shape: int) -> dict[str, np.ndarray]:
        kernel = random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        return {"kernel": kernel.astype(np.float32), "bias": np.zeros(shape[-1], np.float32)}

    def stage(cin: int, cout: int) -> dict[str, dict[str, np.ndarray]]:
        return {"conv1": layer(3, 3, cin, cout), "conv2": layer(3, 3, cout, cout)}

    return apply, {
        "stage1": stage(channels, width),
        "stage2": stage(width, 2 * width),
        "stage3": stage(2 * width, 3 * width),
        "classifier": layer(3 * width, num_classes),
    }


def apply(params: dict, images: jax.Array) -> jax.Array:
    """images: float32 `(n, h, w, channels)`, h and w divisible by 4; returns float32 `(n, num_classes)`."""
    x = convolutions(params["stage1"], images)
    x = convolutions(params["stage2"], halved(x))
    x = convolutions(params["stage3"], halved(x))
    return x.mean(axis=(1, 2)) @ params["classifier"]["kernel"] + params["classifier"]["bias"]


def convolutions(stage: dict, x: jax.Array) -> jax.Array:
    for layer in (stage["conv1"], stage["conv2"]):
        x = jax.lax.conv_general_dilated(x, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + layer["bias"])
    return x


def halved(x: jax.Array) -> jax.Array:
    """The maximum of every 2 x 2 positions."""
    n, h, w, c = x.shape
    return jnp.max(x.reshape(n, h // 2, 2, w // 2, 2, c), axis=(2, 4))
