"""ONNX files: what they say of themselves, what has to be guessed, and their networks."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from generator.config.sources import OnnxSource
from generator.errors import NetworkError, Problem, did_you_mean
from generator.records import Preprocessing, WeightsInfo
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.extras import require
from generator.sources.files import NOT_STATED, weights_info
from generator.sources.onnx_graph.reading import Graph, OnnxFile, Tensor, read_onnx
from generator.sources.weights import check_finite
from generator.zoo.imagenet import imagenet_labels

_IMAGENET = Preprocessing(
    size_px=(224, 224), crop_fraction=0.875, interpolation="bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
_NUM_IMAGENET = 1000
_CHANNELS = (1, 3)
_MOST_PX = 4096  # as `input_shape` in a config
#: Types of inputs, as ONNX numbers them: 8, 16, 32 and 64 bits, with and without a sign.
_WHOLE_NUMBERS = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
#: Of a mean or standard deviation.
_LARGEST = 1e6
#: Under which keys exporters note the names of classes.
_LABEL_KEYS = ("labels", "names", "classes", "class_names", "id2label")


def describe(source: OnnxSource, base: Path) -> SourceFacts:
    require("onnx", source.path)
    path = _path(source, base)
    file = read_onnx(path, weights=False)
    _check_output(file.graph, source, path)
    tensor = _image_input(file.graph, path)
    shape, layout = _input_shape(tensor, source, path)
    num_outputs = _num_classes(file.outputs, source.output)
    preprocessing, guesses = _preprocessing(file, shape)
    labels, about_labels = _labels(file, num_outputs)
    return SourceFacts(
        title=path.stem,
        description="",
        input_shape=shape,
        preprocessing=preprocessing,
        labels=labels,
        weights=_weights(path, file),
        weights_path=path,
        code_paths=(),
        facts=[
            ("File", f"{path.name}, {len(file.graph.nodes):,} nodes, opset {file.opset}"),
            *([("Exported by", file.producer)] if file.producer else []),
            ("Layout of its images", layout.upper()),
        ],
        libraries=("onnx",),
        guesses=(*guesses, *about_labels),
    )


def load(source: OnnxSource, base: Path) -> LoadedModel:
    require("onnx", source.path)
    from generator.sources.onnx_graph.building import build

    path = _path(source, base)
    graph = read_onnx(path).graph
    _check_output(graph, source, path)
    tensor = _image_input(graph, path)
    shape, layout = _input_shape(tensor, source, path)
    batch = tensor.shape[0] if isinstance(tensor.shape[0], int) else None
    built = build(graph, str(path), layout=layout, batch=batch, output=source.output)
    check_finite(_flat(built.params), path)

    def problem(_: BaseException, rule: str) -> Problem:
        return Problem(str(path), rule, f"it was exported for images of {' x '.join(map(str, shape))}")

    return LoadedModel(explained(built.apply, problem), built.params, shape)


def _path(source: OnnxSource, base: Path) -> Path:
    return base / Path(source.path).expanduser()


def _flat(params: dict, start: str = "") -> dict:
    found = {}
    for name, value in params.items():
        found.update(_flat(value, f"{start}{name}/") if isinstance(value, dict) else {f"{start}{name}": value})
    return found


def _check_output(graph: Graph, source: OnnxSource, path: Path) -> None:
    if source.output is not None and source.output not in graph.outputs:
        rule = f"it has no output {source.output!r}"
        raise NetworkError(Problem(str(path), rule, did_you_mean(source.output, graph.outputs)))


def _image_input(graph: Graph, path: Path) -> Tensor:
    """The one input of the graph. Raises `NetworkError` where there are more, or what it takes is no image."""
    if len(graph.inputs) != 1:
        names = ", ".join(repr(tensor.name) for tensor in graph.inputs) or "none"
        rule = f"it has {len(graph.inputs)} inputs ({names}), and only networks that read one image can be shown"
        raise NetworkError(Problem(str(path), rule, "export the part that reads the image alone"))
    (tensor,) = graph.inputs
    if tensor.shape is None or len(tensor.shape) != 4:
        shape = "an unknown shape" if tensor.shape is None else f"the shape {_shown(tensor.shape)}"
        rule = f"its input {tensor.name!r} has {shape}, but images are (n, channels, height, width)"
        raise NetworkError(Problem(str(path), rule, "export a network that reads images"))
    return tensor


def _shown(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


def _input_shape(tensor: Tensor, source: OnnxSource, path: Path) -> tuple[tuple[int, int, int], str]:
    """`(h, w, c)` and the layout. Raises `NetworkError` where sizes are open and not stated, and where they disagree."""
    _, *rest = tensor.shape
    stated = source.input_shape
    last = rest[0] not in _CHANNELS and rest[2] in _CHANNELS
    if rest[0] not in _CHANNELS and isinstance(rest[2], str | None) and stated and rest[0] == stated[0]:
        last = True
    layout = "nhwc" if last else "nchw"
    height, width, channels = rest if last else (rest[1], rest[2], rest[0])
    found = (height, width, channels)
    if isinstance(channels, int) and channels not in _CHANNELS:
        rule = (
            f"its input {tensor.name!r} {_shown(tensor.shape)} has {channels} channels, but images have 1 (grey) or 3 (colour)"
        )
        raise NetworkError(Problem(str(path), rule, "export a network that reads images"))
    if stated is None:
        if not all(isinstance(size, int) for size in found):
            rule = f"the size of its images is open: {tensor.name!r} is {_shown(tensor.shape)}"
            example = channels if isinstance(channels, int) else 3
            raise NetworkError(Problem(str(path), rule, f"state it: `input_shape: [224, 224, {example}]` is (h, w, c)"))
        if max(found) > _MOST_PX:
            rule = f"its input {tensor.name!r} {_shown(tensor.shape)} is larger than {_MOST_PX} x {_MOST_PX} pixels"
            raise NetworkError(Problem(str(path), rule, "export it for smaller images"))
        return found, layout
    differing = [size for size, wanted in zip(found, stated, strict=True) if isinstance(size, int) and size != wanted]
    if differing:
        rule = f"input_shape {list(stated)} does not fit its input {tensor.name!r} {_shown(tensor.shape)}"
        raise NetworkError(Problem(str(path), rule, "leave `input_shape` out, or export with open sizes"))
    return stated, layout


def _num_classes(outputs: Sequence[Tensor], wanted: str | None) -> int | None:
    """How many numbers an output has for each image, where the file says it."""
    for tensor in outputs:
        if wanted in (None, tensor.name):
            size = tensor.shape[-1] if tensor.shape and len(tensor.shape) == 2 else None
            return size if isinstance(size, int) else None
    return None


def _preprocessing(file: OnnxFile, shape: tuple[int, int, int]) -> tuple[Preprocessing, list[str]]:
    """What the file notes of its images, and a sentence for everything that had to be guessed."""
    height, width, channels = shape
    noted = _noted(file, channels)
    plain = Preprocessing(size_px=(height, width), channels="grey" if channels == 1 else "rgb", interpolation="bilinear")
    if noted.get("channels") == "bgr" and channels == 3:
        plain = plain.model_copy(update={"channels": "bgr"})
    if "mean" in noted or "std" in noted:
        mean, std = noted.get("mean", (0.0,)), noted.get("std", (1.0,))
        top = 255.0 if max(*mean, *std) > 2 else 1.0
        return plain.model_copy(update={"range": (0.0, top), "mean": mean, "std": std}), []
    if "range" in noted:
        return plain.model_copy(update={"range": noted["range"]}), []
    if file.graph.inputs[0].kind in _WHOLE_NUMBERS:
        return plain.model_copy(update={"range": (0.0, 255.0)}), ["pixels in 0-255, as the network takes whole numbers"]
    scaled = _scales_itself(file.graph)
    if scaled:
        return plain.model_copy(update={"range": (0.0, 255.0)}), [
            f"pixels in 0-255, as the network's first node ({scaled}) brings them to another range itself"
        ]
    if channels == 3 and file.producer.startswith("pytorch"):
        update = {"size_px": (height, width)}
        return _IMAGENET.model_copy(update=update), [
            "pixels in 0-1, normalised with ImageNet's mean and standard deviation, as most PyTorch networks are trained;"
            " the file does not say"
        ]
    return plain, ["pixels in 0-1 without further normalisation; the file does not say"]


def _noted(file: OnnxFile, channels: int) -> dict:
    """Of the file's metadata, what concerns the values of pixels."""
    found: dict = {}
    notes = {key.lower(): value for key, value in file.metadata.items()}
    for key in ("mean", "std"):
        numbers = _numbers(notes.get(key, ""))
        if len(numbers) in (1, channels) and (key == "mean" or 0 not in numbers):
            found[key] = numbers
    if notes.get("image.bitmappixelformat", "").lower().startswith("bgr") or notes.get("channel_order", "").lower() == "bgr":
        found["channels"] = "bgr"
    ranges = {"nominalrange_0_255": (0.0, 255.0), "normalized_0_1": (0.0, 1.0), "normalized_1_1": (-1.0, 1.0)}
    if (stated := notes.get("image.nominalpixelrange", "").lower()) in ranges:
        found["range"] = ranges[stated]
    if "stride" in notes and "names" in notes:  # Ultralytics
        found["range"] = (0.0, 1.0)
    return found


