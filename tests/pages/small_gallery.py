"""A made-up gallery with every kind of page and real picture files, drawn by Pillow: no JAX, no matplotlib.

`small_gallery()` gives the content and the files it names; `write_site()` writes it all as the build would.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from generator.network.graph import Graph, Layer, ReceptiveField
from generator.pages.assets import assets
from generator.pages.content import GalleryContent, ModelContent
from generator.pages.outline import outline
from generator.pages.rendering import render
from generator.records import (
    ColorTable,
    FeatureMaps,
    Filters,
    ModelInfo,
    Picture,
    Prediction,
    Predictions,
    Preprocessing,
    ProbeInfo,
    ProbePictures,
    Sheet,
    StrongInput,
    UnitStatistics,
    WeightsInfo,
)

INPUT_PX = 64
TILES_A_SHEET = 256


class Files:
    """Picture files by their path from the site's root."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def add(self, pixels: np.ndarray) -> str:
        """uint8 `(h, w)` or `(h, w, 3)` as a WebP file, lossless."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=20, method=0)
        name = f"img/{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.webp"
        self.content[name] = buffer.getvalue()
        return name

    def picture(self, pixels: np.ndarray) -> Picture:
        return Picture(file=self.add(pixels), width_px=pixels.shape[1], height_px=pixels.shape[0])

    def sheets(self, stack: np.ndarray) -> list[Sheet]:
        """Tiles uint8 `(n, h, w[, 3])` as sprites, at most 256 tiles each."""
        found = []
        for first in range(0, len(stack), TILES_A_SHEET):
            part = stack[first : first + TILES_A_SHEET]
            columns = min(16, len(part))
            rows = -(-len(part) // columns)
            height, width = stack.shape[1:3]
            sheet = np.zeros((rows * height, columns * width, *stack.shape[3:]), np.uint8)
            for i, tile in enumerate(part):
                row, column = divmod(i, columns)
                sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
            picture = self.picture(sheet)
            found.append(
                Sheet(**picture.model_dump(), tile_px=(height, width), columns=columns, rows=rows, first=first, count=len(part))
            )
        return found


def gabor(side: int, number: int) -> np.ndarray:
    """An oriented wave, float `(side, side)` in -1 ... 1."""
    rows, columns = np.mgrid[0:side, 0:side] / max(1, side - 1) - 0.5
    angle = number * 2.399963
    along = columns * np.cos(angle) + rows * np.sin(angle)
    return np.cos(2 * np.pi * (1 + number % 4) * along + number) * np.exp(-4 * (rows**2 + columns**2))


def feature_maps(files: Files, layer: Layer, probe: str, photo: np.ndarray, value: str, signed: bool) -> FeatureMaps:
    """Maps made of a photograph and waves; unit 1 is zero, unit 2 constant, unit 3 not a number (where so many exist)."""
    height, width = layer.spatial or (1, 1)
    grey = np.asarray(Image.fromarray(photo).convert("L").resize((width, height)), np.float64) / 255
    number = np.arange(layer.num_units)
    maps = np.stack([np.abs(grey - (n % 7) / 6) * (1 + 0.5 * gabor(max(height, width), n)[:height, :width]) for n in number])
    if signed:
        maps -= maps.mean()
    state = ["ok"] * layer.num_units
    for unit, name in ((1, "zero"), (2, "constant"), (3, "nan")):
        if layer.num_units > 4 and layer.spatial:
            state[unit] = name
            maps[unit] = 0 if name != "constant" else 0.5
    high = np.maximum(np.abs(maps).max(axis=(1, 2)), 1e-6)
    if not layer.spatial:
        high[:] = high.max()

    def grey_tiles(bound: np.ndarray) -> np.ndarray:
        scaled = maps / bound[:, None, None]
        return (255 * ((scaled + 1) / 2 if signed else scaled)).round().clip(0, 255).astype(np.uint8)

    strongest = [int(i) for i in np.argsort(-maps.max(axis=(1, 2)), kind="stable")[:12]]
    exists = [None if s == "nan" else 1 for s in state]

    def column(values: np.ndarray) -> list[float | None]:
        return [float(v) if e else None for v, e in zip(values, exists, strict=True)]

    return FeatureMaps(
        layer=layer.name,
        probe=probe,
        value=value,
        map_size=(height, width),
        num_units=layer.num_units,
        signed=signed,
        tile_sheets=files.sheets(grey_tiles(high)),
        tile_bounds=[(-float(h) if signed else 0.0, float(h)) for h in high],
        shared_bounds=(-float(high.max()) if signed else 0.0, float(high.max())),
        statistics=UnitStatistics(
            minimum=column(maps.min(axis=(1, 2))),
            maximum=column(maps.max(axis=(1, 2))),
            mean=column(maps.mean(axis=(1, 2))),
            zero_fraction=[float((m == 0).mean()) for m in maps],
            state=state,
        ),
        strongest=strongest,
        strip=files.sheets(grey_tiles(high)[strongest])[0],
    )


def filters(files: Files, layer: Layer, look: str, inputs: tuple[str, int]) -> Filters:
    """inputs: name and number of units of the layer before."""
    units = layer.num_units
    source, num_inputs = inputs
    side = 5
    waves = np.stack([gabor(side, n) for n in range(units)])
    grey = (127.5 + 127.5 * waves).astype(np.uint8)
    colour = np.stack([np.roll(grey, k, axis=0) for k in range(3)], axis=-1)
    strongest = [
        [StrongInput(layer=source, channel=(u + 3 * k) % num_inputs, weight=1 / (k + 1)) for k in range(4)]
        for u in range(units)
    ]
    tiles = {"colour": colour, "depthwise": colour, "grey": grey, "spatial": np.tile(colour, (1, 4, 4, 1))}.get(look)
    chart = np.full((80, 320, 3), 255, np.uint8)
    chart[40:, ::8] = 120
    return Filters(
        layer=layer.name,
        look=look,
        kernel_shape=layer.kernel_shape,
        num_units=units,
        bounds=(-0.73, 0.73),
        sheets=files.sheets(tiles) if tiles is not None else [],
        matrix=files.picture(np.repeat(np.resize(grey, (units, num_inputs))[..., None], 3, axis=2)) if tiles is None else None,
        num_strongest=4,
        strongest=strongest if look in ("spatial", "matrix") else [[] for _ in range(units)],
        strongest_sheets=files.sheets(np.repeat(colour, 4, axis=0)) if look == "spatial" else [],
        norms=[float(np.linalg.norm(w)) for w in waves],
        scale=[1.0] * units,
        bias=[0.01 * n for n in range(units)],
        chart=files.picture(chart),
    )


def field(size: int, stride: int) -> ReceptiveField:
    return ReceptiveField(size=(size, size), stride=(stride, stride), first=(-(size // 2), -(size // 2)))


def graph(num_units: int, names: dict[str, str]) -> Graph:
    """Six layers: a stem, a depthwise, a pointwise and a spatial convolution, a global mean, a dense layer."""
    half, quarter = INPUT_PX // 2, INPUT_PX // 4
    n = {
        key: names.get(key, key) for key in ("stem", "blocks.0.depthwise", "blocks.0.project", "blocks.1.conv", "mean", "head")
    }
    stem, depthwise, project, conv, mean, head = n.values()
    whole = ReceptiveField(size=(INPUT_PX, INPUT_PX), stride=(0, 0), first=(0, 0), whole=True)
    layers = (
        Layer(
            name=stem, kind="conv", inputs=("input",), shape=(half, half, 12), activation="relu6", num_params=900,
            flops=2_000_000, receptive_field=field(5, 2), kernel_shape=(5, 5, 3, 12), strides=(2, 2),
        ),
        Layer(
            name=depthwise, kind="depthwise_conv", inputs=(stem,), shape=(half, half, 12), activation="relu6", num_params=300,
            flops=500_000, receptive_field=field(13, 2), kernel_shape=(5, 5, 1, 12), strides=(1, 1), groups=12,
        ),
        Layer(
            name=project, kind="conv", inputs=(depthwise,), shape=(half, half, 8), num_params=96, flops=200_000,
            receptive_field=field(13, 2), kernel_shape=(1, 1, 12, 8), strides=(1, 1),
        ),
        Layer(
            name=conv, kind="conv", inputs=(project,), shape=(quarter, quarter, num_units), activation="relu",
            num_params=200 * num_units, flops=9_000_000, receptive_field=field(21, 4),
            kernel_shape=(5, 5, 8, num_units), strides=(2, 2),
        ),
        Layer(name=mean, kind="mean", inputs=(conv,), shape=(num_units,), receptive_field=whole),
        Layer(
            name=head, kind="dense", inputs=(mean,), shape=(10,), num_params=10 * num_units, flops=20 * num_units,
            receptive_field=whole, kernel_shape=(num_units, 10),
        ),
    )  # fmt: skip
    return Graph(input_shape=(INPUT_PX, INPUT_PX, 3), layers=layers, outputs=(head,))


@cache
def photo(number: int) -> np.ndarray:
    """uint8 `(64, 64, 3)`: scikit-image's cat, and pictures made of waves."""
    if number == 0:
        from skimage import data

        cat = Image.fromarray(data.chelsea()).crop((75, 0, 375, 300))
        return np.asarray(cat.resize((INPUT_PX, INPUT_PX)))
    waves = np.stack([gabor(INPUT_PX, number + k) for k in range(3)], axis=-1)
    return (127.5 + 127.5 * waves).astype(np.uint8)


