"""Feature visualisation of EfficientNet-Lite0 against torch-lucent: five depths, 30 units, 128 px, 128 steps, same transforms.

Ours starts with an empty compilation cache, in a process of its own. Lucent runs before and after, half of the units each, so
that whatever else the machine does meanwhile slows both. Both climb the channel before ReLU6 (Lucent's hook on the norm: after
ReLU6 it cannot leave an image at which the unit is silent). A PyTorch network judges all images as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.measuring import ROOT, Measurement, fastest, peer_interpreter

#: Our names, and the peer's of the norm behind the same convolution: first, last, and three evenly between.
DEPTHS = {
    "stem": "_bn0",
    "blocks/3/expand": "_blocks.3._bn0",
    "blocks/7/expand": "_blocks.7._bn0",
    "blocks/11/expand": "_blocks.11._bn0",
    "head": "_bn1",
}
UNITS_A_DEPTH = 6
FASTER, SIZE_PX = 12.0, 128


@dataclass(frozen=True)
class Made:
    """One image of ours. file: float32 `(size, size, 3)` in 0-1."""

    layer: str
    unit: int
    file: str


def run() -> list[Measurement]:
    if not peer_interpreter().is_file():
        rule = f"no peer at {peer_interpreter()}: run `make bench-peers`"
        return [Measurement("units a minute over torch-lucent", float("nan"), "x", at_least=FASTER, note=rule)]
    wanted = [(layer, unit) for layer, width in _widths().items() for unit in _spread(width)]
    with tempfile.TemporaryDirectory(prefix="cnnscope-bench-") as folder, Peer() as peer:
        frame = _frame()
        theirs = [peer.render(*one, None) for one in wanted[::2]]
        at_ours = [peer.render(*one, frame) for one in wanted[::4]]
        seconds, compiling, ours = _ours(wanted, Path(folder))
        theirs += [peer.render(*one, None) for one in wanted[1::2]]
        at_ours += [peer.render(*one, frame) for one in wanted[2::4]]
        order = [*wanted[::2], *wanted[1::2]]
        answers = peer.judge([(one.layer, one.unit, one.file) for one in ours])
        others = dict(zip(order, peer.judge([(*o, t["file"]) for o, t in zip(order, theirs, strict=True)]), strict=True))
    per_unit = seconds / len(wanted)
    lucent = sum(one["seconds"] for one in theirs) / len(theirs)
    same_size = sum(one["seconds"] for one in at_ours) / len(at_ours)
    pairs = [(answer, others[one.layer, one.unit]) for one, answer in zip(ours, answers, strict=True)]
    after = [(a[1] - b[1]) / max(a[1], b[1]) for a, b in pairs if max(a[1], b[1]) > 0]
    before = [a[0] - b[0] for a, b in pairs]
    limit = _arithmetic_limit(wanted, frame)
    note = f"{per_unit:.2f} s against {lucent:.2f} s a unit, {len(wanted)} units; compiling {compiling:.1f} s of ours included"
    return [
        Measurement(
            "units a minute over torch-lucent, as it comes (224 px)", lucent / per_unit, "x", at_least=FASTER, note=note
        ),
        Measurement("  the same, compiled before", lucent * len(wanted) / (seconds - compiling), "x"),
        Measurement(f"  over torch-lucent at our {frame} px", same_size / per_unit, "x", note=f"{same_size:.2f} s a unit"),
        Measurement(
            "  seconds over the arithmetic's", seconds / limit, "x", note=f"{limit:.1f} s of matrix products at full rate"
        ),
        Measurement(
            "mean channel activation over theirs, median gain",
            median(after),
            at_least=0.0,
            note=f"(ours - theirs) / larger, after ReLU6; {len(after)} units; ours is higher for {sum(x > 0 for x in after)}",
        ),
        Measurement("  before ReLU6, median difference", median(before), note=f"higher for {sum(x > 0 for x in before)}"),
    ]


class Peer:
    """torch-lucent in a process of its own, ready before anything is timed."""

    def __enter__(self) -> Peer:
        script = ROOT / "tests" / "benchmarks" / "peers" / "feature_vis.py"
        command = [str(peer_interpreter()), str(script), str(_checkpoint())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        while (line := self._process.stdout.readline().strip()) != "ready":
            if not line and self._process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with exit code {self._process.returncode}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    def render(self, layer: str, unit: int, size: int | None) -> dict:
        return self._ask({"layer": DEPTHS[layer], "unit": unit, "size": size})

    def judge(self, images: Sequence[tuple[str, int, str]]) -> list[tuple[float, float]]:
        return self._ask({"judge": [(DEPTHS[layer], unit, file) for layer, unit, file in images]})

    def _ask(self, request: dict):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _ours(wanted: Sequence[tuple[str, int]], folder: Path) -> tuple[float, float, list[Made]]:
    """Seconds for all of `wanted`, how many of them went into tracing and compiling, and the images."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_feature_vis", str(folder)]
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
    asked = json.dumps(wanted)
    done = subprocess.run(command, cwd=ROOT, input=asked, stdout=subprocess.PIPE, text=True, env=env, check=True)  # noqa: S603
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], answer["compiling"], [Made(*one) for one in answer["made"]]


