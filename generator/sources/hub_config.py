"""What timm's `config.json` says of the weights that lie beside it: architecture, preprocessing, classes, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from generator.config.faults import quoted
from generator.config.sections import SidePx
from generator.errors import Problem, WeightsError
from generator.records import Preprocessing
from generator.sources.files import NOT_STATED

_MOST_BYTES = 16 * 2**20
_WAY_OUT = "download the weights and name the file with `weights:`; what is not as in the zoo goes under `preprocessing:`"


@dataclass(frozen=True)
class HubConfig:
    """architecture: timm's name of it, without the tag of its training. labels: None where the file names no classes."""

    architecture: str
    preprocessing: Preprocessing
    num_classes: int
    labels: tuple[str, ...] | None
    licence: str


# What a file leaves out has timm's own defaults (`PretrainedCfg`, `IMAGENET_DEFAULT_MEAN`).
_Std = Annotated[FiniteFloat, Field(gt=0)]


class _Pretrained(BaseModel):
    """The section `pretrained_cfg`, as far as it is used. input_size: `(c, h, w)`."""

    input_size: tuple[Literal[3], SidePx, SidePx] = (3, 224, 224)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 0.875
    crop_mode: Literal["center"] = "center"
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = (0.485, 0.456, 0.406)
    std: tuple[_Std, _Std, _Std] = (0.229, 0.224, 0.225)
    license: Annotated[str, Field(min_length=1, max_length=200)] = NOT_STATED

    def preprocessing(self) -> Preprocessing:
        _, *size_px = self.input_size
        return Preprocessing(
            size_px=tuple(size_px),
            resize="crop",
            crop_fraction=self.crop_pct,
            interpolation=self.interpolation,
            range=(0.0, 1.0),
            mean=self.mean,
            std=self.std,
        )


class _Arguments(BaseModel):
    """The section `model_args`: those that change nothing here. Others (`output_stride`) make another network of the name."""

    model_config = ConfigDict(extra="forbid")

    in_chans: Literal[3] = 3
    global_pool: Literal["avg"] = "avg"
    num_classes: Any = None
    drop_rate: Any = None
    drop_path_rate: Any = None


class _Config(BaseModel):
    architecture: Annotated[str, Field(min_length=1, max_length=200)]
    model_args: _Arguments = Field(default_factory=_Arguments)
    global_pool: Literal["avg"] = "avg"
    num_classes: Annotated[int, Field(ge=1)] = 1000
    label_names: list[str] | dict[str, str] | None = None
    label_descriptions: dict[str, str] = Field(default_factory=dict)
    pretrained_cfg: _Pretrained

    def labels(self) -> tuple[str, ...] | None:
        names = self.label_names
        if isinstance(names, dict):
            names = [names.get(str(index), "") for index in range(min(self.num_classes, len(names)))]
        if not names or len(names) != self.num_classes or not all(names):
            return None
        return tuple(self.label_descriptions.get(name) or name for name in names)


def read_config(path: Path, place: str) -> HubConfig:
    """The `config.json` in `path`. Raises `WeightsError`, at `place`, with everything in it that cannot be followed."""
    try:
        config = _Config.model_validate(_in_sections(_mapping(path)))
    except ValidationError as error:
        *others, last = map(_rule, error.errors(include_url=False))
        raise WeightsError([*(Problem(place, rule) for rule in others), Problem(place, last, _WAY_OUT)]) from error
    pretrained = config.pretrained_cfg
    return HubConfig(
        architecture=config.architecture,
        preprocessing=pretrained.preprocessing(),
        num_classes=config.num_classes,
        labels=config.labels(),
        licence=pretrained.license,
    )


def _rule(fault: Mapping[str, Any]) -> str:
    got = "" if fault["type"] == "missing" else f", got {quoted(fault['input'])}"
    return f"config.json cannot be followed: {'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}{got}"


def _mapping(path: Path) -> Mapping[str, Any]:
    """The file's keys, empty where it is no JSON object: then everything that is needed is missing."""
    if path.stat().st_size > _MOST_BYTES:
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _in_sections(config: Mapping[str, Any]) -> dict[str, Any]:
    """Old files have no sections, and `labels` for names. Nothing counts as not said, and inner keys where outer ones lack."""
    pretrained = config.get("pretrained_cfg", config)
    if not isinstance(pretrained, dict):
        return {**config}
    pretrained = {key: value for key, value in pretrained.items() if value is not None}
    inner = {key: pretrained[key] for key in ("num_classes", "label_names", "label_descriptions") if key in pretrained}
    if "labels" in pretrained:
        inner["label_names"] = pretrained["labels"]
    return {**inner, **{key: value for key, value in config.items() if value is not None}, "pretrained_cfg": pretrained}
