"""What `small_gallery(units=True)` adds: visualisations, exemplars, responses, tuning, wires and pages of units, all made up.

Layers differ in what they have: `stem` and `blocks.1.conv` everything for all units, `blocks.0.depthwise` five featured units
(one unexcited), `blocks.0.project` pages without visualisations, `mean` nothing, `head` everything but exemplars' positions.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from generator.network.graph import INPUT, Graph, Layer
from generator.records import (
    DatasetImage,
    DatasetImages,
    DatasetInfo,
    Exemplar,
    Exemplars,
    FeatureVis,
    FeatureVisSetup,
    ProbePictures,
    Responses,
    Tuning,
    UnitExemplars,
    VisualisedUnit,
    Wire,
    Wires,
)
from tests.pages.small_gallery import INPUT_PX, Files, photo

VIS_PX = 96
FEATURED = (0, 2, 5, 7, 11)
UNEXCITED = 5
LABELS = ("tabby", "lighthouse", "crane", "sea slug", "teapot")
NUM_IMAGES = 400
QUANTILES = (0.5, 0.75, 0.95)


def texture(number: int, side: int = VIS_PX) -> np.ndarray:
    """uint8 `(side, side, 3)`: something like what optimisation finds, from stripes to eyes."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[0:side, 0:side] / side - 0.5
    bend = sum(
        random.normal()
        * np.sin(2 * np.pi * (random.normal() * 1.6 * rows + random.normal() * 1.6 * columns) + 6 * random.random())
        for _ in range(3)
    )
    angle, pitch = 2.399963 * number, 2 + number % 5
    stripes = np.sin(2 * np.pi * pitch * (columns * np.cos(angle) + rows * np.sin(angle)) + 2.2 * bend)
    eyes = np.cos(2 * np.pi * pitch * np.hypot(columns + 0.1 * bend, rows))
    light = (stripes if number % 3 else eyes) * 0.8 + 0.25 * bend
    hue = 2 * np.pi * (number * 0.381966 + 0.14 * light)
    colour = np.stack([np.cos(hue + 2.094 * k) for k in range(3)], axis=-1)
    pixels = (
        0.52
        + 0.24 * light[..., None]
        + 0.2 * colour * (0.4 + np.abs(light[..., None]))
        + random.normal(0, 0.015, (side, side, 3))
    )
    return (255 * pixels.clip(0, 1)).astype(np.uint8)


def feature_vis(files: Files, layer: Layer, units: tuple[int, ...], px: int = VIS_PX) -> FeatureVis:
    """Every unit has a negative image, every other one three diverse ones; `UNEXCITED` of a partial layer has none."""
    excited = [units is None or len(units) == layer.num_units or u != UNEXCITED for u in units]
    more, found = [], []
    for unit, ok in zip(units, excited, strict=True):
        start = len(more)
        diverse = 3 if ok and unit % 2 == 0 else 0
        if ok:
            more += [texture(unit + 1000 + k, px) for k in range(1 + diverse)]
        found.append(
            VisualisedUnit(
                unit=unit,
                state="ok" if ok else "unexcited",
                start=0.12 if ok else 0.0,
                reached=7.5 + unit / 8 if ok else 0.0,
                lowest=-3.25 if ok else None,
                negative=start if ok else None,
                diverse=tuple(range(start + 1, start + 1 + diverse)),
            )
        )
    grey = np.random.default_rng(0).integers(96, 160, (px, px, 3)).astype(np.uint8)
    return FeatureVis(
        layer=layer.name,
        setup=FeatureVisSetup(
            objective="channel" if layer.spatial else "unit",
            value="activation",
            parameterisation="fourier",
            preset="standard",
            size_px=px,
            steps=256,
            seed=0,
            input_range=(-1.0, 1.0),
        ),
        units=found,
        sheets=files.sheets(np.stack([texture(u, px) if ok else grey for u, ok in zip(units, excited, strict=True)])),
        more_sheets=files.sheets(np.stack(more)),
    )


def images(files: Files, probes: tuple[ProbePictures, ...], kind: str) -> DatasetImages:
    """Thirty images: photographs' crops where `kind` is `crops`, else labelled ones, one without a label."""
    chosen = list(range(3, NUM_IMAGES, 14))
    whole = []
    for i in chosen:
        shown = np.asarray(Image.fromarray(photo(i % len(probes))))
        top, side = (7 * i) % 24, 40 - i % 17
        whole.append(np.asarray(Image.fromarray(shown[top : top + side, top : top + side]).resize((INPUT_PX, INPUT_PX))))
    return DatasetImages(
        dataset=DatasetInfo(
            name="made",
            title="Made-up images" if kind == "images" else "Crops of the photographs",
            kind=kind,
            num_images=NUM_IMAGES,
            provenance="made here",
            licence="CC0",
            labels=LABELS if kind == "images" else None,
        ),
        images=[
            DatasetImage(
                index=i,
                title=f"image {i}" if kind == "images" else f"{probes[i % len(probes)].probe.title}, crop {i}",
                label=LABELS[i % 5] if kind == "images" and i != chosen[0] else None,
                probe=probes[i % len(probes)].probe.name if kind == "crops" else None,
                tile=place,
            )
            for place, i in enumerate(chosen)
        ],
        sheets=files.sheets(np.stack(whole)),
    )


