"""Operators whose kernel is quantised, written as those that dequantise, the plain operator, and one that quantises.

What the file knows is then computed while it is loaded, as everything else: the kernel becomes a parameter, in real numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from generator.sources.onnx_graph.registry import Node

#: Which operator a quantised one is, and as which inputs its kernel, its bias and the scale of its outputs come.
_PLAIN = {
    "QLinearConv": ("Conv", 3, 8, 6),
    "ConvInteger": ("Conv", 1, None, None),
    "QLinearMatMul": ("MatMul", 3, None, 6),
    "MatMulInteger": ("MatMul", 1, None, None),
    "com.microsoft:QGemm": ("Gemm", 3, 6, 7),
}
_OPSET = 13  # of the nodes that are made here


def plain(nodes: Sequence[Node], known: Collection[str]) -> list[Node]:
    """The nodes, with those replaced whose kernels are among the `known` tensors."""
    found: list[Node] = []
    for node in nodes:
        kernel = _PLAIN[node.operator][1] if node.operator in _PLAIN else None
        if kernel is not None and len(node.inputs) > kernel and node.inputs[kernel] in known:
            found += _replaced(node)
        else:
            found.append(node)
    return found


def _replaced(node: Node) -> list[Node]:
    operator, kernel, bias, result = _PLAIN[node.operator]
    inputs = [*node.inputs, *[""] * (9 - len(node.inputs))]
    start, made = node.outputs[0], []

    def add(operator: str, *names: str, **attributes: object) -> str:
        name = f"{start}/{operator}_{len(made)}"
        made.append(replace(node, operator=operator, inputs=names, outputs=(name,), attributes=attributes, opset=_OPSET))
        return name

    def real(values: str, scale: str, zero: str, axis: int) -> str:
        return add("DequantizeLinear", values, scale, *([zero] if zero else []), axis=axis)

    if kernel == 1:  # images and kernel, then where their zeros lie
        one = add("Constant", value=np.float32(1))
        image, weights = (inputs[0], one, inputs[2]), (inputs[1], one, inputs[3])
    else:
        image, weights = inputs[0:3], inputs[3:6]
    columns = operator != "Conv" and not node.get("transB", 0)
    terms = [real(*image, axis=0), real(*weights, axis=-1 if columns else 0)]
    if bias is not None and inputs[bias]:
        step = add("Mul", image[1], weights[1])
        if node.get("alpha", 1.0) != 1:
            step = add("Mul", step, add("Constant", value=np.float32(node.get("alpha"))))
        terms.append(add("Mul", add("Cast", inputs[bias], to=1), step))
    kept = {name: value for name, value in node.attributes.items() if name not in ("zero_point", "opset")}
    product = replace(node, operator=operator, inputs=tuple(terms), outputs=(f"{start}/real",), attributes=kept, opset=_OPSET)
    made.append(product)
    (real_name,) = product.outputs
    if result is None:
        add("Cast", add("Round", real_name), to=6)
    elif inputs[result]:
        add("QuantizeLinear", real_name, *filter(None, inputs[result : result + 2]))
    made[-1] = replace(made[-1], outputs=node.outputs)
    return made
