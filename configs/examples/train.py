"""Trains the network of a configuration on its datasets `training` and `test`, and writes the checkpoint that it names:

    .venv/bin/python configs/examples/train.py configs/mnist.yaml

It reads the same file as `cnnscope build` does: network, images and their preprocessing are stated once. A Flax module is
an NNX one whose only state is its parameters (no batch normalisation).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from reading import class_names, read_config, read_dataset
from safetensors.numpy import save_file

from generator.config.sources import FlaxSource, FunctionSource
from generator.errors import UserError
from generator.sources.python_files import import_name

Apply = Callable[[dict, jax.Array], jax.Array]


def main() -> None:
    options = parse_options()
    base = options.config.parent
    config = read_config(options.config)
    source = config.models[0].source
    if getattr(source, "checkpoint", None) is None:
        raise SystemExit(f"{options.config}: the first model's source must be `flax` or `function`, and name a `checkpoint`")
    images, labels = read_dataset(config, "training", base)
    apply, params = new_network(source, base)
    num_outputs, num_classes = apply(params, images[:1]).shape[-1], len(class_names(config.models[0], base))
    if num_outputs != num_classes:
        raise SystemExit(f"{num_classes} `labels` for a network with {num_outputs} outputs: change its `arguments`")
    params = train(apply, params, images, labels, options.epochs, options.batch)
    images, labels = read_dataset(config, "test", base)
    right = predict(apply, params, images) == labels
    print(f"{right.mean():.2%} of {len(right):,} test images right")
    save_file(named(params), base / source.checkpoint)
    print(f"{base / source.checkpoint} written; now `cnnscope build {options.config}`")


def new_network(source: FlaxSource | FunctionSource, base: Path) -> tuple[Apply, dict]:
    """The network as a function of its parameters and images, and random parameters to begin with."""
    if isinstance(source, FunctionSource):
        return import_name(source.function, base)(**source.arguments)
    module = import_name(source.module, base)(**source.arguments, rngs=nnx.Rngs(0))
    graph, state = nnx.split(module, nnx.Param)
    return lambda params, images: nnx.merge(graph, nnx.State(params))(images), nnx.to_pure_dict(state)


def train(apply: Apply, params: dict, images: np.ndarray, labels: np.ndarray, epochs: int, batch: int) -> dict:
    """Adam (Kingma, Ba 2015) on the cross-entropy; its steps grow at first, then shrink along a cosine.

    images: float32 `(n, h, w, c)`; labels: int32 `(n,)`. Returns the parameters after `epochs` times all images.
    """
    batch = min(batch, len(images))
    num_steps = epochs * (len(images) // batch)
    optimizer = optax.adam(optax.warmup_cosine_decay_schedule(0, 4e-3, num_steps // 20, num_steps))

    @jax.jit
    def step(params, state, images, labels):
        def loss(params):
            return optax.softmax_cross_entropy_with_integer_labels(apply(params, images), labels).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    random = np.random.default_rng(0)
    for epoch in range(epochs):
        order, losses = random.permutation(len(images)), []
        for start in range(0, len(images) - batch + 1, batch):
            chosen = order[start : start + batch]
            params, state, value = step(params, state, images[chosen], labels[chosen])
            losses.append(value)
        print(f"epoch {epoch + 1} of {epochs}: mean loss {np.mean(losses):.3f}", flush=True)
    return params


def predict(apply: Apply, params: dict, images: np.ndarray, batch: int = 500) -> np.ndarray:
    """The likeliest class int `(n,)` of each image."""
    run = jax.jit(lambda images: jnp.argmax(apply(params, images), axis=-1))
    return np.concatenate([run(images[start : start + batch]) for start in range(0, len(images), batch)])


def named(params: dict) -> dict[str, np.ndarray]:
    """The parameters by their paths: `conv1/kernel`. CNNscope names the layers after them."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(value) for path, value in paths}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a configuration whose first model's source is `flax` or `function`")
    parser.add_argument("--epochs", type=int, default=5, help="how often every image is seen (%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images of one step (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
