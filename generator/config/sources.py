"""How a CNN gets in: what stands below a model's `source:`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt

from generator.config.sections import FilePath, RefusedValueError, Section, SidePx

#: `(h, w, c)` of one image, wherever the network itself keeps its channels.
InputShape = tuple[SidePx, SidePx, PositiveInt]


def _import_path(path: str) -> str:
    module, _, name = path.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise RefusedValueError(
            f"expected `package.file:Name`, got {path!r}", "dots between modules, one colon before the class or function"
        )
    return path


ImportPath = Annotated[str, AfterValidator(_import_path)]


def _hub_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", name):
        raise RefusedValueError(f"expected `owner/model`, got {name!r}", "such as timm/vgg16.tv_in1k")
    return name


class ZooSource(Section):
    """A known architecture. weights: a local file instead of the shipped or installed one. hub: take the weights from this
    repository of the Hugging Face hub; revision: of it, a commit, tag or branch."""

    kind: Literal["zoo"]
    name: str
    weights: FilePath | None = None
    hub: Annotated[str, AfterValidator(_hub_name)] | None = None
    revision: Annotated[str, Field(min_length=1)] | None = None


class FlaxSource(Section):
    """A Flax module of one's own. module: `package.file:Class` (NNX or linen), looked up beside the config too.

    arguments: keyword arguments of its constructor. checkpoint: safetensors, msgpack, npz or a folder that Orbax wrote.
    input_shape: `(h, w, c)` of one image.
    """

    kind: Literal["flax"]
    module: ImportPath
    arguments: dict[str, Any] = Field(default_factory=dict)
    checkpoint: FilePath
    input_shape: InputShape


class FunctionSource(Section):
    """Any JAX function. function: `package.file:name`; called with `arguments`, it returns `(apply, params)`, where
    `apply(params, images)` gives the outputs.

    checkpoint: values for `params`, in place of those returned. layout: how `apply` wants its images.
    """

    kind: Literal["function"]
    function: ImportPath
    arguments: dict[str, Any] = Field(default_factory=dict)
    checkpoint: FilePath | None = None
    input_shape: InputShape
    layout: Literal["nhwc", "nchw"] = "nhwc"


class OnnxSource(Section):
    """An ONNX file. input_shape: `(h, w, c)`, where the file leaves the size of its images open.

    output: name of the output that the classes are, default the first.
    """

    kind: Literal["onnx"]
    path: FilePath
    input_shape: InputShape | None = None
    output: str | None = None


class KerasSource(Section):
    """A Keras model. model: a `.keras` file, a whole-model `.h5` file, or `keras.applications.NAME`.

    weights: of an application: `imagenet` (downloaded by Keras), `random`, or a `.weights.h5` file.
    input_shape: `(h, w, c)`, where the model leaves it open.
    """

    kind: Literal["keras"]
    model: FilePath
    weights: FilePath | None = None
    input_shape: InputShape | None = None


class TorchSource(Section):
    """A PyTorch module. module: `package.file:name` of a class or function that, called with `arguments`, returns an
    `nn.Module`; or program: a `.pt2` file that `torch.export.save` wrote.

    weights: its state dict (`.pth`, `.safetensors`); left out, the module's own are taken.
    """

    kind: Literal["torch"]
    module: ImportPath | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    program: FilePath | None = None
    weights: FilePath | None = None
    input_shape: InputShape


SourceConfig = Annotated[
    ZooSource | FlaxSource | FunctionSource | OnnxSource | KerasSource | TorchSource, Field(discriminator="kind")
]
