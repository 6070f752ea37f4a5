"""PyTorch networks: a module of one's own or of a library, with a state dict, or a program that `torch.export` wrote.

PyTorch builds the module and writes it down as ONNX, once; from then on the network is an ONNX file whose layers have the
names of the submodules. PyTorch is never needed to run it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from generator.config.sources import OnnxSource, TorchSource
from generator.errors import ConfigError, NetworkError, Problem, UserError
from generator.records import Preprocessing, WeightsInfo
from generator.sources import torch_cache
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.extras import require
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.python_files import source_files
from generator.sources.weights import checkpoint_format

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Those of torchvision's models that take pictures in 0-1 and normalise them themselves, or take no single pictures.
_OTHER_TASKS = ("detection", "video", "optical_flow")
_NUM_IMAGENET = 1000


def describe(source: TorchSource, base: Path) -> SourceFacts:
    place = _place(source)
    require("torch", place)
    problems: list[Problem] = []
    channels = source.input_shape[2]
    if channels not in (1, 3):
        rule = f"input_shape has {channels} channels, but images have 1 (grey) or 3 (colour)"
        problems.append(Problem(place, rule, "input_shape is (height, width, channels)"))
    if (source.module is None) == (source.program is None):
        rule = "name either `module:` or `program:`" + (", not both" if source.module else "")
        problems.append(Problem(place, rule, "module: package.file:Class, or program: model.pt2"))
    if source.program is not None and source.arguments:
        problems.append(Problem(place, "`arguments` are those of a `module`", "a program has none"))
    code: tuple[Path, ...] = ()
    libraries: tuple[str, ...] = ()
    if source.module is not None:
        try:
            code, libraries = _code(source.module, base)
        except UserError as error:
            problems += error.problems
    weights = None
    try:
        weights = _weights_info(source, base, code)
    except UserError as error:
        problems += error.problems
    if problems or weights is None:
        raise ConfigError(problems)
    preprocessing, labels, guesses = _guessed(source)
    module = "" if source.module is None else source.module.partition(":")[2]
    path = source.weights or source.program
    return SourceFacts(
        title=module or Path(str(source.program)).stem,
        description="",
        input_shape=source.input_shape,
        preprocessing=preprocessing,
        labels=labels,
        weights=weights,
        weights_path=None if path is None else _path(path, base),
        code_paths=code,
        facts=[("Module", source.module)] if source.module else [("Program", Path(str(source.program)).name)],
        libraries=("torch", "onnx", *libraries),
        guesses=guesses,
    )


def load(source: TorchSource, base: Path) -> LoadedModel:
    place = _place(source)
    require("torch", place)
    from generator.sources import onnx_sources
    from generator.sources.torch_export import ExportError, quietly

    try:
        with quietly():
            path = _exported(source, base)
    except ExportError as error:
        rule = f"PyTorch cannot export it: {error}"
        way_out = "take what depends on the values of the image out of `forward`, or export it yourself and use `kind: onnx`"
        raise NetworkError(Problem(place, rule, way_out)) from error
    try:
        model = onnx_sources.load(OnnxSource(kind="onnx", path=str(path), input_shape=source.input_shape), base)
    except UserError as error:
        # The file is ours; what its owner can look up is the module.
        found = [Problem(place, problem.message, problem.way_out) for problem in error.problems]
        raise NetworkError(found) from error

    def problem(_: BaseException, rule: str) -> Problem:
        return Problem(place, rule, "choose another `input_shape`")

    return LoadedModel(explained(model.apply, problem), model.params, source.input_shape)


def _exported(source: TorchSource, base: Path) -> Path:
    """The ONNX file of the network, exported now if it has not been before."""
    weights = None if source.weights is None else _path(source.weights, base)
    facts = {"arguments": source.arguments, "input_shape": source.input_shape, "module": source.module}
    if source.program is not None:
        program = _path(source.program, base)
        return torch_cache.obtain(
            torch_cache.key(facts, [program, *([weights] if weights else [])]), lambda: _export_program(program, weights)
        )
    code, _ = _code(source.module or "", base)
    if weights is not None:
        return torch_cache.obtain(torch_cache.key(facts, [*code, weights]), lambda: _export_module(source, base, weights))
    # Only the module itself knows where its values come from: it is built each time, and its values are part of the key.
    from generator.sources.torch_modules import build_module, state_digest

    module = build_module(source, base, None)
    facts["state"] = state_digest(module)
    return torch_cache.obtain(torch_cache.key(facts, code), lambda: _export_built(module, source, base))


def _export_module(source: TorchSource, base: Path, weights: Path) -> bytes:
    from generator.sources.torch_modules import build_module

    return _export_built(build_module(source, base, weights), source, base)


def _export_built(module: object, source: TorchSource, base: Path) -> bytes:
    from generator.sources.torch_export import example, export_module
    from generator.sources.torch_modules import check_runs

    images = example(source.input_shape)
    check_runs(module, images, source, base)
    return export_module(module, images)


def _export_program(path: Path, weights: Path | None) -> bytes:
    from generator.sources.torch_export import export_program
    from generator.sources.torch_modules import load_weights
    from generator.sources.torch_programs import load_program

    program = load_program(path)
    if weights is not None:
        load_weights(program.state_dict, weights)
    return export_program(program)


def _code(module: str, base: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The files that define a module, and the library it comes from, whose version then stands for all but its first file."""
    name, _, _ = module.partition(":")
    top = name.partition(".")[0]
    if not (base / top).exists() and not (base / f"{top}.py").exists():
        try:
            importlib.metadata.version(top)
        except importlib.metadata.PackageNotFoundError:
            return source_files(name, base), ()
        spec = importlib.util.find_spec(top)
        if spec is not None and spec.origin and {"site-packages", "dist-packages"} & set(Path(spec.origin).parts):
            return (Path(spec.origin),), (top,)
    return source_files(name, base), ()


