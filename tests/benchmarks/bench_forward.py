"""EfficientNet-Lite0's forward: ours against the same function compiled by XLA as it stands."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.measuring import Measurement, fastest

AT_LEAST = 6.0
LARGEST_ERROR = 1e-4


def run() -> list[Measurement]:
    """Batches of 20 images (bounded) and of one (for information)."""
    import jax

    from generator.build.devices import use_every_core
    from generator.config.sources import ZooSource
    from generator.network.execute import Network
    from generator.sources import load

    use_every_core()  # as builds do
    model = load(ZooSource(kind="zoo", name="efficientnet_lite0"), Path())
    network = Network(model.apply, model.params, model.input_shape)
    return [*_compare(model, network, jax.jit(model.apply), 20, AT_LEAST), *_compare(model, network, jax.jit(model.apply), 1)]


def _compare(model, network, compiled, batch: int, at_least: float | None = None) -> list[Measurement]:
    import jax
    import numpy as np

    from generator.network.execute import OUTPUT, Tap

    images = jax.numpy.asarray(np.random.default_rng(0).normal(size=(batch, *model.input_shape)), np.float32)
    tapped = network.tapped([Tap(OUTPUT)], batch=batch)
    expected = np.asarray(compiled(model.params, images))
    error = float(np.abs(np.asarray(tapped(images)[0]) - expected).max() / np.abs(expected).max())
    seconds = fastest(
        {
            "ours": lambda: tapped(images)[0].block_until_ready(),
            "xla": lambda: compiled(model.params, images).block_until_ready(),
        },
        rounds=8 if batch > 1 else 40,
    )
    note = f"ours {seconds['ours'] * 1e3:.1f} ms, XLA {seconds['xla'] * 1e3:.1f} ms"
    of_images = f"{batch} image{'s' if batch > 1 else ''} of {' x '.join(map(str, model.input_shape))}"
    return [
        Measurement(f"forward, {of_images}", seconds["xla"] / seconds["ours"], "x", at_least=at_least, note=note),
        Measurement("  largest difference / largest logit", error, at_most=LARGEST_ERROR),
    ]
