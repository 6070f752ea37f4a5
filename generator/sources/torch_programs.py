"""Programs that `torch.export.save` wrote, made safe before PyTorch sees them.

`torch.export.load` trusts its file: it unpickles what the archive calls pickles, evaluates sizes as Python, compiles guards
and names into source code, and calls whatever function of `torch` a node names. So the archive is read here first. Pickles and
compiled code are refused, every text of the graph must be of a kind that means what it says, every tensor must be as large
as it claims, and PyTorch gets a copy that holds the graph and raw tensors alone.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.errors import Problem, WeightsError

if TYPE_CHECKING:
    import torch

_RESAVE = "save it again with torch.export.save(torch.export.export(model.eval(), (images,)), 'model.pt2')"
_GRAPH, _TENSORS = "models/model.json", ("data/weights/", "data/constants/")
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_COPIED = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
_VERSION = b"0"

_TEXT = re.compile(r"[\w.+\-:/@ ]*")
_OPERATIONS = re.compile(
    r"torch\.ops\.(aten|prims?|torchvision|_operator)(\.\w+){1,2}"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(int|float|max|min|not|sum|ite)"
)
_WORDS = (
    "Abs|Add|And|CeilDiv|CeilToInt|CleanDiv|Equality|FloorDiv|FloorToInt|GreaterThan|IntTrueDiv|LessThan|Max|Min|Mod"
    "|ModularIndexing|Mul|Not|Or|PythonMod|RoundToInt|StrictGreaterThan|StrictLessThan|ToFloat|TruncToInt|Unequality|Where"
    "|false|int_oo|oo|true"
)
#: Sizes as sympy writes them. No powers: a tower of them would never be done.
_EXPRESSION = re.compile(
    r"(?:Symbol\('[suz]\d{1,9}'(?:, \w+=True)*\)|Integer\(-?\d{1,19}\)|Rational\(-?\d{1,19}, \d{1,19}\)|[suz]\d{1,9}\b"
    rf"|(?:{_WORDS})\b|-?\d{{1,19}}\b|[(), ])*"
)
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
_MAX_EXPRESSION = 500
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, KeyError, ValueError)


class _RefusedError(Exception):
    """What is wrong with an archive, and the way out."""

    def __init__(self, message: str, way_out: str = _RESAVE):
        super().__init__(message)
        self.way_out = way_out


def safe_copy(path: Path) -> io.BytesIO:
    """An archive for `torch.export.load` that holds nothing but the checked graph and raw tensors of the one at `path`.

    Needs no PyTorch. Raises `WeightsError` for whatever is no such archive, is damaged, or could run code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _copied(archive, path.stat().st_size)
    except FileNotFoundError as error:
        raise WeightsError(
            Problem(str(path), "there is no program here", "check the path; it is relative to the config")
        ) from error
    except OSError as error:
        raise WeightsError(
            Problem(str(path), f"the program cannot be read ({error.strerror})", "check its permissions")
        ) from error
    except _RefusedError as error:
        raise WeightsError(Problem(str(path), str(error), error.way_out)) from error
    except RecursionError as error:
        raise WeightsError(Problem(str(path), "its graph is nested too deeply", _RESAVE)) from error
    except (*_ZIP_ERRORS, TypeError, AttributeError) as error:
        rule = f"this is not a program that torch.export wrote ({type(error).__name__}: {error})"
        raise WeightsError(Problem(str(path), rule, _RESAVE)) from error


def load_program(path: Path) -> torch.export.ExportedProgram:
    """The program at `path`. Raises `WeightsError` if it is unsafe, or if this PyTorch cannot read it."""
    import torch

    copy = safe_copy(path)
    try:
        return torch.export.load(copy)
    except Exception as error:  # formats change between versions, and each fails in its own way
        version = torch.__version__.partition("+")[0]
        rule = f"PyTorch {version} cannot read it ({type(error).__name__}: {str(error).strip().splitlines()[:1]})"
        raise WeightsError(Problem(str(path), rule, f"export and save it again with PyTorch {version}")) from error


