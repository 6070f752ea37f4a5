"""The whole feature-map view against the sum of its floors: every layer of EfficientNet-Lite0 on a few probes.

The view is what a build does, one task after the other: run the network with every layer tapped, keep the maps in the store,
read them back, measure, scale, arrange, encode, and keep the record and its pictures. Its floors are the bare forward with the
same outputs, and the bare encoding of the same pixels at the same settings. Both sides are timed layer by layer, in turns, so
that other work on the machine meets both alike.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
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
    import numpy as np

    from generator.build import digest
    from generator.build.arrays import compact, from_bytes, to_bytes
    from generator.build.registry import drawn_files
    from generator.build.store import Artifact, Store
    from generator.config.schema import PhotographsProbes
    from generator.config.sources import ZooSource
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

    works: dict[tuple[str, int, int], Callable[[], object]] = {}
    num_pixels = 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        # A new key each time, as in a first build: an artifact is never written over.
        keys = (digest.of_json(number) for number in itertools.count())

        def activations(probe: int) -> Artifact:
            values = [np.asarray(value[0], np.float32) for value in tapped(inputs[probe][None])]
            return store.write(next(keys), {f"{i}": to_bytes(compact(value)) for i, value in enumerate(values)})

        def view(probe: int, i: int, recorded: Artifact) -> None:
            maps = from_bytes(recorded.read(f"{i}"))
            store.write(next(keys), drawn_files(feature_maps.draw(layers[i], PROBES[probe], "activation", maps)))

        for probe in range(len(inputs)):
            works["forward", probe, -1] = partial(lambda p: jax.block_until_ready(tapped(inputs[p][None])), probe)
            works["activations", probe, -1] = partial(activations, probe)
            recorded = activations(probe)
            for i in range(len(layers)):
                with _recorded_encodings() as encodings:
                    view(probe, i, recorded)
                num_pixels += sum(pixels.size for _, pixels in encodings)
                works["encoding", probe, i] = partial(lambda calls: [encode(pixels) for encode, pixels in calls], encodings)
                works["drawing", probe, i] = partial(view, probe, i, recorded)
        best = fastest(works, rounds=6)

    def each(part: str) -> float:
        """Milliseconds a probe."""
        return sum(seconds for (name, _, _), seconds in best.items() if name == part) / len(inputs) * 1e3

    whole, floor = each("activations") + each("drawing"), each("forward") + each("encoding")
    note = f"a probe: {whole:.0f} ms, of which forward {each('forward'):.0f}, encoding {each('encoding'):.0f}"
    sizes = f"{len(inputs)} probes, {len(layers)} layers, {num_pixels / 1e6:.0f} megapixels"
    return [Measurement(f"feature maps against their floors, {sizes}", whole / floor, "x", at_most=AT_MOST, note=note)]


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
