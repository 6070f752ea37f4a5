"""Findings over Fashion-MNIST's 10,000 test images: how long they take, and that memory does not grow with their number."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from math import nan
from pathlib import Path

from tests.benchmarks.measuring import ROOT, Measurement

#: Seconds on two cores; times the memory for a tenth of the images.
SECONDS_AT_MOST, MEMORY_AT_MOST = 120, 1.1
NUM_IMAGES = 10_000
SHARES = (0.125, 0.25, 0.5)


def run() -> list[Measurement]:
    from generator.probes import fashion_mnist

    if fashion_mnist.find() is None:
        note = f"Fashion-MNIST is not on this machine: install {fashion_mnist.SYSTEM_PACKAGE}"
        return [Measurement("findings over 10,000 images, seconds", nan, "s", SECONDS_AT_MOST, note=note)]
    peaks = {}
    for number in (NUM_IMAGES // 10, NUM_IMAGES):
        code = f"from tests.benchmarks.bench_findings import measured; print(*measured({number}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
        *seconds, peaks[number] = map(float, done.stdout.split())
    note = "census {:.1f} s, importance {:.1f} s, removals {:.1f} s".format(*seconds)
    memory = ", ".join(f"{number:,} images {peak:.0f} MB" for number, peak in peaks.items())
    return [
        Measurement("findings over 10,000 images, seconds", sum(seconds), "s", SECONDS_AT_MOST, note=note),
        Measurement(
            "  memory for 10 x the images", peaks[NUM_IMAGES] / peaks[NUM_IMAGES // 10], "x", MEMORY_AT_MOST, note=memory
        ),
    ]


def measured(num_images: int) -> tuple[float, float, float, float]:
    """Seconds of census, importance and removals of the Fashion CNN over so many test images, compiling included; and the
    peak memory in MB."""
    from generator.config.datasets import ZooDataset
    from generator.config.sources import ZooSource
    from generator.network.ablation import ablate, importance
    from generator.network.census import census
    from generator.network.execute import Network
    from generator.probes import prepare
    from generator.probes.datasets import open_dataset
    from generator.sources import describe, load

    source = ZooSource(kind="zoo", name="fashion_cnn")
    model, preprocessing = load(source, Path()), describe(source, Path()).preprocessing
    network = Network(model.apply, model.params, model.input_shape)
    dataset = open_dataset(ZooDataset(name="d", kind="zoo", model="fashion_cnn", split="test"), Path(), {})
    labels = [dataset.label(number) for number in range(num_images)]
    layers = [layer.name for layer in network.graph.layers if len(layer.shape) in (1, 3)]
    judged = [layer.name for layer in network.graph.layers if layer.has_kernel and layer.name not in network.graph.outputs]

    def read(number: int):
        return prepare(dataset.read(number), preprocessing).input

    marks = [time.perf_counter()]
    census(network, layers, read, num_images, labels=labels, num_classes=10)
    marks.append(time.perf_counter())
    weights = importance(network, judged, read, num_images)
    marks.append(time.perf_counter())
    orders = {layer: weights[layer].argsort() for layer in judged}
    tried = [{layer: order[: int(share * len(order))]} for layer, order in orders.items() for share in SHARES]
    ablate(network, tried, read, num_images, labels=labels)
    marks.append(time.perf_counter())
    # Not getrusage's, which a process has from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    times = [after - before for before, after in pairwise(marks)]
    return (*times, int(status["VmHWM"].split()[0]) * 1024 / 1e6)
