"""Forward passes of CNNscope on the CPU against PyTorch's own, by architecture: as fast, or not half as fast.

One architecture of every family of torchvision runs side by side: by PyTorch eagerly, channels last, in inference mode; and
through the `torch` source as the gallery runs it, its output as the only tap. Runs alternate, and what counts is the median
over pairs of neighbours. Both use the same number of threads; where other programs use the cores too, ratios flatter CNNscope,
as PyTorch's threads wait for each other at every layer: `load` says how many there were.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.conformance.matching import relative_error
from tests.conformance.torchvision_models import build

DEPENDS_ON = ("network/*.py", "sources/torch_*.py", "sources/onnx_graph/*.py")

if TYPE_CHECKING:
    from generator.network.execute import Network

SIZE_PX, BATCHES = 224, (8, 1)
#: PyTorch's time over ours; of the larger batch, as a gallery runs many images.
AT_LEAST = 0.5
#: Largest difference of an output over the largest output.
TOLERANCE = 1e-4
NUM_PAIRS, SECONDS = 7, 20.0
FAMILIES = (
    *("alexnet", "vgg16", "vgg16_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "squeezenet1_1"),
    *("googlenet", "inception_v3", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *("shufflenet_v2_x1_0", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "convnext_tiny"),
)


def cases() -> list[str]:
    return list(FAMILIES)


def run(name: str) -> dict[str, Any]:
    """Ratio and seconds of both for each batch; ok if the ratio of the larger batch is high enough and outputs are equal."""
    import torch

    from generator.build.devices import use_every_core

    use_every_core()
    with tempfile.TemporaryDirectory() as cache:
        network = load_network(name, cache)
    module = build(name).to(memory_format=torch.channels_last)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    found = {f"batch_{batch}": compare(network, module, batch) for batch in BATCHES}
    main = found[f"batch_{BATCHES[0]}"]
    wrong = [f"{main['ratio']:.2f} times as fast as PyTorch"] if main["ratio"] < AT_LEAST else []
    wrong += [f"outputs differ by {main['error']:.2g}"] if not main["error"] <= TOLERANCE else []
    return {
        "ok": not wrong,
        "failure": "; ".join(wrong),
        "ratio": main["ratio"],
        **found,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
    }


def load_network(name: str, cache: str) -> Network:
    """torchvision's `name` through the `torch` source. cache: folder for what is exported."""
    from generator.config.sources import TorchSource
    from generator.network.execute import Network
    from generator.sources import load

    os.environ["XDG_CACHE_HOME"] = cache
    shape = (SIZE_PX, SIZE_PX, 3)
    module = "tests.conformance.torchvision_models:build"
    source = TorchSource(kind="torch", module=module, arguments={"name": name}, input_shape=shape)
    loaded = load(source, Path(__file__).resolve().parents[2])
    return Network(loaded.apply, loaded.params, loaded.input_shape)


def compare(network: Network, module: Any, batch: int) -> dict[str, float]:
    """Median ratio of PyTorch's seconds over ours, both medians, seconds to compile, and how far the outputs are apart."""
    import torch

    from generator.network.execute import OUTPUT, Tap

    images = np.random.default_rng(0).uniform(-1, 1, (batch, SIZE_PX, SIZE_PX, 3)).astype(np.float32)
    tapped = network.tapped([Tap(OUTPUT)], batch=batch)
    theirs = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels last in memory, as it was made

    def pytorch() -> np.ndarray:
        with torch.inference_mode():
            return module(theirs).numpy()

    def ours() -> np.ndarray:
        return np.asarray(tapped(images)[0])

    compile_s = _seconds(ours)
    error = relative_error(ours(), pytorch())
    pairs = _alternating(pytorch, ours)
    return {
        "ratio": round(statistics.median(theirs / ours for theirs, ours in pairs), 3),
        "pytorch_s": round(statistics.median(theirs for theirs, _ in pairs), 4),
        "ours_s": round(statistics.median(ours for _, ours in pairs), 4),
        "compile_s": round(compile_s, 2),
        "error": float(error),
    }


def _alternating(first: Callable[[], Any], second: Callable[[], Any]) -> list[tuple[float, float]]:
    """Seconds of both, one after the other, in pairs: as many as fit into the time, at least `NUM_PAIRS`."""
    first(), second()
    pairs, end = [], time.monotonic() + SECONDS
    while len(pairs) < NUM_PAIRS or (time.monotonic() < end and len(pairs) < 5 * NUM_PAIRS):
        pairs.append((_seconds(first), _seconds(second)))
    return pairs


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
