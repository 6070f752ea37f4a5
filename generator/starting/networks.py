"""What an argument such as `model.onnx`, `keras.applications.VGG16` or `my_net:MyNet` names: a model's `source:`."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from generator.config.sources import SourceConfig
from generator.errors import ConfigError, Problem, UserError
from generator.sources.python_files import source_files
from generator.sources.zoo_models import name_of_repository
from generator.starting.paths import as_written

Kind = Literal["flax", "torch", "function"]

CONFIGS = (".yaml", ".yml")
#: Files that hold a whole network.
_FILES = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".pt2": "torch"}
#: Files that hold numbers and no network.
_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors", ".msgpack", ".npz", ".bin", ".pkl")
_FORMS = (
    "give a configuration (gallery.yaml), a network (model.onnx, model.keras, model.h5, model.pt2), keras.applications.NAME,"
    " zoo:NAME, hub:OWNER/MODEL, or package.file:Name of a class or function"
)
_TORCHVISION_PX = 224


@dataclass(frozen=True)
class Named:
    """A network as the command line names it. weights: a checkpoint. kind: of an import path. input_shape: `(h, w, c)`."""

    text: str
    weights: str | None = None
    kind: Kind | None = None
    input_shape: tuple[int, int, int] | None = None


def is_config(text: str) -> bool:
    """Whether an argument names a configuration, be it there or not, rather than a network."""
    return text.lower().endswith(CONFIGS)


def source_of(named: Named, base: Path) -> tuple[dict[str, Any], list[str]]:
    """What stands below `source:`, and a sentence for everything that had to be guessed.

    base: the folder of the configuration, which its paths are relative to. Raises `ConfigError` for what cannot be told,
    with the whole argument to give instead.
    """
    suffix = Path(named.text).suffix.lower()
    if named.text.startswith("zoo:"):
        source, guesses = {"kind": "zoo", "name": named.text.removeprefix("zoo:")}, []
    elif named.text.startswith("hub:"):
        source, guesses = _on_hub(named), []
    elif named.text.lower().startswith("keras.applications."):
        source, guesses = {"kind": "keras", "model": named.text}, []
    elif suffix in _FILES:
        _check_file(named)
        key = {"onnx": "path", "keras": "model", "torch": "program"}[_FILES[suffix]]
        source, guesses = {"kind": _FILES[suffix], key: as_written(named.text, base)}, []
    elif ":" in named.text and "/" not in named.text:
        source, guesses = _imported(named, base)
    else:
        raise ConfigError(_no_network(named, suffix))
    if named.kind and source["kind"] != named.kind:
        raise _refused(named, f"--kind {named.kind}, but it is of the kind {source['kind']}", "leave --kind out")
    if named.weights is not None:
        key = "checkpoint" if source["kind"] in ("flax", "function") else "weights"
        if source["kind"] == "onnx":
            raise _refused(named, "an ONNX file has its own weights", "leave --weights out")
        names_none = source["kind"] == "keras" and named.weights in ("imagenet", "random")
        source[key] = named.weights if names_none else as_written(named.weights, base)
    if named.input_shape and source["kind"] == "zoo":
        raise _refused(named, "a zoo model knows the shape of its images", "leave --input-shape out")
    if named.input_shape:
        source["input_shape"] = list(named.input_shape)
    return _checked(named, source), guesses


def _on_hub(named: Named) -> dict[str, Any]:
    """`hub:owner/model`, or `hub:owner/model@revision`; its repository says which architecture it is."""
    if named.weights is not None:
        raise _refused(named, "the repository has its own weights", "leave --weights out, or name a zoo:NAME")
    repository, _, revision = named.text.removeprefix("hub:").partition("@")
    _checked(named, {"kind": "zoo", "name": "any", "hub": repository})  # before the hub is asked
    source = {"kind": "zoo", "name": name_of_repository(repository, revision or None), "hub": repository}
    return {**source, "revision": revision} if revision else source


def _check_file(named: Named) -> None:
    path = Path(named.text).expanduser()
    if not path.exists():
        raise _refused(named, "there is no such file", "check the path")
    if not path.is_file():
        raise _refused(named, "this is a folder, not a file", "name the file with the network")


def _imported(named: Named, base: Path) -> tuple[dict[str, Any], list[str]]:
    """Flax, PyTorch or a plain function: told from what its file imports, without running it."""
    module = named.text.partition(":")[0]
    torchvision = module.split(".")[0] in ("torchvision", "timm")
    kind, guesses = named.kind or ("torch" if torchvision else None), []
    if kind is None:
        found = _frameworks(module, base)
        if len(found) != 1:
            seen = "imports " + " and ".join(sorted(found)) if found else "imports neither flax, torch nor jax"
            raise _refused(named, f"its file {seen}, so its kind cannot be told", "add --kind flax, torch or function")
        (kind,) = found
        guesses.append(f"of the kind {kind}, as {module}'s file imports it")
    source: dict[str, Any] = {"kind": kind, "function" if kind == "function" else "module": named.text}
    if torchvision and not named.input_shape:
        source["input_shape"] = [_TORCHVISION_PX, _TORCHVISION_PX, 3]
        guesses.append(f"images of {_TORCHVISION_PX} x {_TORCHVISION_PX} px, as most of its networks are trained for")
    return source, guesses


def _frameworks(module: str, base: Path) -> set[str]:
    """Which of our kinds the imports of a file speak for; `function` only where there is neither Flax nor PyTorch."""
    imported = set()
    for path in source_files(module, base)[:1]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    found = imported & {"flax", "torch"}
    return found or ({"function"} if "jax" in imported else set())


def _checked(named: Named, source: dict[str, Any]) -> dict[str, Any]:
    """The same, once it was found whole; a function or module needs what only its owner knows."""
    problems: list[Problem] = []
    way_out = f"write `{_command(named, source['kind'])}`"
    if source["kind"] == "flax" and named.weights is None:
        problems.append(Problem(named.text, "a Flax module has no weights of its own", way_out))
    if source["kind"] in ("flax", "torch", "function") and "input_shape" not in source:
        problems.append(Problem(named.text, "it does not say the shape of its images", way_out))
    if problems:
        raise ConfigError(problems)
    try:
        TypeAdapter(SourceConfig).validate_python(source)
    except ValidationError as error:
        found = (f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(Problem(named.text, text, _FORMS) for text in found) from error
    return source


def _no_network(named: Named, suffix: str) -> Problem:
    if suffix in _CHECKPOINTS:
        rule = "a checkpoint holds weights, but not the network they belong to"
        return Problem(
            named.text, rule, f"name both: `cnnscope build my_net:MyNet --weights {named.text} --input-shape 224,224,3`"
        )
    path = Path(named.text)
    if path.is_dir() and (path / "saved_model.pb").exists():
        return Problem(named.text, "TensorFlow's SavedModel is not read", "save it as .keras, or convert it with tf2onnx")
    return Problem(named.text, "names neither a configuration nor a network", _FORMS)


def _command(named: Named, kind: str) -> str:
    """The argument with everything that a network of one's own needs."""
    own = kind == "function" or Path(named.text).suffix.lower() in _FILES
    weights = f" --weights {named.weights or 'weights.safetensors'}" if named.weights or not own else ""
    shape = ",".join(map(str, named.input_shape or (224, 224, 3)))
    return f"cnnscope build {named.text}{f' --kind {named.kind}' if named.kind else ''}{weights} --input-shape {shape}"


def _refused(named: Named, rule: str, way_out: str) -> UserError:
    return ConfigError(Problem(named.text, rule, way_out))
