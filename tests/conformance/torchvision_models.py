"""torchvision's CNNs through the `torch` source, every module's output against PyTorch's own.

Weights are random, normalisation statistics are not trivial, images are small. A hook keeps what each module of PyTorch's
network returned last; `matching.py` says what of ours it is compared with. Every convolution that ran must also be a layer
of its module's name, with the module's kernel. Modules that compute nothing (dropout, identity) or change the order of axes
alone, which is channels last with us throughout, have no value of their own.
The network's outputs are compared twice: as traced, and as CNNscope runs them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.conformance.matching import relative_error, scope_values

DEPENDS_ON = ("network/*.py", "sources/torch_*.py", "sources/onnx_*.py", "sources/onnx_graph/*.py")

if TYPE_CHECKING:
    import torch

    from generator.network.execute import Network

SIZE_PX, NUM_IMAGES, TOLERANCE = 96, 2, 1e-4
#: Transformers, which are no CNNs.
_OTHERS = ("vit_", "swin_", "maxvit")
#: More than 0.5 GB of weights each; smaller ones of the same families run.
_LARGE = (
    *("convnext_large", "efficientnet_v2_l", "regnet_x_32gf", "regnet_y_32gf", "regnet_y_128gf"),
    *("vgg13", "vgg13_bn", "vgg16", "vgg19", "vgg19_bn", "wide_resnet101_2"),
)
_WITHOUT_VALUES = ("Identity", "Dropout", "StochasticDepth", "Sequential", "Permute")
_SEGMENTATION = ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50", "lraspp_mobilenet_v3_large")
_BACKBONES = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")


def cases() -> list[str]:
    import torchvision

    classifiers = torchvision.models.list_models(module=torchvision.models)
    kept = [name for name in classifiers if not name.startswith(_OTHERS) and name not in _LARGE]
    return [*sorted(kept), *_SEGMENTATION, *(f"{name}.backbone" for name in _BACKBONES)]


def build(name: str) -> torch.nn.Module:
    """The network of that name with weights that are the same every time."""
    import torch
    import torchvision

    torch.manual_seed(0)
    family, _, part = name.partition(".")
    arguments: dict[str, Any] = {"weights": None}
    if family in _SEGMENTATION or family in _BACKBONES:
        arguments["weights_backbone"] = None
    if family in ("googlenet", "inception_v3"):
        arguments["init_weights"] = False  # takes minutes, and is made up below anyway
    model = torchvision.models.get_model(family, **arguments)
    model = model.get_submodule(part) if part else model
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith(("running_var", "layer_scale")):
                value.uniform_(0.5, 1.5)
            elif key.endswith(("running_mean", "bias")):
                value.normal_(0.0, 0.1)
            elif value.ndim == 1 and value.is_floating_point():
                value.uniform_(0.5, 1.5)
    return model.eval()


def run(name: str) -> dict[str, Any]:
    from generator.config.sources import TorchSource
    from generator.network.execute import OUTPUT, Network, Tap
    from generator.sources import load

    shape = (SIZE_PX, SIZE_PX, 3)
    source = TorchSource(
        kind="torch", module="tests.conformance.torchvision_models:build", arguments={"name": name}, input_shape=shape
    )
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        # Not the repository: what lies beside a config is imported afresh, and that would be all of ours.
        loaded = load(source, Path(cache))
    network = Network(loaded.apply, loaded.params, loaded.input_shape)
    images = np.random.default_rng(0).uniform(-1, 1, (NUM_IMAGES, *shape)).astype(np.float32)
    module = build(name)
    expected, outputs = _hooked(module, images)
    found = scope_values(network, images)
    errors, problems = [], []
    for path, value in expected.items():
        ours = found.of(path)
        if ours is None:
            problems += [f"{path} has no value"] if _computes(module.get_submodule(path.replace("/", "."))) else []
            continue
        errors.append(relative_error(ours, value))
        problems += [f"{path} differs by {errors[-1]:.2g}"] if not errors[-1] <= TOLERANCE else []
    convolutions = _convolutions(module, expected)
    problems += _wrong_kernels(network, convolutions)
    tapped = np.asarray(network.tapped([Tap(OUTPUT)], batch=NUM_IMAGES)(images)[0])
    last = [relative_error(ours, value) for ours, value in zip(found.outputs, outputs, strict=False)]
    last.append(relative_error(tapped, outputs[0]))
    problems += [f"an output differs by {max(last):.2g}"] if not max(last) <= TOLERANCE else []
    problems += [f"{len(found.outputs)} outputs instead of {len(outputs)}"] if len(found.outputs) != len(outputs) else []
    return {
        "ok": not problems,
        "failure": f"{len(problems)}: {'; '.join(problems[:6])}" if problems else "",
        "convolutions": len(convolutions),
        "outputs_compared": len(errors) + len(last),
        "worst_error": max(*errors, *last),
        "layers": len(network.graph.layers),
    }


def _hooked(module: torch.nn.Module, images: np.ndarray) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """What each submodule returned last, by its path, where that is a tensor; and the outputs."""
    import torch

    kept: dict[str, np.ndarray] = {}

    def keep(path: str) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                kept[path] = output.detach().clone().numpy()  # the next module may change it in place

        return hook

    for path, submodule in module.named_modules():
        if path:
            submodule.register_forward_hook(keep(path.replace(".", "/")))
    with torch.no_grad():
        output = module(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
    return kept, [tensor.numpy() for tensor in torch.utils._pytree.tree_leaves(output)]


def _computes(module: torch.nn.Module) -> bool:
    leaves = [leaf for leaf in module.modules() if not list(leaf.children())]
    return any(type(leaf).__name__ not in _WITHOUT_VALUES for leaf in leaves)


def _convolutions(module: torch.nn.Module, ran: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels `kh kw cin cout` of the convolutions that ran, by path."""
    found = {}
    for path, submodule in module.named_modules():
        if type(submodule).__name__ == "Conv2d" and path.replace(".", "/") in ran:
            found[path.replace(".", "/")] = submodule.weight.detach().numpy().transpose(2, 3, 1, 0)
    return found


def _wrong_kernels(network: Network, convolutions: dict[str, np.ndarray]) -> Iterator[str]:
    layers = network.graph.by_name
    named = [name for name in convolutions if name in layers and layers[name].kind in ("conv", "depthwise_conv")]
    weights = network.weights(named)
    for name, kernel in convolutions.items():
        if name not in weights:
            yield f"no convolution {name}"
        elif weights[name].kernel.shape != kernel.shape or not np.array_equal(weights[name].kernel, kernel):
            yield f"{name} has another kernel"