def _copied(archive: zipfile.ZipFile, num_bytes: int) -> io.BytesIO:
    entries = {entry.filename: entry for entry in archive.infolist()}
    roots = {name.partition("/")[0] for name in entries}
    if "serialized_exported_program.json" in entries:
        raise _RefusedError("this archive is of PyTorch 2.7 or older, whose weights are pickles")
    if len(roots) != 1 or f"{(root := roots.pop())}/{_GRAPH}" not in entries:
        what = "a checkpoint" if any(name.endswith("data.pkl") for name in entries) else "another kind of archive"
        way_out = "name checkpoints under `weights:`, beside `module:`" if what == "a checkpoint" else _RESAVE
        raise _RefusedError(f"this is {what}, not a program that torch.export wrote", way_out)
    if sum(entry.file_size for entry in entries.values()) > num_bytes:
        raise _RefusedError("its entries claim more bytes than the file has; PyTorch never compresses them")
    parts = {name.removeprefix(f"{root}/"): entry for name, entry in entries.items()}
    version = archive.read(parts["archive_version"]) if "archive_version" in parts else b"none"
    if version != _VERSION:
        raise _RefusedError(f"its archive version is {version[:20].decode(errors='replace')!r}, but only '0' is known")
    if "byteorder" in parts and archive.read(parts["byteorder"]) != b"little":
        raise _RefusedError("it was written on a big-endian machine, which is not supported")
    for name in parts:
        if name.startswith("data/aotinductor/"):
            raise _RefusedError("it holds compiled code, which was refused; nothing was run")
        if name.startswith(_TENSORS) and not re.fullmatch(r"(weight|tensor)_\d+|\w+_config\.json", name.rpartition("/")[2]):
            raise _RefusedError(f"{name} may hold code; it was refused and nothing was run")
    graph = json.loads(archive.read(parts[_GRAPH]))
    configs = {name: json.loads(archive.read(parts[name])) for name in _CONFIGS}
    for name, config in configs.items():
        _check_tensors(config, name.rpartition("/")[0], parts)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as copy:
        copy.writestr(f"{root}/{_GRAPH}", json.dumps(_checked_graph(graph)))
        copy.writestr(f"{root}/data/sample_inputs/model.pt", b"")
        for name, entry in parts.items():
            if name in _COPIED or name.startswith(_TENSORS):
                copy.writestr(f"{root}/{name}", archive.read(entry))
    made.seek(0)
    return made


def _check_tensors(config: Any, folder: str, parts: dict[str, zipfile.ZipInfo]) -> None:
    """Raises if a tensor is a pickle or claims more values than its entry has."""
    for name, entry in config["config"].items():
        _check_text(name, "a tensor's name")
        if entry["use_pickle"]:
            raise _RefusedError(f"{name} is stored as a pickle, which could run code; it was refused and nothing was run")
        _check_text(entry["path_name"], "a file's name")
        sizes = [_number(size, name) for size in entry["tensor_meta"]["sizes"]]
        if math.prod(sizes) > parts[f"{folder}/{entry['path_name']}"].file_size:
            raise _RefusedError(f"{name} claims to be {sizes}, which is more than the file holds")


def _number(size: Any, name: str) -> int:
    number = size.get("as_int")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**40:
        raise _RefusedError(f"the shape of {name} is not made of numbers")
    return number


def _checked_graph(program: Any) -> Any:
    """The program with its guards and comments left away, every text in it checked. Changes `program`."""
    program["guards_code"] = []
    program["module_call_graph"] = [entry for entry in program["graph_module"].pop("module_call_graph") if entry["fqn"] == ""]
    program["graph_module"]["module_call_graph"] = program.pop("module_call_graph")
    for entry in program["graph_module"]["module_call_graph"]:
        for key in ("in_spec", "out_spec"):
            _check_containers(json.loads(entry["signature"][key]))
    for key, value, holder in _walk(program):
        if key == "metadata":
            stack = value.get("nn_module_stack") if isinstance(value, dict) else None
            holder[key] = {"nn_module_stack": stack} if isinstance(stack, str) else {}
        elif key in ("target", "as_operator"):
            if not isinstance(value, str) or not _OPERATIONS.fullmatch(value):
                raise _RefusedError(
                    f"its graph calls {str(value)[:80]!r}, which is not an operation on tensors; it was refused"
                )
        elif key in ("expr_str", "range_constraints"):
            for text in [value] if key == "expr_str" else value:
                if not isinstance(text, str) or len(text) > _MAX_EXPRESSION or not _EXPRESSION.fullmatch(text):
                    raise _RefusedError(f"a size in it is {str(text)[:80]!r}, which is no arithmetic of sizes; it was refused")
        elif key in ("as_custom_obj", "as_graph"):
            raise _RefusedError("it holds objects or control flow besides tensors", "export a network without them")
        elif key not in ("in_spec", "out_spec"):
            _check_text(key, "a name")
            _check_text(value, "a text")
    return program


def _walk(tree: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every entry of every dictionary: key, value, and the dictionary; items of lists come under their list's key."""
    waiting: list[tuple[str, Any, Any]] = [("", tree, None)]
    while waiting:
        key, value, holder = waiting.pop()
        yield key, value, holder
        if key == "metadata":
            continue
        if isinstance(value, dict):
            waiting += [(inner, item, value) for inner, item in value.items()]
        elif isinstance(value, list):
            waiting += [(key, item, None) for item in value if isinstance(item, dict | list | str)]


def _check_text(value: Any, what: str) -> None:
    if isinstance(value, str) and not _TEXT.fullmatch(value):
        raise _RefusedError(f"{what} in it is {value[:80]!r}, which could run code; it was refused and nothing was run")


def _check_containers(spec: Any) -> None:
    """Inputs and outputs may only be arranged in plain containers."""
    waiting = list(spec[1:])
    while waiting:
        part = waiting.pop()
        context = json.loads(part["context"]) if isinstance(part["context"], str) else part["context"]
        names = context if isinstance(context, list) else [] if context is None else [context]
        if (part["type"] is not None and part["type"] not in _CONTAINERS) or not all(isinstance(n, str | int) for n in names):
            raise _RefusedError(
                f"its outputs are arranged in {part['type']!r}", "return tensors, tuples, lists or dictionaries"
            )
        for name in names:
            _check_text(name, "an output's name")
        waiting += part["children_spec"]