def _numbers(text: str) -> tuple[float, ...]:
    try:
        found = ast.literal_eval(text.strip()) if text.strip() else ()
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    found = found if isinstance(found, list | tuple) else (found,)
    if not all(isinstance(number, int | float) and abs(number) <= _LARGEST for number in found):
        return ()
    return tuple(map(float, found))


def _scales_itself(graph: Graph) -> str:
    """The operator by which a network brings pixels to another range, if that is what it begins with."""
    value = graph.inputs[0].name
    for node in graph.nodes:
        if value not in node.inputs:
            continue
        if node.operator in ("Transpose", "Identity", "Cast"):
            value = node.outputs[0]
            continue
        return node.operator if node.operator in ("Sub", "Div", "Mul", "BatchNormalization") else ""
    return ""


def _labels(file: OnnxFile, num_outputs: int | None) -> tuple[tuple[str, ...] | None, list[str]]:
    notes = {key.lower(): value for key, value in file.metadata.items()}
    for key in _LABEL_KEYS:
        labels = _listed(notes.get(key, ""))
        if labels and num_outputs in (None, len(labels)):
            return labels, []
    if num_outputs == _NUM_IMAGENET:
        return imagenet_labels(), ["the 1,000 classes of ImageNet in their usual order, as there are 1,000 outputs"]
    return None, []


def _listed(text: str) -> tuple[str, ...]:
    """Names of classes: a list or a mapping from numbers, in JSON or as Python writes it, or names with commas between."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict) and all(str(key).isdecimal() and len(str(key)) < 10 for key in found):
            found = [found[key] for key in sorted(found, key=int)]
        if isinstance(found, list | tuple) and all(isinstance(name, str) for name in found):
            return tuple(found)
    parts = [part.strip() for part in text.split(",")]
    return tuple(parts) if len(parts) > 1 and all(parts) and not any(c in text for c in "{}[]") else ()


def _weights(path: Path, file: OnnxFile) -> WeightsInfo:
    """Of the file, and of those beside it that hold its numbers."""
    found = weights_info(path, "onnx", NOT_STATED, f"local file {path.name}")
    if not file.external:
        return found
    digest = hashlib.sha256(found.digest.encode())
    for beside in file.external:
        with beside.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    num_bytes = found.num_bytes + sum(beside.stat().st_size for beside in file.external)
    return found.model_copy(update={"digest": digest.hexdigest(), "num_bytes": num_bytes})
