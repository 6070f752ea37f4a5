"""What `small_gallery(units=True)` adds: visualisations, exemplars, responses, tuning, wires and pages of units, all made up.

Layers differ in what they have: `stem` and `blocks.1.conv` everything for all units, `blocks.0.depthwise` five featured units
(one unexcited), `blocks.0.project` pages without visualisations, `mean` nothing, `head` everything but exemplars' positions.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from generator.network.graph import INPUT, Graph, Layer
from generator.records import (
    Classes,
    ClassFindings,
    ClassUnit,
    Cluster,
    Comparison,
    DatasetImage,
    DatasetImages,
    DatasetInfo,
    Exemplar,
    Exemplars,
    FeatureVis,
    FeatureVisSetup,
    Health,
    LayerHealth,
    Measured,
    Opposite,
    ProbePictures,
    Quirk,
    Removal,
    Responses,
    Tuning,
    Twin,
    UnitEffect,
    UnitExemplars,
    UnitFault,
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


@cache
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


@cache
def patch(index: int, px: int) -> np.ndarray:
    """uint8 `(px, px, 3)`: a texture over a photograph."""
    return texture(index, px) // 2 + np.asarray(Image.fromarray(photo(index % 3)).resize((px, px))) // 2


def exemplars(files: Files, layer: Layer, shown: DatasetImages, px: int = 64) -> Exemplars:
    """Nine highest, three lowest, three between, for every unit."""
    indices = [image.index for image in shown.images]
    patches, units = [], []

    def picked(unit: int, place: int, value: float) -> Exemplar:
        index = indices[(7 * unit + 3 * place) % len(indices)]
        patches.append(patch(index, px))
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


def classes(net: Graph, shown: DatasetImages, labels: tuple[str, ...] = LABELS) -> Classes:
    """Forty images a class, the last two confused most; every pair compared but the first with the last."""
    n, random = len(labels), np.random.default_rng(8)
    confusion = random.poisson(0.8, (n, n)) * (1 - np.eye(n, dtype=int))
    confusion[n - 2, n - 1], confusion[n - 1, n - 2] = 7, 4
    confusion[np.arange(n), np.arange(n)] = 40 - confusion.sum(axis=1)
    of = [[image.index for image in shown.images if image.label == label] for label in labels]
    layers = [layer for layer in net.layers if layer.name not in net.outputs]

    def effect(place: int) -> UnitEffect:
        layer, g = layers[-1 - place % len(layers)], (-1) ** place * (3.2 - 0.25 * place)
        return UnitEffect(
            layer=layer.name, unit=(5 * place) % layer.num_units, mean_first=2 + g, mean_second=2.0, effect=g,
            low=g - 0.4 - 0.03 * place, high=g + 0.4 + 0.03 * place, p=10.0 ** (place - 9),
        )  # fmt: skip

    def one(i: int) -> ClassFindings:
        right, named = int(confusion[i, i]), int(confusion[:, i].sum())
        return ClassFindings(
            index=i, name=labels[i], num_images=40, recall=right / 40, low=max(0.0, right / 40 - 0.11),
            high=min(1.0, right / 40 + 0.06), precision=right / named if named else None, own=(7 * i) % 4,
            units=tuple(
                ClassUnit(
                    layer=layers[-1 - k % 2].name, unit=(3 * i + k) % layers[-1].num_units, selectivity=0.82 - 0.07 * k,
                    mean=4.1 - 0.3 * k, others=0.4 + 0.1 * k,
                )
                for k in range(6)
            ),
            hits=(*of[i][2:], 1), misses=(*of[i][:2], 2),
        )  # fmt: skip

    pairs = sorted(
        ((a, b) for a in range(n) for b in range(a + 1, n) if (a, b) != (0, n - 1)),
        key=lambda pair: -int(confusion[pair] + confusion[pair[::-1]]),
    )
    right = float(np.trace(confusion) / confusion.sum())
    return Classes(
        measured=Measured(dataset="Made-up images", num_images=NUM_IMAGES, num_labelled=40 * n, positions=9),
        labels=labels,
        accuracy=right,
        low=right - 0.05,
        high=right + 0.04,
        confusion=tuple(tuple(int(c) for c in row) for row in confusion),
        layer_selectivity={layer.name: round(0.1 + 0.07 * i, 3) for i, layer in enumerate(net.layers)},
        classes=tuple(one(i) for i in range(n)),
        comparisons=tuple(
            Comparison(
                first=a, second=b, first_as_second=int(confusion[a, b]), second_as_first=int(confusion[b, a]), num_tested=64,
                num_significant=0 if not confusion[a, b] else 41, units=tuple(effect(k) for k in range(8)),
                swapped=(*of[a][:2], *of[b][:1], 2),
            )
            for a, b in pairs
        ),
        own_from=0.5,
        significant_to=0.05,
        selectivity={layer.name: tuple(random.random(layer.num_units).round(3)) for layer in net.layers},
        means={layer.name: tuple(map(tuple, random.random((layer.num_units, n)).round(3))) for layer in net.layers},
    )  # fmt: skip


THRESHOLDS = {"rare": 0.01, "alike": 0.98, "kernel": 0.999, "opposite": -0.99, "tiny": 0.001, "noisy": 0.8}

#: Units of an ill layer.
DEAD, TWINS = {1, 3}, {5, 7, 8}


def health(net: Graph, dataset: str, labelled: bool) -> Health:
    """Where labelled, `stem` and `blocks.1.conv` have every kind of fault; else all is fine. Others are fine in either case."""
    stem, _, _, conv, mean, _ = net.layers

    def of_layer(layer: Layer) -> LayerHealth:
        n, ill = layer.num_units, labelled and layer in (stem, conv)
        faults, clusters = [], []
        if ill or (labelled and layer is mean):
            faults = [UnitFault(unit=1, kind="silent", value=0.0), UnitFault(unit=9, kind="rare", value=0.0025)]
        if ill:
            faults += [UnitFault(unit=3, kind="weightless", value=4.2e-05), UnitFault(unit=4, kind="nan", value=None)]
            twins = (Twin(unit=5, correlation=0.9969, kernel=0.91), Twin(unit=8, correlation=None, kernel=0.99962))
            clusters = [Cluster(kept=2, others=twins), Cluster(kept=0, others=(Twin(unit=7, correlation=0.981, kernel=-0.2),))]
        return LayerHealth(
            layer=layer.name, num_units=n, faults=tuple(faults), clusters=tuple(clusters),
            opposites=(Opposite(first=6, second=10, kernel=-0.9973),) if ill else (), rank=0.4 * n + 0.123,
            importance=tuple((u + 1) / (n * (n + 1) / 2) for u in range(n)) if layer.has_kernel else None,
            noise=tuple(round(0.05 * u, 2) for u in range(n)) if layer is stem else None,
            noisy=(11,) if ill and layer is stem else (),
            removable=tuple(sorted(DEAD | TWINS)) if ill else (1,) if faults else (),
        )  # fmt: skip

    def removal(layer: Layer | None, kind: str, units: tuple[int, ...], number: int, loss: float) -> Removal:
        right = {"before": 0.931, "accuracy": 0.931 - loss, "low": -loss - 0.3 * loss - 0.004, "high": -loss + 0.004}
        return Removal(
            layer=layer.name if layer else None, kind=kind, num_units=number, units=units, num_images=500,
            **(right if labelled else dict.fromkeys(right)), changed=round(loss * 1.5, 4), shift=loss,
        )  # fmt: skip

    layers = tuple(of_layer(layer) for layer in net.layers)
    found = [
        removal(layer, "weakest", tuple(range(layer.num_units * k // 4)), layer.num_units * k // 4, (0.0, 0.004, 0.31)[k - 1])
        for layer in (stem, conv)
        for k in (1, 2, 3)
    ]
    gone = {"dead": DEAD, "redundant": TWINS}
    found += [
        removal(net.by_name[one.layer], kind, tuple(sorted(units & set(one.removable))), len(units & set(one.removable)), 0.002)
        for one in layers
        for kind, units in gone.items()
        if units & set(one.removable)
    ]
    if labelled:
        found.append(removal(None, "dead", (), sum(len(DEAD & set(one.removable)) for one in layers), 0.006))
    return Health(
        measured=Measured(dataset=dataset, num_images=NUM_IMAGES, num_labelled=NUM_IMAGES if labelled else 0, positions=9),
        thresholds=THRESHOLDS,
        accuracy=0.931 if labelled else None,
        layers=layers,
        removals=tuple(found),
    )


def quirks(net: Graph, labels: tuple[str, ...], probe: str) -> tuple[Quirk, ...]:
    """One of each kind of evidence."""
    stem, depthwise, _, conv, *_ = (layer.name for layer in net.layers)
    return (
        Quirk(kind="removable", text=f"Of the units of {conv}, 5 say nothing of their own.", surprise=0.9, layer=conv),
        Quirk(kind="spare", text=f"{stem} can do without 3 of its 12 units.", surprise=0.8, layer=stem),
        Quirk(kind="alike", text=f"Units 2 and 5 of {conv} say nearly the same.", surprise=0.7, layer=conv, unit=5),
        Quirk(kind="confused", text=f"{labels[-2]} and {labels[-1]} are mistaken for each other.", surprise=0.6,
              first=len(labels) - 2, second=len(labels) - 1),
        Quirk(kind="without-unit", text=f"{labels[0]} is the only class without a unit of its own.", surprise=0.5, first=0),
        Quirk(kind="misnamed", text=f"The probe {probe} is named something else.", surprise=0.4, probe=probe),
        Quirk(kind="selective", text=f"Unit 3 of {stem} is the most selective.", surprise=0.35, layer=stem, unit=3, first=1),
        Quirk(kind="oriented", text=f"{depthwise} is about orientation.", surprise=0.3, layer=depthwise),
    )  # fmt: skip


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
        "classes": classes(net, shown) if kind == "images" else None,
        "health": health(net, shown.dataset.title, kind == "images"),
        "quirks": quirks(net, LABELS, probes[0].probe.name) if kind == "images" else (),
        "unit_pages": {
            **{layer.name: tuple(range(layer.num_units)) for layer in full},
            depthwise.name: FEATURED,
            project.name: (0, 3, 4),
        },
    }
