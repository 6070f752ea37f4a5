"""Networks that were exported for one image, run on many.

Such a file may do with the axis of images what it likes, as it is of size 1: join it with others, take it away, sum over it.
So as long as a node leaves the first axis alone, it runs on all images at once. Any other node runs on each image by itself
(`jax.vmap`), and what it returns without an axis of size 1 in front is a value of each image from then on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.registry import Node
from generator.sources.onnx_graph.values import Value

#: Operators that compute every value from those at the same place.
_ELEMENTWISE = frozenset(
    {
        *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseAnd", "BitwiseNot"),
        *("BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Dropout", "Elu"),
        *("Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity"),
        *("IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg"),
        *("Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh"),
        *("Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor"),
        *(f"com.microsoft:QLinear{name}" for name in ("Add", "Mul", "LeakyRelu", "Sigmoid")),
    }
)
#: Operators that look at each image by itself, if only their first input depends on the images.
_BY_IMAGE = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "BatchNormalization", "LRN"),
        *("InstanceNormalization", "GroupNormalization", "DepthToSpace", "SpaceToDepth"),
        *("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
        *("com.microsoft:QLinearAveragePool", "com.microsoft:QLinearGlobalAveragePool"),
    }
)
#: Operators along one axis, and which one it is where the file does not say.
_ALONG = {
    **dict.fromkeys(("LpNormalization", "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), -1),
    **dict.fromkeys(("com.microsoft:SimplifiedLayerNormalization", "TopK"), -1),
    **dict.fromkeys(("ArgMax", "ArgMin", "Split", "Gather"), 0),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "com.microsoft:QLinearSoftmax"), 1),
}


@dataclass(frozen=True)
class Each:
    """A value of each image by itself. value: its first axis in memory counts images and is none of its logical axes."""

    array: jax.Array
    order: tuple[int, ...]
    known = False


def each_image(
    run: Callable[[Sequence[Value | None]], Sequence[Value]], inputs: Sequence[Value | Each | None], moving: Sequence[bool]
) -> list[Value | Each]:
    """`run`, a node's function, on each image by itself. moving: which inputs depend on the images."""
    places, arrays = [], []
    for value in (value for value, moves in zip(inputs, moving, strict=True) if moves):
        places.append(0 if isinstance(value, Each) else value.order.index(0))
        arrays.append(value.array)
    found: list[Value] = []

    def one(*parts: jax.Array) -> list[jax.Array]:
        rest = iter(zip(parts, places, strict=True))
        given: list[Value | None] = []
        for value, moves in zip(inputs, moving, strict=True):
            if not moves:
                given.append(value)
                continue
            part, place = next(rest)
            given.append(Value(part if isinstance(value, Each) else jnp.expand_dims(part, place), value.order))
        found[:] = run(given)
        return [value.array for value in found if not value.known]

    results = iter(jax.vmap(one, in_axes=tuple(places))(*arrays))
    return [value if value.known else _joined(next(results), value) for value in found]


def _joined(array: jax.Array, value: Value) -> Value | Each:
    """value: of one image; array: of all, the axis of images in front."""
    if value.rank == 0 or value.shape[0] != 1:
        return Each(array, value.order)
    place = value.order.index(0)
    return Value(jnp.moveaxis(array.squeeze(place + 1), 0, place), value.order)


def leaves_images_apart(node: Node, inputs: Sequence[Value | None], moving: Sequence[bool]) -> bool:
    """Whether a node does the same to all images, the first logical axis of what depends on them, and to each by itself."""
    x, kind = inputs[0], node.operator
    rank = max(value.rank for value in inputs if value is not None)
    if kind in _ELEMENTWISE:
        return all(
            value is None or (value.rank == rank if moves else value.rank < rank or value.shape[0] == 1)
            for value, moves in zip(inputs, moving, strict=True)
        )
    if kind == "Concat":
        return all(moving) and node.get("axis", 1) % rank != 0
    if kind == "MatMul" and all(value.rank > 1 for value in inputs):
        return _multiplies_apart(inputs, moving)
    if kind == "com.microsoft:FusedConv":
        return moving[0] and not any(moving[1:3])  # what is added at the end has a value for each image, too
    if not moving[0] or any(moving[1:]) or x.rank == 0:
        return False
    if kind in _BY_IMAGE:
        return len(list(filter(None, node.outputs))) == 1  # places of maxima count from the first image on
    if kind in _ALONG:
        return node.get("axis", _ALONG[kind]) % x.rank != 0
    if kind in ("Softmax", "LogSoftmax", "Hardmax"):
        return node.get("axis", -1 if node.opset >= 13 else 1) % x.rank != 0
    if kind == "Gemm":
        return not node.get("transA", 0) and all(value is None or value.rank < 2 or value.shape[0] == 1 for value in inputs[2:])
    if kind in ("QLinearMatMul", "com.microsoft:QGemm"):
        return x.rank > 1 and inputs[3].rank == 2 and not node.get("transA", 0)
    return _shapes_apart(node, inputs)