def model(
    files: Files,
    name: str = "tiny",
    title: str = "Tiny Net",
    num_units: int = 16,
    num_probes: int = 3,
    names: dict[str, str] | None = None,
    probe_titles: tuple[str, ...] = ("Cat", "Waves", "Rings"),
    values: tuple[str, ...] = ("activation",),
    labels: tuple[str, ...] | None = None,
    probe_labels: tuple[str | None, ...] = (None,),
    units: str | None = None,
    vis_px: int = 96,
) -> ModelContent:
    net = graph(num_units, names or {})
    stem, depthwise, project, conv, _, head = net.layers
    looks = [
        (stem, "colour", ("input", 3)),
        (depthwise, "depthwise", (stem.name, 12)),
        (project, "matrix", (depthwise.name, 12)),
        (conv, "spatial", (project.name, 8)),
        (head, "matrix", (net.layers[4].name, num_units)),
    ]
    preprocessing = Preprocessing(size_px=(INPUT_PX, INPUT_PX), mean=(127.0,), std=(128.0,), range=(0.0, 255.0))
    probes, maps = [], []
    for number in range(num_probes):
        shown = photo(number)
        text = probe_titles[number % len(probe_titles)] + ("" if number < len(probe_titles) else f" {number}")
        info = ProbeInfo(
            name=text.lower(),
            title=text,
            set="made",
            provenance="made here",
            licence="CC0",
            width_px=300,
            height_px=300,
            label=probe_labels[number % len(probe_labels)],
        )
        thumbnail = np.asarray(Image.fromarray(shown).resize((48, 48)))
        probes.append(
            ProbePictures(
                probe=info, preprocessing=preprocessing, shown=files.picture(shown), thumbnail=files.picture(thumbnail)
            )
        )
        for layer in net.layers:
            for value in values:
                signed = layer in (project, head) or value == "pre_activation"
                maps.append(feature_maps(files, layer, info.name, shown, value, signed))
    of_units = {}
    if units:
        from tests.pages import small_units

        of_units = small_units.of_units(files, net, tuple(probes), units, vis_px)
    predictions = Predictions(
        scores="probability",
        top=tuple(Prediction(index=k, label=labels[k] if labels else f"class {k}", score=0.6 / (k + 1)) for k in range(5)),
    )
    return ModelContent(
        info=ModelInfo(
            name=name,
            title=title,
            description="Six layers, made up.",
            source="zoo: tiny",
            weights=WeightsInfo(
                file="tiny.safetensors", format="safetensors", digest="a1" * 32, num_bytes=123456, licence="MIT",
                provenance="trained nowhere",
            ),
            preprocessing=preprocessing,
            num_params=sum(layer.num_params for layer in net.layers),
            num_classes=10,
            facts=[("Test accuracy", "93.1 %")],
        ),
        graph=net,
        labels=labels,
        layers=tuple(layer.name for layer in net.layers),
        choice=f"All {len(net.layers)} layers are shown.",
        filters={layer.name: filters(files, layer, look, inputs) for layer, look, inputs in looks},
        feature_maps=maps,
        probes=tuple(probes),
        predictions={p.probe.name: predictions for p in probes},
        **of_units,
    )  # fmt: skip


