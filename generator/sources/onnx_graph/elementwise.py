"""Arithmetic, comparison, logic and conversion, value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from generator.sources.onnx_graph.registry import Node, UnsupportedError, affordable, operator
from generator.sources.onnx_graph.values import Value, side_by_side

_UNARY: dict[str, str] = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "BitwiseNot": "invert",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Exp": "exp",
    "Floor": "floor",
    "IsNaN": "isnan",
    "Log": "log",
    "Neg": "negative",
    "Not": "logical_not",
    "Round": "round",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
}
_BINARY: dict[str, str] = {
    "Add": "add",
    "And": "logical_and",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Max": "maximum",
    "Min": "minimum",
    "Mul": "multiply",
    "Or": "logical_or",
    "Sub": "subtract",
    "Sum": "add",
    "Xor": "logical_xor",
}


def module(values: Sequence[Value | None]) -> Any:
    """NumPy where all is known, so that whole numbers stay exact; JAX's elsewhere."""
    return np if all(value is None or value.known for value in values) else jnp


@operator(*_UNARY)
def unary(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    return [Value(getattr(module(inputs), _UNARY[node.operator])(x.array), x.order)]


@operator("Reciprocal")
def reciprocal(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    return [Value(1 / x.array, x.order)]


@operator("Erf")
def erf(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    return [Value(jax.lax.erf(jnp.asarray(x.array)), x.order)]


@operator("IsInf")
def is_inf(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    xp = module(inputs)
    found = xp.zeros(x.array.shape, bool)
    if node.get("detect_positive", 1):
        found = found | xp.isposinf(x.array)
    if node.get("detect_negative", 1):
        found = found | xp.isneginf(x.array)
    return [Value(found, x.order)]


def _together(inputs: Sequence[Value | None], function: Callable[[Any, Any], Any]) -> Sequence[Value]:
    arrays, order = side_by_side([value for value in inputs if value is not None])
    affordable(np.broadcast_shapes(*(np.shape(array) for array in arrays)), inputs)
    return [Value(_array(reduce(function, arrays), inputs), order)]


def aligned(node: Node, inputs: Sequence[Value | None], axis: int | None) -> Sequence[Value | None]:
    """Inputs of opsets before 7, whose second one begins at an axis of the first; since then they end with the same axis."""
    if node.opset >= 7 or axis is None or inputs[1].array.size == 1:
        return inputs
    first, second = inputs
    beyond = first.rank - axis % first.rank - second.rank
    return [first, Value.of(second.logical.reshape(second.shape + (1,) * beyond))]


def _array(found: Any, inputs: Sequence[Value | None]) -> Any:
    return np.asarray(found) if module(inputs) is np else found


@operator(*_BINARY)
def binary(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    return _together(aligned(node, inputs, node.get("axis")), getattr(module(inputs), _BINARY[node.operator]))


@operator("Mean")
def mean(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    (total,) = _together(inputs, module(inputs).add)
    return [Value(total.array / len(inputs), total.order)]


@operator("Div")
def divide(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """Whole numbers are divided towards zero."""
    xp = module(inputs)

    def quotient(a: Any, b: Any) -> Any:
        if np.dtype(a.dtype).kind not in "iu":
            return xp.divide(a, b)
        exact = xp.floor_divide(a, b)
        return exact + ((exact < 0) & (exact * b != a)).astype(a.dtype)

    return _together(aligned(node, inputs, node.get("axis")), quotient)


@operator("Pow")
def power(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    xp = module(inputs)

    def raised(a: Any, b: Any) -> Any:
        if xp is jnp and isinstance(b, np.ndarray) and b.ndim == 0 and float(b).is_integer() and abs(int(b)) <= 8:
            return (a ** int(b)).astype(a.dtype)  # exact, and with a gradient at zero
        return xp.power(a, b).astype(a.dtype if xp is np else jax.dtypes.canonicalize_dtype(a.dtype))

    return _together(aligned(node, inputs, node.get("axis")), raised)


@operator("Mod")
def modulo(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    xp = module(inputs)
    return _together(inputs, xp.fmod if node.get("fmod", 0) else xp.mod)


@operator("BitShift")
def bit_shift(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    xp = module(inputs)
    return _together(inputs, xp.left_shift if node.get("direction") == "LEFT" else xp.right_shift)


@operator("Where")
def where(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    arrays, order = side_by_side(inputs)
    affordable(np.broadcast_shapes(*(np.shape(array) for array in arrays)), inputs)
    condition, *sides = arrays
    if module(inputs) is np:
        return [Value(np.where(condition, *sides), order)]
    return [Value(jnp.where(condition.astype(bool), *sides), order)]


@operator("Identity", "Dropout", "com.microsoft:Identity")
def identity(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    x = inputs[0]
    if len(node.outputs) < 2:
        return [x]
    kept = np.ones(x.array.shape, bool)  # dropout drops nothing after training
    return [x, Value(kept, x.order)]


@operator("Cast", "CastLike")
def cast(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """Known values get the type itself; what is computed stays float32 whatever float type it is cast to."""
    from onnx import TensorProto, helper

    x = inputs[0]
    if node.operator == "CastLike":
        dtype = np.dtype(inputs[1].array.dtype)
    else:
        if node.get("to") == TensorProto.STRING:
            raise UnsupportedError("converts numbers to text")
        dtype = helper.tensor_dtype_to_np_dtype(node.get("to"))
    if dtype.name.startswith("float8") and jnp.issubdtype(x.array.dtype, jnp.floating):
        found = float8(x.array, dtype, bool(node.get("saturate", 1)))
        return [Value(found if x.known else found.astype(jnp.float32), x.order)]
    if x.known:
        return [Value(x.array.astype(dtype), x.order)]
    if dtype == np.dtype(bool):
        return [Value(x.array != 0, x.order)]
    if jnp.issubdtype(dtype, jnp.floating):
        return [x if x.array.dtype == jnp.float32 else Value(x.array.astype(jnp.float32), x.order)]
    if dtype.name in ("int2", "uint2", "int4", "uint4"):
        return [Value(_few_bits(x.array, dtype), x.order)]
    return [Value(x.array.astype(jax.dtypes.canonicalize_dtype(dtype)), x.order)]


def float8(array: Any, dtype: np.dtype, saturate: bool) -> Any:
    """Rounded to eight bits; what lies beyond them becomes the largest number, or infinity or NaN without `saturate`."""
    import ml_dtypes

    limit = float(ml_dtypes.finfo(dtype).max)
    return (array.clip(-limit, limit) if saturate else array).astype(dtype)


def _few_bits(array: jax.Array, dtype: np.dtype) -> jax.Array:
    """Whole numbers of two or four bits in int8, wrapped around as NumPy's are: JAX would clip them."""
    import ml_dtypes

    info = ml_dtypes.iinfo(dtype)
    return (((array.astype(jnp.int32) - int(info.min)) & ((1 << info.bits) - 1)) + int(info.min)).astype(jnp.int8)
