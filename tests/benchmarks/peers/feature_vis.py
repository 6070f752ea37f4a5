"""Feature visualisation with torch-lucent, for comparison; and the neutral judge of everybody's images.

    python feature_vis.py CHECKPOINT

Reads one request a line on standard input, as JSON, and answers each with a line of JSON. `{"layer", "unit", "size"}` makes an
image of 128 px in 128 steps with Lucent's own transforms and optimiser, shown to the network at `size` px (null: as Lucent does
it by itself, enlarged to 224), and gives its file and the seconds. `{"judge": [[layer, unit, file], ...]}` gives, for each
image as it is, the mean of the unit's map before and after ReLU6.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0 import load

warnings.filterwarnings("ignore")

SIZE_PX, STEPS = 128, 128


def scaled(images: torch.Tensor) -> torch.Tensor:
    """From 0-1 to what the network was trained on."""
    return (images * 255 - 127) / 128


def rendered(network: torch.nn.Module, layer: str, unit: int, size: int | None) -> tuple[np.ndarray, float]:
    """Image float32 `(size, size, 3)` in 0-1, and the seconds it took."""
    from lucent.optvis import objectives, param, render, transform

    start = time.perf_counter()
    (image,) = render.render_vis(
        network,
        objectives.channel(layer, unit),
        lambda: param.image(SIZE_PX),
        transforms=[*transform.standard_transforms, scaled],
        preprocess=False,
        thresholds=(STEPS,),
        progress=False,
        show_image=False,
        fixed_image_size=size,
    )
    return image[0], time.perf_counter() - start


def judged(network: torch.nn.Module, layer: str, unit: int, image: np.ndarray) -> tuple[float, float]:
    """Mean of the unit's map before and after ReLU6. image: float32 `(h, w, 3)` in 0-1."""
    kept = []
    module = network.get_submodule(layer)
    hook = module.register_forward_hook(lambda _module, _inputs, value: kept.append(value[0, unit]))
    with torch.no_grad():
        network(scaled(torch.from_numpy(image).permute(2, 0, 1)[None]))
    hook.remove()
    return float(kept[0].mean()), float(kept[0].clamp(0, 6).mean())


def main(checkpoint: str) -> None:
    network = load(checkpoint)
    torch.manual_seed(0)
    np.random.seed(0)
    folder = Path(tempfile.mkdtemp(prefix="lucent-"))
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "judge" in request:
            answer = [judged(network, layer, unit, np.load(file)) for layer, unit, file in request["judge"]]
        else:
            # Lucent joins a module's names by underscores.
            image, seconds = rendered(network, request["layer"].replace(".", "_"), request["unit"], request["size"])
            file = folder / f"{request['layer']}-{request['unit']}-{request['size']}.npy"
            np.save(file, image.astype(np.float32))
            answer = {"file": str(file), "seconds": seconds}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
