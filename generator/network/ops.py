"""What JAX's primitives mean to a network: which are elementwise, which only move data, and what a join is called."""

from __future__ import annotations

#: One value in, one value out at each position, affine in the image-dependent operand if the others are constants.
AFFINE = frozenset({"add", "sub", "mul", "div", "neg", "add_any", "convert_element_type", "copy", "copy_p", "reduce_precision"})

#: Elementwise, but not affine.
NONLINEAR = frozenset(
    [
        "abs",
        "acos",
        "acosh",
        "and",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "cbrt",
        "ceil",
        "clamp",
        "cos",
        "cosh",
        "eq",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "ge",
        "gt",
        "integer_pow",
        "is_finite",
        "le",
        "log",
        "log1p",
        "logistic",
        "lt",
        "max",
        "min",
        "ne",
        "not",
        "or",
        "pow",
        "rem",
        "round",
        "rsqrt",
        "select_n",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "stop_gradient",
        "tan",
        "tanh",
        "xor",
    ]
)

#: Rearranges values without computing any.
MOVES = frozenset(
    {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "rev", "pad", "slice", "optimization_barrier"}
)

ELEMENTWISE = AFFINE | NONLINEAR

REDUCTIONS = frozenset({"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"})

#: Kinds of nodes that do not come from a kernel.
KINDS = {
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "avg_pool",
    "reduce_sum": "mean",
    "reduce_max": "global_max",
    "add": "add",
    "add_any": "add",
    "sub": "subtract",
    "mul": "gate",
    "div": "divide",
    "max": "maximum",
    "min": "minimum",
    "concatenate": "concat",
    "split": "slice",
    "select_n": "select",
    "dot_general": "matmul",
    "conv_general_dilated": "filtering",
    "rev": "reverse",
}

#: ... and of reductions that leave one channel.
OVER_CHANNELS = {"reduce_sum": "channel_mean", "reduce_max": "channel_max"}

#: ... and of those over the rows and columns of blocks that a map was reshaped into.
OVER_BLOCKS = {"reduce_sum": "avg_pool", "reduce_max": "max_pool"}

#: Names that frameworks give to the weights inside a layer; the layer's own name is what stands before.
KERNEL_NAMES = frozenset({"kernel", "weight", "w", "W", "weights", "embedding", "depthwise_kernel", "pointwise_kernel"})

#: Activation functions by the name of the jitted function they are inlined from.
ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "silu": "SiLU",
    "swish": "SiLU",
    "hard_silu": "hard swish",
    "hard_swish": "hard swish",
    "hard_sigmoid": "hard sigmoid",
    "gelu": "GELU",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "leaky_relu": "leaky ReLU",
    "softplus": "softplus",
    "soft_sign": "softsign",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hard_tanh": "hard tanh",
    "softmax": "softmax",
    "log_softmax": "log-softmax",
    "mish": "Mish",
}

#: ... and by the primitive, for functions written out by hand.
ACTIVATION_PRIMITIVES = {"clamp": "clip", "reduce_max": "softmax", "logistic": "sigmoid", "tanh": "tanh", "erf": "GELU"}

#: What a function is called once its result multiplies the value it was computed from.
GATED = {"sigmoid": "SiLU", "tanh": "GELU", "ReLU6": "hard swish", "hard sigmoid": "hard swish"}
