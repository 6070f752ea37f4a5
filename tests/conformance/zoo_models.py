"""The zoo's architectures with checkpoints of torchvision, timm and EfficientNet-PyTorch, against those packages' own networks.

Weights are random, normalisation statistics are not trivial. The other framework's network is saved to a file, read as a `zoo`
source and run twice: as loaded, and as CNNscope runs it. Its layers have the other framework's names if that is torchvision:
then every convolution's kernel is compared too, and what every module gives.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.conformance.matching import relative_error, scope_values
from tests.conformance.torchvision_models import _computes, _convolutions, _hooked, _wrong_kernels, build

DEPENDS_ON = ("network/*.py", "zoo/*.py", "sources/zoo_models.py", "sources/flax_modules.py", "sources/weights/*.py")

if TYPE_CHECKING:
    import torch

NUM_IMAGES, TOLERANCE = 2, 1e-4
#: By the zoo's names, which are torchvision's: sizes of images, one of them where pools do not divide evenly.
_TORCHVISION = {
    **dict.fromkeys(
        ("alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"), (224, 100)
    ),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121"), (224, 99)),
    **dict.fromkeys(("squeezenet1_0", "squeezenet1_1", "googlenet"), (224, 99, 130)),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"), (224, 99)),
}
#: Modules that may have no value of their own: activations, which may be the last step of another, and pools of what has
#: the right size already.
_VALUELESS = re.compile(r"relu\d?$|^avgpool$")


def cases() -> list[str]:
    """`torchvision/NAME`, and `timm/NAME` with timm's name of the architecture."""
    from generator.zoo.registry import ENTRIES

    return [*(f"torchvision/{name}" for name in _TORCHVISION), *(f"timm/{n}" for e in ENTRIES.values() for n in e.timm_names)]


def run(name: str) -> dict[str, Any]:
    from generator.zoo.registry import ENTRIES

    package, _, theirs = name.partition("/")
    if package == "torchvision":
        return compared(theirs, build(theirs), _TORCHVISION[theirs], same_names=True)
    ours = next(entry for entry in ENTRIES.values() if theirs in entry.timm_names)
    # Other sizes than 224 px: timm's VGGs enlarge what is too small, torchvision's pool it.
    sizes = (224,) if theirs.startswith("vgg") else (ours.input_shape[0], 99)
    return compared(ours.name, timm_model(theirs), sizes, same_names=False)


def timm_model(name: str) -> torch.nn.Module:
    """timm's network of that name with weights that are the same every time."""
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(name)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith(("running_mean", "bias")):
                value.normal_(0.0, 0.1)
            elif value.ndim == 1:
                value.uniform_(0.5, 1.5)
    return model.eval()


def compared(name: str, module: torch.nn.Module, sizes_px: tuple[int, ...], *, same_names: bool) -> dict[str, Any]:
    """What the zoo's `name` makes of the module's checkpoint, for images of each size, as the module itself does."""
    from generator.network.execute import OUTPUT, Network, Tap

    loaded = zoo_network(name, module)
    problems, errors = [], []
    for size_px in sizes_px:
        network = Network(loaded.apply, loaded.params, (size_px, size_px, 3))
        images = np.random.default_rng(0).uniform(-1, 1, (NUM_IMAGES, size_px, size_px, 3)).astype(np.float32)
        expected, (logits,) = _hooked(module, images)
        found = scope_values(network, images)
        ran = np.asarray(network.tapped([Tap(OUTPUT)], batch=NUM_IMAGES)(images)[0])
        for what, value in (("as loaded", found.outputs[0]), ("as run", ran)):
            errors.append(relative_error(value, logits))
            problems += [f"logits {what} differ by {errors[-1]:.2g} at {size_px} px"] if not errors[-1] <= TOLERANCE else []
        if not same_names:
            continue
        for path, value in expected.items():
            ours = found.of(path)
            if ours is None:
                computes = _computes(module.get_submodule(path.replace("/", "."))) and not _VALUELESS.search(path)
                problems += [f"{path} has no value"] if computes else []
                continue
            errors.append(relative_error(ours, value.reshape(ours.shape) if value.shape[2:] == (1, 1) else value))
            problems += [f"{path} differs by {errors[-1]:.2g} at {size_px} px"] if not errors[-1] <= TOLERANCE else []
        problems += _wrong_kernels(network, _convolutions(module, expected))
    return {
        "ok": not problems,
        "failure": f"{len(problems)}: {'; '.join(problems[:6])}" if problems else "",
        "outputs_compared": len(errors),
        "worst_error": max(errors),
        "layers": len(network.graph.layers),
    }


def zoo_network(name: str, module: torch.nn.Module) -> Any:
    """The zoo's network with the module's weights, through a file in each format, of which both give the same."""
    import jax
    import torch
    from safetensors.torch import save_file

    from generator.config.sources import ZooSource
    from generator.sources import load

    with tempfile.TemporaryDirectory() as folder:
        torch.save(module.state_dict(), Path(folder) / "weights.pth")
        loaded = load(ZooSource(kind="zoo", name=name, weights="weights.pth"), Path(folder))
        (Path(folder) / "weights.pth").unlink()
        save_file(module.state_dict(), Path(folder) / "weights.safetensors")
        again = load(ZooSource(kind="zoo", name=name, weights="weights.safetensors"), Path(folder))
    jax.tree.map(np.testing.assert_array_equal, loaded.params, again.params)
    return loaded
