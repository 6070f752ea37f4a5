"""Image files of any kind to uint8 arrays, through Pillow.

What happens to the pixels, in this order: the first frame of an animation is taken; 16-bit grey is scaled linearly from
0-65535 to 0-255, and floating-point grey from 0-1, where no value is larger, or rounded; CMYK and other colour spaces become
RGB by Pillow's formulas (colour profiles are not applied); transparency is laid on white; EXIF orientation is applied. Grey
stays grey, one channel. A header's `note` says which of these happen.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
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
#: Their decoders hold several copies.
_MAX_PIXELS_OF = {"WEBP": 40_000_000, "AVIF": 40_000_000, "JPEG2000": 40_000_000}
#: Images whose shorter side has at least twice as many pixels are shrunk by a whole factor on reading.
ENOUGH_PX = 2048

_ORIENTATION_TAG = 0x0112
#: By EXIF orientation, what brings pixels `(h, w, ...)` upright.
_TURNED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
_BAND_PIXELS = 1 << 22
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"}
_COLOUR_SPACES = {"CMYK", "YCbCr", "HSV"}


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
        note = ", ".join(_changes(image))
        if image.format == "PNG":
            image.verify()  # checksums only; what it finds would otherwise come up in the middle of a build
    return Header(width_px, height_px, 1 if grey else 3, note)


def _changes(image: Image.Image) -> Iterator[str]:
    """What reading does to an image that has been opened."""
    # Phone cameras put a preview behind the photograph; that is no animation.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        yield "first frame of several"
    if image.mode.startswith("I"):
        yield "16-bit grey scaled to 8 bits"
    elif image.mode == "F":
        yield "floating-point grey scaled to 8 bits"
    elif image.mode in _COLOUR_SPACES:
        yield f"{image.mode} turned into RGB"
    if image.has_transparency_data:
        yield "transparency laid on white"
    if _orientation(image) != 1:
        yield "turned as its EXIF data says"
    if min(image.size) >= 2 * ENOUGH_PX:
        yield "shrunk by averaging"


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as uint8 `(h, w, 1)` grey or `(h, w, 3)` RGB.

    A very large image is shrunk by averaging blocks of whole pixels while both sides keep at least `ENOUGH_PX`.
    Raises `ProbeError` for a file that is no image, damaged, truncated, of an unknown kind or too large.
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        factor = max(1, min(image.size) // ENOUGH_PX)
        if factor > 1 and image.format in ("JPEG", "MPO"):
            before = min(image.size)
            image.draft(None, (image.width // factor, image.height // factor))
            factor = max(1, factor * min(image.size) // before)
        image.load()
        pixels = _pixels(image, factor, path)
    pixels = np.ascontiguousarray(_TURNED[orientation](pixels))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _pixels(image: Image.Image, factor: int, path: Path) -> NDArray[np.uint8]:
    """A decoded image, `(h, w)` or `(h, w, 3)`, converted band by band: copies of the whole would take gigabytes."""
    rows = max(1, _BAND_PIXELS // (image.width * factor)) * factor
    scale = _float_scale(image, rows, path) if image.mode == "F" else 1
    pixels = None
    for top in range(0, image.height, rows):
        plain = _plain(image.crop((0, top, image.width, min(image.height, top + rows))), scale, path)
        band = np.asarray(_on_white(plain.reduce(factor) if factor > 1 else plain))
        if pixels is None:
            pixels = np.empty((-(-image.height // factor), *band.shape[1:]), np.uint8)
        pixels[top // factor : top // factor + len(band)] = band
    return pixels


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
                if image.width * image.height > (most := _MAX_PIXELS_OF.get(image.format, MAX_PIXELS)):
                    raise _too_large(path, most)
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
            Problem(str(path), f"the image is damaged or cut off ({str(error)[:200]})", "replace it or leave it out")
        ) from error


def _too_large(path: Path, most: int = MAX_PIXELS) -> ProbeError:
    return ProbeError(Problem(str(path), f"the image has more than {most // 10**6} million pixels", "scale it down"))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation that is still to be applied, 1-8."""
    # Pillow turns TIFF itself, and would decode a whole PNG to look for EXIF behind the pixels.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF says nothing about the pixels; Pillow raises whatever its parser meets
        return 1
    return value if value in _TURNED else 1


def _plain(image: Image.Image, scale: int, path: Path) -> Image.Image:
    """The image as L, LA, RGB or RGBA. scale: what floating-point levels are multiplied by."""
    if image.mode.startswith("I"):
        return _from_16_bits(image, path)
    if image.mode == "F":
        return Image.fromarray(np.rint(np.asarray(image) * np.float32(scale)).astype(np.uint8))
    if image.mode == "LAB":
        raise ProbeError(Problem(str(path), "its colours are CIE L*a*b*", "save it as RGB"))
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


def _float_scale(image: Image.Image, rows: int, path: Path) -> int:
    """255 for levels in 0-1, 1 for others in 0-255."""
    bands = (
        np.asarray(image.crop((0, top, image.width, min(image.height, top + rows)))) for top in range(0, image.height, rows)
    )
    extremes = np.array([(band.min(), band.max()) for band in bands])
    low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    if not (low >= 0 and high <= 255):
        rule = f"the pixels are floating-point numbers from {low:g} to {high:g}, neither 0 ... 1 nor 0 ... 255"
        raise ProbeError(Problem(str(path), rule, "save it as 8-bit PNG"))
    return 255 if high <= 1 else 1


def _on_white(image: Image.Image) -> Image.Image:
    """Without transparency: `colour * alpha + white * (1 - alpha)`."""
    if image.mode not in ("LA", "RGBA"):
        return image
    white = Image.new("RGBA", image.size, "white")
    blended = Image.alpha_composite(white, image.convert("RGBA"))
    return blended.convert("L" if image.mode == "LA" else "RGB")
