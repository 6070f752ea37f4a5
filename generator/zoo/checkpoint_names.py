"""What checkpoints of PyTorch's world call the parameters of the zoo's networks: torchvision, timm, EfficientNet-PyTorch.

Networks of the zoo have torchvision's names, so torchvision's checkpoints need no table; for others one lists the modules
that are called otherwise. No JAX, no Flax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from generator.zoo.contract import Convert
from generator.zoo.stages import V2_STAGES, V3

_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
#: DenseNet's published files date from when module names could hold dots.
_OLD_DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12])")


def converting(
    renamed: Mapping[str, str] | None = None, *, flat: tuple[str, ...] = (), unused: tuple[str, ...] = ()
) -> Convert:
    """A conversion of PyTorch's tensors.

    renamed: modules that are called otherwise than in the zoo, to their names there. flat: modules whose kernels are those
    of convolutions over a whole map, where the zoo has a linear layer. unused: modules that only training needs.

    Kernels turn from `(cout, cin, kh, kw)` to `(kh, kw, cin, cout)` and from `(cout, cin)` to `(cin, cout)`.
    """
    renamed = renamed or {}

    def convert(key: str, array: np.ndarray) -> tuple[str, np.ndarray] | None:
        module, _, parameter = key.rpartition(".")
        if parameter == "num_batches_tracked" or module.partition(".")[0] in unused:
            return None
        path = renamed.get(module, module.replace(".", "/"))
        if parameter == "weight" and array.ndim == 4 and module in flat:
            return f"{path}/kernel", array.reshape(len(array), -1).T
        if parameter == "weight" and array.ndim == 4:
            return f"{path}/kernel", array.transpose(2, 3, 1, 0)
        if parameter == "weight" and array.ndim == 2:
            return f"{path}/kernel", array.T
        return (f"{path}/{_NORM[parameter]}", array) if parameter in _NORM else (key, array)

    return convert


def vgg() -> Convert:
    """timm's VGGs have their first two linear layers as convolutions."""
    renamed = {"pre_logits.fc1": "classifier/0", "pre_logits.fc2": "classifier/3", "head.fc": "classifier/6"}
    return converting(renamed, flat=("pre_logits.fc1", "pre_logits.fc2"))


def densenet() -> Convert:
    """torchvision's published file, too, has names that its module no longer has."""
    convert = converting()

    def newer(key: str, array: np.ndarray) -> tuple[str, np.ndarray] | None:
        module, dot, parameter = key.rpartition(".")
        match = _OLD_DENSE_LAYER.fullmatch(module)
        return convert("".join([*match.groups(), dot, parameter]) if match else key, array)

    return newer


def mobilenet_v2() -> Convert:
    renamed = {"conv_stem": "features/0/0", "bn1": "features/0/1", "classifier": "classifier/1"}
    number = 0
    for stage, (expansion, _, repeats, _) in enumerate(V2_STAGES):
        for repeat in range(repeats):
            number += 1
            ours = f"features/{number}/conv"
            last = 2 if expansion > 1 else 1
            places = [f"{ours}/{index}/{part}" for index in range(last) for part in (0, 1)]
            places += [f"{ours}/{last}", f"{ours}/{last + 1}"]
            renamed.update(zip(_timm_block(f"blocks.{stage}.{repeat}", widens=expansion > 1), places, strict=True))
    renamed.update({"conv_head": f"features/{number + 1}/0", "bn2": f"features/{number + 1}/1"})
    return converting(renamed)


def mobilenet_v3(variant: V3) -> Convert:
    renamed = {"conv_stem": "features/0/0", "bn1": "features/0/1", "conv_head": "classifier/0", "classifier": "classifier/3"}
    number, in_features = 0, 16
    for stage, blocks in enumerate(variant.stages):
        for repeat, block in enumerate(blocks):
            number += 1
            theirs, ours = f"blocks.{stage}.{repeat}", f"features/{number}/block"
            widens = block.inner != in_features
            squeezing = 2 if widens else 1
            last = squeezing + block.squeezed
            places = [f"{ours}/{index}/{part}" for index in (*range(squeezing), last) for part in (0, 1)]
            renamed.update(zip(_timm_block(theirs, widens=widens), places, strict=True))
            if block.squeezed:
                renamed[f"{theirs}.se.conv_reduce"] = f"{ours}/{squeezing}/fc1"
                renamed[f"{theirs}.se.conv_expand"] = f"{ours}/{squeezing}/fc2"
            in_features = block.features
    final = f"blocks.{len(variant.stages)}.0"
    renamed.update({f"{final}.conv": f"features/{number + 1}/0", f"{final}.bn1": f"features/{number + 1}/1"})
    return converting(renamed, flat=("conv_head",))


def _timm_block(block: str, *, widens: bool) -> list[str]:
    """timm's names for the convolutions and norms of an inverted residual, in order."""
    parts = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3") if widens else ("conv_dw", "bn1", "conv_pw", "bn2")
    return [f"{block}.{part}" for part in parts]


def efficientnet_lite(repeats: tuple[int, ...]) -> Convert:
    """timm's names, and those of EfficientNet-PyTorch (Luke Melas-Kyriazi), which begin with underscores.

    repeats: blocks of each stage; only those of the first do not widen.
    """
    renamed = {"conv_stem": "stem", "bn1": "stem", "conv_head": "head", "bn2": "head", "classifier": "classifier"}
    for number, (stage, repeat) in enumerate(_numbered(repeats)):
        parts = ("expand", "depthwise", "project") if stage else ("depthwise", "project")
        theirs = _timm_block(f"blocks.{stage}.{repeat}", widens=stage > 0)
        renamed.update(zip(theirs, (f"blocks/{number}/{part}" for part in parts for _ in range(2)), strict=True))
    of_timm = converting(renamed)

    def convert(key: str, array: np.ndarray) -> tuple[str, np.ndarray] | None:
        if key.startswith("_"):
            from generator.zoo.efficientnet_lite0 import from_torch  # with it comes Flax

            return from_torch(key, array)
        return of_timm(key, array) if key.rpartition(".")[0] in renamed else (key, array)

    return convert


def _numbered(repeats: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    return ((stage, repeat) for stage, count in enumerate(repeats) for repeat in range(count))
