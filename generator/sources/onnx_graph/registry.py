"""Which function computes which ONNX operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


#: A function from the node and its inputs (None for one that is left out) to its outputs, in order.
Operator = Callable[[Node, Sequence[Value | None]], Sequence[Value]]

OPERATORS: dict[str, Operator] = {}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Registers a function for operators of the default domain. It serves every opset: `node.opset` tells versions apart."""

    def register(function: Operator) -> Operator:
        for name in names:
            assert name not in OPERATORS, name
            OPERATORS[name] = function
        return function

    return register