def color_tables() -> tuple[ColorTable, ...]:
    up = tuple(i / 255 for i in range(256))
    down, flat = tuple(reversed(up)), (0.2,) * 256
    return (
        ColorTable(name="ember", title="Ember", signed=False, red=up, green=tuple(x * x for x in up), blue=flat),
        ColorTable(name="grey", title="Grey", signed=False, red=up, green=up, blue=up),
        ColorTable(name="blue_red", title="Blue to red", signed=True, red=up, green=flat, blue=down),
        ColorTable(name="grey_signed", title="Grey", signed=True, red=up, green=up, blue=up),
    )


def small_gallery(
    base_url: str | None = None, units: bool = False, **of_model: object
) -> tuple[GalleryContent, dict[str, bytes]]:
    """The content and its picture files by path. of_model: arguments of `model`.

    units: with feature visualisations, exemplars and all else of `small_units`: of a labelled dataset for the first model, of
    crops for the second.
    """
    files = Files()
    first = model(files, units="images" if units else None, **of_model)
    second = model(files, name="other", title="Other Net", num_units=8, num_probes=2, units="crops" if units else None)
    content = GalleryContent(
        title="Test gallery",
        description="Two made-up networks.",
        base_url=base_url,
        models=(first, second),
        color_tables=color_tables(),
        versions=[("jax", "0.0"), ("python", "3.11")],
        config_text="models:\n  - name: '<tiny> & co'\n",
    )
    return content, files.content


def write_site(content: GalleryContent, files: dict[str, bytes], folder: Path) -> Path:
    """All pages, assets and pictures under `folder`, which is given back."""
    pages = {page.path: render(page).encode() for page in outline(content)}
    for path, data in {**pages, **assets(), **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