def _weights_info(source: TorchSource, base: Path, code: Sequence[Path]) -> WeightsInfo:
    if source.weights is not None:
        path = _path(source.weights, base)
        return weights_info(path, checkpoint_format(path), NOT_STATED, f"local file {path.name}")
    if source.program is not None:
        path = _path(source.program, base)
        try:
            return weights_info(path, "pt2", NOT_STATED, f"local file {path.name}")
        except OSError as error:
            rule = f"the program cannot be read ({error.strerror})"
            raise ConfigError(Problem(str(path), rule, "check the path; it is relative to the config")) from error
    digest = hashlib.sha256(json.dumps([source.module, source.arguments], sort_keys=True, default=str).encode())
    for path in code:
        digest.update(path.read_bytes())
    return WeightsInfo(
        file=str(source.module),
        format="made by the code",
        digest=digest.hexdigest(),
        num_bytes=0,
        licence=NOT_STATED,
        provenance=f"made by {source.module}",
    )


def _guessed(source: TorchSource) -> tuple[Preprocessing, tuple[str, ...] | None, tuple[str, ...]]:
    """Preprocessing and labels as far as they can be told from the module's name, and what of that is a guess."""
    height, width, channels = source.input_shape
    parts = (source.module or "").partition(":")[0].split(".")
    if parts[:2] != ["torchvision", "models"] or channels != 3 or set(parts) & set(_OTHER_TASKS):
        plain = Preprocessing(size_px=(height, width), channels="grey" if channels == 1 else "rgb")
        return plain, None, ("pixels in 0-1 and not normalised further, as PyTorch modules do not say",)
    preprocessing = Preprocessing(
        size_px=(height, width), crop_fraction=0.875, interpolation="bilinear", mean=_IMAGENET_MEAN, std=_IMAGENET_STD
    )
    guesses = ["pixels normalised with ImageNet's mean and standard deviation, as torchvision's training does"]
    labels = None
    if "segmentation" not in parts and source.arguments.get("num_classes", _NUM_IMAGENET) == _NUM_IMAGENET:
        from generator.zoo.imagenet import imagenet_labels

        labels = imagenet_labels()
        guesses.append("the 1,000 classes of ImageNet as labels, in torchvision's order")
    return preprocessing, labels, tuple(guesses)


def _place(source: TorchSource) -> str:
    return source.module or source.program or "source.kind: torch"


def _path(text: str, base: Path) -> Path:
    return base / Path(text).expanduser()
