"""Image files of any kind to uint8 arrays, through Pillow.

What happens to the pixels, in this order: the first frame of an animation is taken; 16-bit grey is scaled linearly from
0-65535 to 0-255; CMYK and other colour spaces become RGB by Pillow's formulas (colour profiles are not applied);
transparency is laid on white; EXIF orientation is applied. Grey stays grey, one channel.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.errors import ProbeError, Problem

#: Formats that Pillow decodes by itself: no PostScript interpreter, no camera tools.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
#: A file may claim any size; this many pixels decode in less than 1 GB.
MAX_PIXELS = 100_000_000
#: Images whose shorter side has at least twice as many pixels are shrunk by a whole factor on reading.
ENOUGH_PX = 2048

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}


@dataclass(frozen=True)
class Header:
    """What a file says of itself. width_px, height_px: as shown, after EXIF orientation. note: what reading changes."""

    width_px: int
    height_px: int
    channels: int
    note: str = ""


def read_header(path: Path) -> Header:
    """Size and kind of an image without decoding it. Raises `ProbeError` for what is no image or too large."""
    with _opened(path) as image:
        width_px, height_px = image.size
        if _orientation(image) >= 5:
            width_px, height_px = height_px, width_px
        grey = image.mode in _GREY_MODES
        # Phone cameras put a preview behind the photograph; that is no animation.
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        notes = ["first frame of several"] * animated + ["16-bit grey scaled to 8 bits"] * image.mode.startswith("I")
        if image.format == "PNG":
            image.verify()  # checksums only; what it finds would otherwise come up in the middle of a build
    return Header(width_px, height_px, 1 if grey else 3, ", ".join(notes))


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as uint8 `(h, w, 1)` grey or `(h, w, 3)` RGB.

    A very large image is shrunk by averaging blocks of whole pixels while both sides keep at least `ENOUGH_PX`.
    Raises `ProbeError` for a file that is no image, damaged, truncated, of an unknown kind or too large.
    """
    with _opened(path) as image:
        turn = _TRANSPOSITIONS.get(_orientation(image))
        factor = max(1, min(image.size) // ENOUGH_PX)
        if factor > 1 and image.format in ("JPEG", "MPO"):
            before = min(image.size)
            image.draft(None, (image.width // factor, image.height // factor))
            factor = max(1, factor * min(image.size) // before)
        image.load()
        plain = _plain(image, path)
        if factor > 1:
            plain = plain.reduce(factor)
        plain = _on_white(plain)
        pixels = np.asarray(plain if turn is None else plain.transpose(turn))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def file_fingerprint(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file, opened by Pillow; whatever goes wrong inside becomes a `ProbeError`."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        # Pillow warns of odd metadata and of large images; the former is harmless, the latter has its own limit here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=formats) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _too_large(path)
                yield image
    except ProbeError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Image.UnidentifiedImageError as error:
        message = "the file is empty" if path.stat().st_size == 0 else "this is no image that can be read"
        raise ProbeError(Problem(str(path), message, f"give one of {', '.join(formats)}")) from error
    except FileNotFoundError as error:
        raise ProbeError(Problem(str(path), "there is no such file", "correct the path")) from error
    except PermissionError as error:
        raise ProbeError(Problem(str(path), "the file may not be read", "change its permissions")) from error
    except MemoryError as error:
        raise ProbeError(Problem(str(path), "there is not enough memory for this image", "scale it down")) from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise ProbeError(
            Problem(str(path), f"the image is damaged or cut off ({error})", "replace it or leave it out")
        ) from error


def _too_large(path: Path) -> ProbeError:
    return ProbeError(Problem(str(path), f"the image has more than {MAX_PIXELS // 10**6} million pixels", "scale it down"))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation that is still to be applied, 1-8."""
    # Pillow turns TIFF itself, and would decode a whole PNG to look for EXIF behind the pixels.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF says nothing about the pixels; Pillow raises whatever its parser meets
        return 1
    return value if value in _TRANSPOSITIONS else 1


def _plain(image: Image.Image, path: Path) -> Image.Image:
    """The image as L, LA, RGB or RGBA."""
    if image.mode.startswith("I"):
        return _from_16_bits(image, path)
    if image.mode == "F":
        raise ProbeError(Problem(str(path), "the pixels are floating-point numbers of unknown range", "save it as 8-bit PNG"))
    grey = image.mode in _GREY_MODES
    if image.has_transparency_data:
        return image.convert("LA" if grey else "RGBA")
    return image.convert("L" if grey else "RGB")


def _from_16_bits(image: Image.Image, path: Path) -> Image.Image:
    """0-65535 to 0-255, rounded: the full range whatever part of it the image uses."""
    levels = np.asarray(image)
    if levels.dtype.itemsize > 2 and levels.size and (levels.min() < 0 or levels.max() > 65535):
        raise ProbeError(Problem(str(path), "the pixels have more than 16 bits", "save it as 8-bit PNG"))
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Without transparency: `colour * alpha + white * (1 - alpha)`."""
    if image.mode not in ("LA", "RGBA"):
        return image
    white = Image.new("RGBA", image.size, "white")
    blended = Image.alpha_composite(white, image.convert("RGBA"))
    return blended.convert("L" if image.mode == "LA" else "RGB")