def _multiplies_apart(inputs: Sequence[Value | None], moving: Sequence[bool]) -> bool:
    (left, right), (left_moves, right_moves) = inputs, moving
    if left_moves and right_moves:
        return left.rank == right.rank > 2
    fixed, value = (right, left) if left_moves else (left, right)
    if value.rank == 2:
        return left_moves and fixed.rank == 2
    return fixed.rank < value.rank or (fixed.rank == value.rank and fixed.shape[0] == 1)


def _shapes_apart(node: Node, inputs: Sequence[Value | None]) -> bool:
    """The same for operators that change shapes, told by numbers that must be known."""
    x, kind = inputs[0], node.operator

    def numbers(place: int, attribute: str) -> list[float] | None:
        if len(inputs) > place and inputs[place] is not None:
            return inputs[place].logical.reshape(-1).tolist() if inputs[place].known else None
        return node.get(attribute)

    match kind:
        case "Transpose":
            return bool(node.get("perm")) and node.get("perm")[0] == 0
        case "Flatten":
            return node.get("axis", 1) % max(x.rank, 1) == 1
        case "Squeeze" | "Unsqueeze":
            axes = numbers(1, "axes")
            rank = x.rank + (len(axes) if axes and kind == "Unsqueeze" else 0)
            return bool(axes) and all(axis % rank != 0 for axis in axes)
        case "Reshape":
            return _begins_with_one(numbers(1, "shape"), x, node)
        case "Expand":
            target = numbers(1, "shape") or []
            return len(target) < x.rank or (len(target) == x.rank and target[0] == 1)
        case "Tile":
            return (numbers(1, "repeats") or [0])[0] == 1
        case "Resize" | "Upsample":
            scales = numbers(1 if node.opset < 11 or kind == "Upsample" else 2, "scales") or numbers(3, "sizes") or [0]
            return 0 not in [a % x.rank for a in node.get("axes") or ()] if node.get("axes") else scales[0] == 1
        case "Slice":
            starts, axes = numbers(1, "starts"), numbers(3, "axes")
            return bool(starts) and bool(axes) and all(axis % x.rank != 0 for axis in axes)
        case "Pad":
            amounts, axes = numbers(1, "pads"), numbers(3, "axes") if len(inputs) > 3 else range(x.rank)
            widths = zip(axes, amounts[: len(amounts) // 2], amounts[len(amounts) // 2 :], strict=False) if amounts else ()
            return bool(amounts) and all(axis % x.rank != 0 or (before, after) == (0, 0) for axis, before, after in widths)
        case "CumSum":
            return (numbers(1, "") or [0])[0] % x.rank != 0
        case _ if kind.startswith("Reduce"):
            axes = numbers(1, "axes")
            return bool(axes) and all(axis % x.rank != 0 for axis in axes)
    return False


def _begins_with_one(target: Sequence[float] | None, x: Value, node: Node) -> bool:
    """Whether the first axis of a reshaped value counts images, as it is 1 for one image."""
    if not target:
        return False
    if target[0] == 0 and not node.get("allowzero", 0):
        return True
    if target[0] != -1:
        return target[0] == 1
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    return math.prod(sizes[1:]) == math.prod(x.shape[1:])


#: Operators that read a shape, and as which input.
_SHAPES = {"Reshape": 1, "Expand": 1, "Resize": 3}


def adapted(node: Node, inputs: list[Value | None], exported: int) -> list[Value | None]:
    """The inputs of a node, the sizes that it makes of `exported` images made for the actual number of images."""
    place = _SHAPES.get(node.operator, len(inputs))
    data, shape = (inputs[0], inputs[place]) if place < len(inputs) else (None, None)
    if data is None or shape is None or not shape.known or shape.array.size == 0 or data.rank == 0:
        return inputs
    if shape.array[0] != exported or shape.array.size != (data.rank if node.operator == "Resize" else shape.array.size):
        return inputs
    actual = np.concatenate([[data.shape[0]], shape.array[1:]]).astype(np.int64)
    return [*inputs[:place], Value.of(actual), *inputs[place + 1 :]]
