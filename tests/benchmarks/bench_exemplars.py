"""The search for exemplars: against the bare forward pass, against PyTorch with hooks, and its memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measuring import ROOT, Measurement, fastest, peer_interpreter

if TYPE_CHECKING:
    import numpy as np

#: Times PyTorch's images a second; times the bare forward pass's seconds; times the memory for a tenth of the images.
PEER_AT_LEAST, FORWARD_AT_MOST, MEMORY_AT_MOST = 1.5, 1.15, 1.1
NUM_IMAGES, ROUNDS = 192, 4
MODEL = "efficientnet_lite0"


def run() -> list[Measurement]:
    return [*_speed(), *_memory()]


def _speed() -> list[Measurement]:
    import jax
    import numpy as np

    from generator.config.sources import ZooSource
    from generator.network.execute import OUTPUT, Network, Tap
    from generator.network.survey import BATCH, compiled, survey
    from generator.network.tally import Picks
    from generator.sources import load
    from generator.zoo.registry import entry

    model = load(ZooSource(kind="zoo", name=MODEL), Path())
    network = Network(model.apply, model.params, model.input_shape)
    layers = [layer.name for layer in network.graph.layers if len(layer.shape) in (1, 3)]
    images = np.random.default_rng(0).normal(size=(NUM_IMAGES, *model.input_shape)).astype(np.float32)
    reduced = compiled(network, layers, NUM_IMAGES)
    bare = network.tapped([Tap(OUTPUT)], batch=BATCH)

    def search() -> None:
        survey(network, layers, images.__getitem__, NUM_IMAGES, picks=Picks(9, 3, 3), run=reduced)

    def forward() -> None:
        for first in range(0, NUM_IMAGES, BATCH):
            jax.block_until_ready(bare(images[first : first + BATCH]))

    def reductions() -> None:
        for first in range(0, NUM_IMAGES, BATCH):
            jax.block_until_ready(reduced(images[first : first + BATCH]))

    works = {"search": search, "forward": forward, "reductions": reductions}
    with tempfile.TemporaryDirectory(prefix="cnnscope-bench-") as folder:
        peer = _peer(Path(folder), images, entry(MODEL).weights(), BATCH)
        if peer is not None:
            works["peer"] = lambda: _told(peer)
        try:
            seconds = fastest(works, ROUNDS)
        finally:
            if peer is not None:
                peer.stdin.close()
                peer.wait()
    note = f"{len(layers)} layers, {NUM_IMAGES} images, {NUM_IMAGES / seconds['search']:.0f} a second"
    missing = f"no peer at {peer_interpreter()}: run `make bench-peers`"
    return [
        Measurement(
            "exemplars, images a second over PyTorch's",
            seconds["peer"] / seconds["search"] if peer else nan,
            "x",
            at_least=PEER_AT_LEAST,
            note=f"{note}; PyTorch with hooks {NUM_IMAGES / seconds['peer']:.0f}" if peer else missing,
        ),
        Measurement(
            "  seconds over the bare forward pass's",
            seconds["search"] / seconds["forward"],
            "x",
            at_most=FORWARD_AT_MOST,
            note=f"forward {NUM_IMAGES / seconds['forward']:.0f} images a second",
        ),
        Measurement("  of which in the compiled function", seconds["reductions"] / seconds["forward"], "x"),
    ]


def _peer(folder: Path, images: np.ndarray, checkpoint: Path, batch: int) -> subprocess.Popen[str] | None:
    """PyTorch, waiting to be told; None where it is not installed."""
    import numpy as np

    if not peer_interpreter().is_file():
        return None
    np.save(folder / "images.npy", images)
    script = ROOT / "tests" / "benchmarks" / "peers" / "exemplars.py"
    command = [str(peer_interpreter()), str(script), str(checkpoint), str(folder / "images.npy"), str(batch)]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    if peer.stdout.readline().strip() != "ready":
        raise RuntimeError(f"{' '.join(command)} failed")
    return peer


def _told(peer: subprocess.Popen[str]) -> float:
    peer.stdin.write("\n")
    peer.stdin.flush()
    return float(peer.stdout.readline())


def _memory() -> list[Measurement]:
    """Peak memory of a process that surveys a folder of small images with the Fashion CNN."""
    import numpy as np
    from PIL import Image

    peaks = {}
    with tempfile.TemporaryDirectory(prefix="cnnscope-bench-") as folder:
        random = np.random.default_rng(0)
        for number in range(10_000):
            Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(Path(folder, f"{number:05}.png"))
        for limit in (1_000, 10_000):
            code = f"from tests.benchmarks.bench_exemplars import peak_mb; print(peak_mb({folder!r}, {limit}))"
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
            peaks[limit] = float(done.stdout.split()[-1])
    note = ", ".join(f"{limit:,} images {peak:.0f} MB" for limit, peak in peaks.items())
    return [Measurement("exemplars, memory for 10 x the images", peaks[10_000] / peaks[1_000], "x", MEMORY_AT_MOST, note=note)]


def peak_mb(folder: str, limit: int) -> float:
    from generator.config.datasets import FolderDataset
    from generator.config.sources import ZooSource
    from generator.network.execute import Network
    from generator.network.survey import survey
    from generator.network.tally import Picks
    from generator.probes import prepare
    from generator.probes.datasets import open_dataset
    from generator.sources import describe, load

    source = ZooSource(kind="zoo", name="fashion_cnn")
    model, preprocessing = load(source, Path()), describe(source, Path()).preprocessing
    network = Network(model.apply, model.params, model.input_shape)
    dataset = open_dataset(FolderDataset(name="d", kind="folder", path=folder, limit=limit), Path(), {})
    layers = [layer.name for layer in network.graph.layers if len(layer.shape) in (1, 3)]
    survey(network, layers, lambda i: prepare(dataset.read(i), preprocessing).input, len(dataset), picks=Picks(9, 3, 3))
    # Not getrusage's, which a process has from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6
