"""Golden tiles and the golden site: `python -m tests.regenerate` makes them anew; look at what changed before committing it.

Tiles: the inputs are stored beside the results, so a comparison never depends on how a platform rounds `exp` or `sin`.

Site: the tiny gallery's sums are exact on every processor, but encoders and fonts differ between versions. So the golden file
holds what a reader meets: each page's title, headings, links and names of pictures, and the numbers of each layer to four
digits. Left out are the digests in names of files, and texts that name versions of libraries.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from generator.network.graph import ChannelSource, Layer, ReceptiveField
from generator.views import feature_maps, filters

GOLDENS = Path(__file__).parent / "goldens"
TILES = GOLDENS / "tiles.npz"
SITE = GOLDENS / "tiny_site.txt"


def gabors(num: int, size: int) -> np.ndarray:
    """Float32 `(size, size, 1, num)` oriented filters."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angles = np.arange(num) * np.pi / num
    along = np.cos(angles) * x[..., None] + np.sin(angles) * y[..., None]
    envelope = np.exp(-(x**2 + y**2) / (0.1 * size**2))[..., None]
    return (np.cos(2 * np.pi * along / 4) * envelope)[:, :, None].astype(np.float32)


def inputs() -> dict[str, np.ndarray]:
    """The cat photograph seen by Gabor filters, rectified and not, with odd maps at the end; and the kernels."""
    import scipy.ndimage
    import skimage.data
    import skimage.transform

    cat = skimage.transform.resize(skimage.data.chelsea()[:, 75:375].mean(-1) / 255 - 0.5, (28, 28), anti_aliasing=True)
    kernels = gabors(8, 7)
    maps = np.stack([scipy.ndimage.convolve(cat, kernels[:, :, 0, i]) for i in range(8)], axis=-1)
    maps[..., 6] = 0
    maps[0, :4, 7] = [np.nan, np.inf, -np.inf, 0]
    colour = np.concatenate([gabors(6, 5) * weight for weight in (1.0, -0.5, 0.25)], axis=2)
    return {"signed": maps.astype(np.float16), "rectified": np.maximum(maps, 0).astype(np.float32), "gabors": kernels,
            "colour": colour, "dense": colour.reshape(-1, 6)}  # fmt: skip


def draw(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Decoded pictures, uint8, of every view of `arrays`, by `<input>/<file>`."""
    drawn = {}
    for name in ("signed", "rectified"):
        maps = arrays[name]
        drawn[name] = feature_maps.draw(_layer(maps.shape), "cat", "activation", maps)
    for name, source in (("gabors", "conv0"), ("colour", "input"), ("dense", "flatten")):
        kernel = arrays[name]
        num_inputs, num_units = kernel.shape[-2:]
        sources = [ChannelSource(layer=source, channel=i) for i in range(num_inputs)]
        ones = np.ones(num_units, np.float32)
        drawn[name] = filters.draw(_layer((1, 1, num_units)), kernel, ones, ones, sources, 4)
    return {
        f"{name}/{file}": np.asarray(Image.open(io.BytesIO(data)).convert("RGBA" if file.endswith("png") else "L"))
        for name, view in drawn.items()
        for file, data in view.files.items()
        if not file.endswith("svg")
    }


def _layer(shape: tuple[int, ...]) -> Layer:
    field = ReceptiveField(size=(7, 7), stride=(1, 1), first=(0, 0))
    return Layer(name="conv1", kind="conv", inputs=("input",), shape=shape, receptive_field=field)


class _Reader(HTMLParser):
    """A page as lines: title, headings, links, names of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("title", "h1", "h2", "h3"):
            self.lines.append(f"{tag}:")
            self._open.append(tag)
        for name in ("href", "src", "aria-label", "alt"):
            if found.get(name):
                self.lines.append(f"{tag} {name} {_plain(found[name] or '')}")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            self._open.remove(tag)

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.lines[-1] += f" {' '.join(data.split())}"


def _plain(text: str) -> str:
    """Without digests, and with numbers of at most four digits."""
    text = re.sub(r"(img/)[0-9a-f]{20}|(assets/\w+\.)[0-9a-f]{12}", lambda m: f"{m[1] or m[2]}*", text)
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda m: f"{float(m[0]):.4g}", text)


def describe_site(site: Path) -> str:
    """A built site in words that are the same on every machine."""
    text = []
    files = [path for path in sorted(site.rglob("*")) if path.is_file() and ".cnnscope" not in path.parts]
    for path in files:
        name = path.relative_to(site).as_posix()
        if path.suffix == ".html":
            reader = _Reader()
            reader.feed(path.read_text(encoding="utf-8"))
            text += [f"== {name}", *dict.fromkeys(reader.lines)]
        elif name.startswith("m/"):
            text += [f"== {name}", _plain(path.read_text(encoding="utf-8")).strip()]
    others = Counter(_plain(path.relative_to(site).as_posix()) for path in files if path.relative_to(site).parts[0] != "m")
    return "\n".join([*text, "== files", *(f"{count} {name}" for name, count in sorted(others.items())), ""])


def main() -> None:
    from tests.tiny_gallery import TinyGallery

    arrays = inputs()
    GOLDENS.mkdir(exist_ok=True)
    named = {f"input/{name}": array for name, array in arrays.items()}
    np.savez_compressed(TILES, **named, **draw(arrays))
    with tempfile.TemporaryDirectory() as folder:
        gallery = TinyGallery(Path(folder) / "gallery").create()
        gallery.build()
        SITE.write_text(describe_site(gallery.site), encoding="utf-8")


if __name__ == "__main__":
    main()
