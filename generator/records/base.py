"""The record all others are, pictures, and what is known of models, probes and colours."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(Record):
    """One picture file of an artifact. file: its name there (pages turn it into a hashed URL)."""

    file: str
    width_px: int
    height_px: int


class Sheet(Picture):
    """A sprite: tiles of units `first ... first + count - 1`, row by row, without gaps.

    At most 256 tiles and 2,048 px a side. A tile is `tile_px = (height, width)`.
    """

    tile_px: tuple[int, int]
    columns: int
    rows: int
    first: int
    count: int


class Preprocessing(Record):
    """How a probe's pixels become a network's input, in this order.

    1. channels: `rgb`, `bgr` or `grey` (grey: ITU-R 601 luma, one channel).
    2. resize: `crop` resizes the shorter side to `size_px / crop_fraction` and cuts the centre; `squash` resizes to
       `size_px` ignoring the aspect ratio; `pad` fits the longer side and pads with `mean`.
    3. pixels in 0-255 are scaled linearly to `range`; then `(x - mean) / std` per channel (one number serves all).
    """

    size_px: tuple[int, int]
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    resize: Literal["crop", "squash", "pad"] = "crop"
    crop_fraction: float = 1.0
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class ProbeInfo(Record):
    """What is known of a probe besides its pixels. name: unique in the gallery, `cat`; set: the probe set's name."""

    name: str
    title: str
    set: str
    provenance: str
    licence: str
    label: str | None = None
    width_px: int
    height_px: int
    source_channels: int = 3


class ProbePictures(Record):
    """A prepared probe. shown: the exact crop the network sees, before range, mean and std. thumbnail: at most 96 px."""

    probe: ProbeInfo
    preprocessing: Preprocessing
    shown: Picture
    thumbnail: Picture


class WeightsInfo(Record):
    """Where the weights came from. digest: sha256 of the file, hexadecimal."""

    file: str
    format: str
    digest: str
    num_bytes: int
    licence: str = ""
    provenance: str = ""


class ModelInfo(Record):
    """What a page says of a model apart from its graph. facts: further lines, such as test accuracy, in order."""

    name: str
    title: str
    description: str
    source: str
    weights: WeightsInfo | None
    preprocessing: Preprocessing
    num_params: int
    num_classes: int | None
    facts: list[tuple[str, str]] = []


class ColorTable(Record):
    """A colormap for grey sheets, as the tables of an SVG `feComponentTransfer` with `type="table"`.

    red, green, blue: sRGB values in 0-1 at equally spaced greys from 0 to 255, linear in between (so the filter needs
    `color-interpolation-filters="sRGB"`). signed: diverging, for maps whose zero is the middle of the scale.
    """

    name: str
    title: str
    signed: bool
    red: tuple[float, ...]
    green: tuple[float, ...]
    blue: tuple[float, ...]
