"""The whole feature-map view against the sum of its floors: every layer of EfficientNet-Lite0 on a few probes.

The view is what a build does, one task after the other: run the network with every layer tapped, keep the maps in the store,
read them back, measure, scale, arrange, encode, and keep the record and its pictures. Its floors are the bare forward with the
same outputs, and the bare encoding of the same pixels at the same settings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from tests.benchmarks.measuring import Measurement, fastest

if TYPE_CHECKING:
    import numpy as np

PROBES = ("cat", "rocket", "coins")
AT_MOST = 2.0
ENCODERS = ("encode_lossless", "encode_webp", "encode_jpeg", "encode_png")


def run() -> list[Measurement]:
    """Ratio of the view's seconds to its floors', over all probes together."""
    import jax

    from generator.build.arrays import compact, from_bytes, to_bytes
    from generator.build.registry import drawn_files
    from generator.build.store import Store
    from generator.config.schema import PhotographsProbes, ZooSource
    from generator.network.execute import Network, Tap
    from generator.probes import list_probes, prepare
    from generator.sources import describe, load
    from generator.views import feature_maps

    source = ZooSource(kind="zoo", name="efficientnet_lite0")
    model = load(source, Path())
    network = Network(model.apply, model.params, model.input_shape)
    layers = [layer for layer in network.graph.layers if len(layer.shape) in (1, 3)]
    tapped = network.tapped([Tap(layer.name) for layer in layers])
    preprocessing = describe(source, Path()).preprocessing
    probes = list_probes(PhotographsProbes(name="photographs", kind="photographs", images=PROBES), Path())
    inputs = [prepare(probe.read(), preprocessing).input for probe in probes]

    def view(store: Store) -> None:
        import numpy as np

        for number, image in enumerate(inputs):
            values = [np.asarray(value[0], np.float32) for value in tapped(image[None])]
            kept = store.write(f"{number}", {f"{i}": to_bytes(compact(value)) for i, value in enumerate(values)})
            for i, layer in enumerate(layers):
                drawn = feature_maps.draw(layer, PROBES[number], "activation", from_bytes(kept.read(f"{i}")))
                store.write(f"{number}-{i}", drawn_files(drawn))

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        with _recorded_encodings() as encodings:
            view(store)
        seconds = fastest(
            {
                "view": lambda: view(store),
                "forward": lambda: [jax.block_until_ready(tapped(image[None])) for image in inputs],
                "encoding": lambda: [encode(pixels) for encode, pixels in encodings],
            },
            rounds=4,
        )
    floor = seconds["forward"] + seconds["encoding"]
    megapixels = sum(pixels.size for _, pixels in encodings) / 1e6
    each = {name: value / len(inputs) * 1e3 for name, value in seconds.items()}
    note = f"a probe: {each['view']:.0f} ms, of which forward {each['forward']:.0f}, encoding {each['encoding']:.0f}"
    sizes = f"{len(inputs)} probes, {len(layers)} layers, {megapixels:.0f} megapixels"
    return [
        Measurement(f"feature maps against their floors, {sizes}", seconds["view"] / floor, "x", at_most=AT_MOST, note=note)
    ]


@contextmanager
def _recorded_encodings() -> Iterator[list[tuple[Callable[[np.ndarray], bytes], np.ndarray]]]:
    """Every call of an encoder meanwhile, with the pixels it got."""
    from generator.render import sheets

    calls: list[tuple[Callable[[np.ndarray], bytes], np.ndarray]] = []

    def recording(encode: Callable[[np.ndarray], bytes]) -> Callable[[np.ndarray], bytes]:
        def record(pixels: np.ndarray) -> bytes:
            calls.append((encode, pixels.copy()))
            return encode(pixels)

        return record

    with ExitStack() as patches:
        for name in ENCODERS:
            patches.enter_context(mock.patch.object(sheets, name, recording(getattr(sheets, name))))
        yield calls
