"""A pickle interpreter that can only build plain data.

Python's own unpickler is a small program runner: a pickle names functions and has them called. This one walks the same
instructions (split by the standard library's `pickletools`) with a stack of its own. The only things it can call are the
functions that its caller hands in, so there is no code in a file that could run. Instructions that plain data do
not need are refused.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from io import BytesIO
from types import NoneType
from typing import Any


class DamagedError(ValueError):
    """The bytes are not what a complete, well-formed file holds. way_out: if another copy of the file would not help."""

    def __init__(self, message: str, way_out: str = "the file is damaged or incomplete: copy or download it again"):
        super().__init__(message)
        self.way_out = way_out


class ForeignGlobalError(ValueError):
    """A pickle refers to a class or function that is not on the list. name: `module.name`."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Function:
    """A function that a pickle may call."""

    call: Callable[..., Any]


class Stateful:
    """What a pickle makes in two steps: a call, and then a state."""

    def set_state(self, state: Any) -> None:
        raise NotImplementedError


#: Instructions that push their own argument.
_CONSTANTS = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
)
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_MAX_KEY = 2**32
#: Elements that calls may take and give, for each byte of the file.
_ELEMENTS_PER_BYTE = 4


@dataclass
class _Machine:
    allowed: Mapping[str, Any]
    persistent: Callable[[Any], Any]
    budget: int
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def to_mark(self) -> list[Any]:
        """Takes everything above the topmost mark, and the mark, off the stack."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise DamagedError("an instruction refers to a mark that does not exist")

    def find_global(self, name: str) -> Any:
        if name not in self.allowed:
            raise ForeignGlobalError(name)
        return self.allowed[name]

    def fill(self, items: list[Any]) -> None:
        """Puts keys and values in turn into the dictionary on top of the stack."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise DamagedError("keys and values do not go into a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | bytes | NoneType):
                raise DamagedError("a dictionary's key is neither text nor number")
            # Numbers can be chosen so that all of them fall into one place of the table.
            if isinstance(key, int | float) and not abs(key) < _MAX_KEY:
                raise DamagedError("a dictionary's key is too large a number")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise DamagedError("values are appended to something that is not a list")
        self.stack[-1].extend(items)

    def charge(self, *values: Any) -> None:
        """What the memo gives costs a few bytes, which could ask for one copy of a long list after another."""
        self.budget -= len(values) + sum(len(value) for value in values if isinstance(value, Sized))
        if self.budget < 0:
            raise DamagedError("it asks for more than it holds")

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise DamagedError("something is called that is not a function")
        result = function.call(*arguments)
        self.charge(*arguments, result)
        self.stack.append(result)

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case _ if name in _CONSTANTS:
                stack.append(argument)
            case _ if name in _FIXED:
                stack.append(_FIXED[name])
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                stack.append(_MARK)
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.to_mark()
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE":
                stack.append(tuple(self.to_mark()))
            case "LIST":
                stack.append(self.to_mark())
            case "DICT":
                items = self.to_mark()
                stack.append({})
                self.fill(items)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = _TUPLES[name]
                if len(stack) < count:
                    raise DamagedError("the stack is empty")
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                value = stack.pop()
                self.extend([value])
            case "APPENDS":
                self.extend(self.to_mark())
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.fill([key, value])
            case "SETITEMS":
                self.fill(self.to_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(self.find_global(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(self.find_global(f"{module}.{attribute}"))
            case "BINPERSID":
                stack.append(self.persistent(stack.pop()))
            case "REDUCE":
                self.call()
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Stateful):
                    self.charge(*(state if isinstance(state, tuple) else (state,)))
                    stack[-1].set_state(state)
                # Attributes of an OrderedDict, such as PyTorch's `_metadata`; nobody here reads them.
                elif not isinstance(stack[-1], dict):
                    raise DamagedError("attributes are set on something that has none")
            case "INST" | "OBJ" | "NEWOBJ" | "NEWOBJ_EX" | "EXT1" | "EXT2" | "EXT4":
                raise ForeignGlobalError(argument.replace(" ", ".", 1) if isinstance(argument, str) else f"({name})")
            case _:
                raise DamagedError(f"the instruction {name} does not occur in plain data")


def unpickle(stream: BytesIO, allowed: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """The value of the pickle at the stream's position, which afterwards is just behind it.

    allowed: what `module.name` in the pickle stands for; a `Function` may be called by it. persistent: turns a persistent
    id into a value. Raises `ForeignGlobalError` for any other name and `DamagedError` for anything else that is wrong.
    """
    machine = _Machine(allowed, persistent, _ELEMENTS_PER_BYTE * len(stream.getbuffer()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes in texts, which only damaged files hold
            for instruction, argument, _ in pickletools.genops(stream):
                if instruction.name == "STOP":
                    return machine.stack.pop()
                machine.step(instruction.name, argument)
    except (ForeignGlobalError, DamagedError):
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise DamagedError(str(error) or type(error).__name__) from error
    raise DamagedError("the pickle has no end")
