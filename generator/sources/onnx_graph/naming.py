"""Names that a network's owner knows, from what exporters write.

An initializer that is called `features.0.weight` says whose weight it is. Others have names that only the exporter knows
(`onnx::Conv_123`); then the node that reads it says so, in its own name or in the modules that it is part of.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from generator.sources.onnx_graph.registry import Node

#: Initializers whose names are the exporter's own.
_ANONYMOUS = re.compile(
    r"(onnx::|val_|_v_|v_|t_|tmp|const|new_|fused|folded|ortshared|/|StatefulPartitionedCall|.*(ReadVariableOp|:\d+$|__\d+$)|\W*\d+$).*",
    re.IGNORECASE,
)
#: ... unless they look like an attribute of a module.
_OWNED = re.compile(r"[^:/]+\.[A-Za-z]\w*")
#: What the inputs of an operator are called, in order, where their names say nothing.
_ROLES = {
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "Gemm": ("weight", "weight", "bias"),
    "MatMul": ("weight", "weight"),
    "BatchNormalization": ("", "scale", "bias", "mean", "var"),
    "InstanceNormalization": ("", "scale", "bias"),
    "GroupNormalization": ("", "scale", "bias"),
    "LayerNormalization": ("", "scale", "bias"),
    "PRelu": ("", "slope"),
}
#: No module is nested deeper, and no name is longer, than a damaged file says.
_DEEPEST, _LONGEST = 64, 1000
#: Operators as exporters write them at the end of a node's name, besides ONNX's own.
_TYPES = frozenset({"conv2d", "matmul", "depthwise", "biasadd", "fusedbatchnormv3", "convolution", "addmm", "linear"})
#: Operators with a kernel, their second input.
KERNELS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})


def node_paths(nodes: Sequence[Node]) -> dict[int, str]:
    """The path of each node's layer, by the node's `id`: `layer1/0/conv1`, and of what is no module by itself, `layer1/0/add`.

    What all names begin with (a name of the whole graph, `StatefulPartitionedCall/resnet50`) is left away.
    """
    split = {id(node): _split(node) for node in nodes}
    modules = [module for module, _ in split.values()]
    start = _shared_start([module for module in modules if module])
    within = Counter(tuple(module[:end]) for module in modules for end in range(len(module) + 1))
    exactly = Counter(map(tuple, modules))
    kinds = defaultdict(set)
    for node in nodes:
        kinds[tuple(split[id(node)][0])].add(node.operator)
    numbers: Counter[str] = Counter()
    paths = {}
    for node in nodes:
        module, leaf = split[id(node)]
        # Whatever a module does, if it does one thing alone, the module's name says it.
        alone = len(module) > start and len(kinds[tuple(module)]) == 1 and within[tuple(module)] == exactly[tuple(module)]
        path = "/".join(
            module[start:] if alone or (node.operator in KERNELS and len(module) > start) else [*module[start:], leaf]
        )
        if not path:
            numbers[node.operator] += 1
            path = f"{node.operator.rpartition(':')[2]}_{numbers[node.operator]}"
        paths[id(node)] = path
    return paths


def _split(node: Node) -> tuple[list[str], str]:
    """The modules that a node is part of, and its own name there."""
    operator = node.operator.rpartition(":")[2].lower()
    scopes = [scope[:_LONGEST] for scope in node.scopes if scope][:_DEEPEST]
    if scopes:
        return _modules(scopes), operator
    if not node.named:
        return [], ""
    *modules, leaf = [part for part in node.name[:_LONGEST].strip("/").split("/") if part][-_DEEPEST:] or [""]
    kind = re.sub(r"(_quant)?(_\d+)?$", "", leaf).lower()
    if kind in _TYPES or kind == operator:
        leaf = leaf.lower() if modules else leaf
    else:
        modules, leaf = [*modules, leaf], operator
        return (_modules(modules), leaf) if len(modules) > 1 else ([], printable(modules[0]))
    return _modules(modules), printable(leaf)


def _modules(scopes: Iterable[str]) -> list[str]:
    """Nested modules: `layer1`, `layer1.0`, `layer1.0.conv1` and `layer1`, `layer1.0`, `conv1` are `layer1`, `0`, `conv1`."""
    found: list[str] = []
    for scope in scopes:
        parts = scope.split(".")
        for end in range(len(found), 0, -1):
            if parts[:end] == found[-end:] and len(parts) > end:
                parts = parts[end:]
                break
        found += parts
    return [printable(part) for part in found[:_DEEPEST]]


def _shared_start(modules: Sequence[Sequence[str]]) -> int:
    """How many modules all of them are part of; the innermost of each counts as its own."""
    start = 0
    while len(modules) > 1 and all(len(module) > start + 1 for module in modules) and len({m[start] for m in modules}) == 1:
        start += 1
    return start


def printable(text: str) -> str:
    """A part of a path, whatever bytes the file holds."""
    return "".join(c if c.isprintable() and c not in "/@" else "_" for c in text).strip() or "_"


class ParameterNames:
    """Gives every parameter a path of its own; none begins another one."""

    def __init__(self, paths: Mapping[int, str]):
        self._paths = paths
        self._taken: set[str] = set()
        self._folders: set[str] = set()

    def name(self, initializer: str, node: Node, position: int) -> str:
        """The path of what `node` reads as its input number `position`. initializer: the file's name for it, if it has any."""
        plain = re.sub(r"(_quantized|_DequantizeLinear.*|_dequantized)$", "", initializer)
        if _OWNED.fullmatch(plain) or ("/" in plain and not _ANONYMOUS.match(plain)):
            wanted = "/".join([printable(part) for part in re.split(r"[./]", plain[:_LONGEST]) if part][-_DEEPEST:])
        else:
            roles = _ROLES.get(node.operator, ())
            wanted = f"{self._paths[id(node)]}/{roles[position] if position < len(roles) else f'value_{position}'}"
        return self._free(wanted)

    def _free(self, wanted: str) -> str:
        number, path = 1, wanted
        while path in self._taken or path in self._folders or any(p in self._taken for p in _above(path)):
            number += 1
            head, slash, leaf = wanted.rpartition("/")
            path = f"{head}_{number}{slash}{leaf}" if slash else f"{wanted}_{number}"
        self._taken.add(path)
        self._folders.update(_above(path))
        return path


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