def _loaded():
    from generator import sources
    from generator.config.sources import ZooSource
    from generator.network.execute import Network

    source = ZooSource(kind="zoo", name="efficientnet_lite0")
    model = sources.load(source, Path())
    return Network(model.apply, model.params, model.input_shape), sources.describe(source, Path())


def _widths() -> dict[str, int]:
    network, _ = _loaded()
    return {layer: network.graph.by_name[layer].num_units for layer in DEPTHS}


def _spread(width: int) -> list[int]:
    return [(2 * place + 1) * width // (2 * UNITS_A_DEPTH) for place in range(UNITS_A_DEPTH)]


def _frame() -> int:
    from generator.views.feature_vis.settings import margin

    return SIZE_PX + margin(SIZE_PX)


def _checkpoint() -> Path:
    _, facts = _loaded()
    return facts.weights_path


def _arithmetic_limit(wanted: Sequence[tuple[str, int]], frame: int) -> float:
    """Seconds that the multiplications alone would take, forward and back, at the rate of a large matrix product here."""
    import jax
    import jax.numpy as jnp

    from generator.network.execute import Network
    from generator.views.feature_vis.settings import PRESETS

    network, _ = _loaded()
    graph = Network(network._apply, network._params, (frame, frame, 3)).graph
    names = [layer.name for layer in graph.layers]
    flops = sum(
        2 * (PRESETS["standard"].steps + 1) * sum(layer.flops for layer in graph.layers[: names.index(name) + 1])
        for name, _ in wanted
    )
    side = 2048
    square = jnp.ones((side, side), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    return flops / (2 * side**3 / fastest({"product": lambda: product(square).block_until_ready()})["product"])


def _render(folder: Path, wanted: Sequence[tuple[str, int]]) -> None:
    """What the process of its own does: from the loaded network to the last image."""
    from generator.build.devices import use_every_core
    from generator.build.visualise import Request, Visualiser
    from generator.config.views import FeatureVisView

    use_every_core()
    network, facts = _loaded()
    network.graph  # noqa: B018 -- a gallery knows it long before
    by_layer = {layer: [unit for name, unit in wanted if name == layer] for layer, _ in wanted}
    start = time.perf_counter()
    visualiser = Visualiser(network, FeatureVisView(negative=False, size_px=SIZE_PX), facts.preprocessing, lambda: np.zeros(0))
    requests = {layer: [Request(layer, unit) for unit in units] for layer, units in by_layer.items()}
    (first, *_) = requests.values()
    found = {first[0].layer: visualiser.run(first)}
    compiled = time.perf_counter()
    visualiser.run(first)  # once more, to tell how much of the first run was compiling; not counted
    again = time.perf_counter()
    found |= {layer: visualiser.run(some) for layer, some in requests.items() if layer not in found}
    compiling = (compiled - start) - (again - compiled)
    seconds = (compiled - start) + (time.perf_counter() - again)
    made = []
    for layer, units in by_layer.items():
        for unit, one in zip(units, found[layer], strict=True):
            file = folder / f"{layer.replace('/', '.')}-{unit}.npy"
            np.save(file, one.image.astype(np.float32) / 255)
            made.append((layer, unit, str(file)))
    print(json.dumps({"seconds": seconds, "compiling": compiling, "made": made}))


if __name__ == "__main__":
    _render(Path(sys.argv[1]), [tuple(one) for one in json.load(sys.stdin)])
