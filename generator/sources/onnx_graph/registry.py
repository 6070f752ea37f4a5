"""Which function computes which ONNX operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what reads files, to describe them, imports no JAX
    from generator.sources.onnx_graph.values import Value


@dataclass(frozen=True)
class Node:
    """One node of the file. name: its own, or its first output's. attributes: by name, as Python and NumPy values (text
    decoded; graphs as `reading.Graph`). opset: the version of its domain that the file states. scopes: names of the modules
    that it is part of, outermost first, where the exporter notes them. named: whether the file gives it a name.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    scopes: tuple[str, ...] = ()
    named: bool = True

    def get(self, attribute: str, default: Any = None) -> Any:
        return self.attributes.get(attribute, default)


class UnsupportedError(Exception):
    """A node asks for something that its operator here does not do; says what, without place and way out."""


#: Larger tensors are not made out of smaller ones while a file is loaded: no CNN needs one, and a few bytes could ask for any.
MOST_NUMBERS = 1 << 26
#: ... nor out of one image while the network runs.
MOST_OF_IMAGE = 1 << 28


def affordable(shape: Sequence[int], inputs: Sequence[Value | None]) -> None:
    """Refuses a tensor of `shape` that is far larger than all that it is made of; to be called before it is made."""
    given = [value for value in inputs if value is not None]
    live = [value for value in given if not value.known]
    size = math.prod(int(length) for length in shape)
    if live:
        most = MOST_OF_IMAGE * max([1, *(value.shape[0] for value in live if value.rank)])
        if size > most:
            raise UnsupportedError(f"makes {size:,} numbers of its images, more than {most:,}")
    elif size > max([MOST_NUMBERS, *(value.array.size for value in given)]):
        raise UnsupportedError(f"makes a constant of {size:,} numbers, more than {MOST_NUMBERS:,}")


#: A function from the node and its inputs (None for one that is left out) to its outputs, in order.
Operator = Callable[[Node, Sequence["Value | None"]], Sequence["Value"]]

OPERATORS: dict[str, Operator] = {}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Registers a function for operators of the default domain. It serves every opset: `node.opset` tells versions apart."""

    def register(function: Operator) -> Operator:
        for name in names:
            assert name not in OPERATORS, name
            OPERATORS[name] = function
        return function

    return register
