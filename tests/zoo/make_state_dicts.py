"""Asks torchvision and timm what the tests of the zoo compare with, and writes it into `data/`.

    .venv-conformance/bin/python -m tests.zoo.make_state_dicts

`state_dicts.json.gz`: names and shapes of the tensors of every architecture that the zoo knows, with the package before its
name; what torchvision publishes for DenseNet has older names than its module, and is listed as such. `logits.json`: what
some of them make of `made_up_checkpoints`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.zoo.made_up_checkpoints import DATA, images, known_shapes, made_up

if TYPE_CHECKING:
    import torch

#: What torchvision's `_load_state_dict` of DenseNet undoes.
_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
#: One of each family that is small enough for a quick test.
WITH_LOGITS = (
    *("torchvision/squeezenet1_1", "torchvision/mobilenet_v3_small", "torchvision/resnet18"),
    *("torchvision/googlenet", "timm/mobilenetv3_small_100", "timm/mobilenetv2_100", "timm/tf_efficientnet_lite1"),
)


def main() -> None:
    import numpy as np
    import torch

    shapes: dict[str, dict[str, list[int]]] = {}
    with torch.device("meta"):
        for name in _names():
            shapes[name] = {key: list(tensor.shape) for key, tensor in _network(name).state_dict().items()}
    dense = shapes["torchvision/densenet121"].items()
    shapes["published/densenet121"] = {_DENSE_LAYER.sub(r"\1.\2.", key): shape for key, shape in dense}
    DATA.mkdir(exist_ok=True)
    with (DATA / "state_dicts.json.gz").open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(json.dumps(shapes, separators=(",", ":")).encode())
    logits = {}
    for name in WITH_LOGITS:
        network = _network(name)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in made_up(known_shapes()[name]).items()})
        with torch.no_grad():
            found = network.eval()(torch.from_numpy(np.ascontiguousarray(images().transpose(0, 3, 1, 2)))).numpy()
        logits[name] = {"every 111th": found[:, ::111].tolist(), "norm": float(np.linalg.norm(found))}
    (DATA / "logits.json").write_text(json.dumps(logits, indent=1) + "\n")


def _names() -> Iterator[str]:
    import torchvision

    from generator.zoo.registry import ENTRIES

    for entry in ENTRIES.values():
        if entry.name in torchvision.models.list_models():
            yield f"torchvision/{entry.name}"
        yield from (f"timm/{name}" for name in entry.timm_names)


def _network(name: str) -> torch.nn.Module:
    import timm
    import torchvision

    package, _, architecture = name.partition("/")
    if package == "timm":
        return timm.create_model(architecture)
    options = {"init_weights": False} if architecture == "googlenet" else {}
    return torchvision.models.get_model(architecture, weights=None, **options)


if __name__ == "__main__":
    main()