def exemplars(files: Files, layer: Layer, shown: DatasetImages, px: int = 64) -> Exemplars:
    """Nine highest, three lowest, three between, for every unit."""
    indices = [image.index for image in shown.images]
    patches, units = [], []

    def picked(unit: int, place: int, value: float) -> Exemplar:
        index = indices[(7 * unit + 3 * place) % len(indices)]
        patches.append(texture(index, px) // 2 + np.asarray(Image.fromarray(photo(index % 3)).resize((px, px))) // 2)
        position = (place % layer.spatial[0], unit % layer.spatial[1]) if layer.spatial else None
        return Exemplar(image=index, value=value, position=position, box=(0, 0, 21, 21) if layer.spatial else (0, 0, 64, 64))

    for unit in range(layer.num_units):
        units.append(
            UnitExemplars(
                unit=unit,
                first=len(patches),
                highest=tuple(picked(unit, k, 9.5 - 0.4 * k) for k in range(9)),
                lowest=tuple(picked(unit, 9 + k, 0.01 * k) for k in range(3)),
                spread=tuple(picked(unit, 12 + k, 1.0 + 2 * k) for k in range(3)),
            )
        )
    return Exemplars(
        layer=layer.name,
        dataset="made",
        num_images=NUM_IMAGES,
        quantiles=QUANTILES,
        look="dim" if layer.spatial else "plain",
        units=units,
        sheets=files.sheets(np.stack(patches)),
    )


def responses(layer: Layer, shown: DatasetImages) -> Responses:
    """Skewed histograms of 24 bins from 0 to 12; unit 1 never answers."""
    n, labels = layer.num_units, shown.dataset.labels
    shape = [np.exp(-((np.arange(24) - unit % 9) ** 2) / 18) if unit != 1 else np.eye(24)[0] for unit in range(n)]
    counts = [np.floor(NUM_IMAGES * s / s.sum()).astype(int) for s in shape]
    means = [[round(float(abs(np.sin(unit + 2 * k)) * 4), 3) for k in range(len(labels or ()))] for unit in range(n)]
    return Responses(
        layer=layer.name,
        dataset="made",
        num_images=NUM_IMAGES,
        mean=[0.0 if u == 1 else 1.5 + u / 10 for u in range(n)],
        std=[0.0 if u == 1 else 0.8 for u in range(n)],
        minimum=[0.0] * n,
        maximum=[0.0 if u == 1 else 9.5 for u in range(n)],
        active=[0.0 if u == 1 else 0.31 for u in range(n)],
        edges=[i / 2 for i in range(25)],
        counts=[[int(c) for c in row] for row in counts],
        class_means=means if labels else None,
        selectivity=[round((u % 10) / 10, 2) for u in range(n)] if labels else None,
    )


def tuning(layer: Layer) -> Tuning:
    n = layer.num_units
    answers = [None if u == 1 else u for u in range(n)]
    return Tuning(
        layer=layer.name,
        orientation=[None if u is None else round((u % 10) / 10, 2) for u in answers],
        angle_deg=[None if u is None else (u * 37.0) % 180 for u in answers],
        colour=[None if u is None else round((u % 7) / 7, 2) for u in answers],
        hue_deg=[None if u is None else (u * 47.0) % 360 for u in answers],
    )


def wires(net: Graph, layer: Layer) -> Wires:
    """Six inputs and six outputs of alternating sign, as far as the neighbours have so many units."""
    source = layer.inputs[0]
    num_inputs = net.input_shape[-1] if source == INPUT else net.by_name[source].num_units
    readers = net.consumers(layer.name)

    def some(unit: int, other: str, width: int) -> list[Wire]:
        return [
            Wire(layer=other, channel=(3 * unit + k) % width, weight=(-1) ** (k + unit) * round(0.9 / (k + 1), 3))
            for k in range(min(6, width))
        ]

    return Wires(
        layer=layer.name,
        inputs=[some(u, source, num_inputs) for u in range(layer.num_units)],
        outputs=[some(u, readers[0], net.by_name[readers[0]].num_units) if readers else [] for u in range(layer.num_units)],
    )


def of_units(files: Files, net: Graph, probes: tuple[ProbePictures, ...], kind: str, px: int = VIS_PX) -> dict[str, object]:
    """The fields of `ModelContent` about units. kind: of the dataset."""
    stem, depthwise, project, conv, _, head = net.layers
    shown = images(files, probes, kind)
    full = (stem, conv, head)
    return {
        "feature_vis": {
            **{layer.name: feature_vis(files, layer, tuple(range(layer.num_units)), px) for layer in full},
            depthwise.name: feature_vis(files, depthwise, tuple(u for u in FEATURED if u < depthwise.num_units), px),
        },
        "exemplars": {layer.name: exemplars(files, layer, shown, min(px, 64)) for layer in full},
        "responses": {layer.name: responses(layer, shown) for layer in full},
        "tuning": {layer.name: tuning(layer) for layer in (stem, depthwise)},
        "wires": {layer.name: wires(net, layer) for layer in net.layers},
        "images": shown,
        "unit_pages": {
            **{layer.name: tuple(range(layer.num_units)) for layer in full},
            depthwise.name: FEATURED,
            project.name: (0, 3, 4),
        },
    }
