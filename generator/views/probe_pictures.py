"""A probe as the network sees it, and small."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from generator.records import Picture, Preprocessing, ProbeInfo, ProbePictures
from generator.render.drawn import Drawn

THUMBNAIL_PX = 96
#: Up to this side a picture is kept without loss: its pixels are what one looks at.
LOSSLESS_PX = 64


def draw(probe: ProbeInfo, preprocessing: Preprocessing, shown: np.ndarray) -> Drawn:
    """The record is `ProbePictures`. shown: uint8 `(h, w, 1 | 3)`, the crop the network sees, before range, mean and std."""
    image = Image.fromarray(shown[:, :, 0] if shown.shape[2] == 1 else shown)
    thumbnail = image.copy()
    thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    large, large_file = _picture("shown", image)
    small, small_file = _picture("thumbnail", thumbnail)
    record = ProbePictures(probe=probe, preprocessing=preprocessing, shown=large, thumbnail=small)
    return Drawn(record, {**large_file, **small_file})


def _picture(stem: str, image: Image.Image) -> tuple[Picture, dict[str, bytes]]:
    buffer = io.BytesIO()
    image.save(buffer, "webp", lossless=max(image.size) <= LOSSLESS_PX, quality=88, method=4)
    file = f"{stem}.webp"
    return Picture(file=file, width_px=image.width, height_px=image.height), {file: buffer.getvalue()}
