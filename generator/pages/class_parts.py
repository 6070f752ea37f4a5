"""What pages of classes share: shares and intervals in words, images of the dataset, and a unit's answer to every class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from generator.pages import tiles, wording
from generator.pages.chips import UnitChip, chip
from generator.pages.gallery import Model
from generator.records import Classes, DatasetImage, Measured, Record, Sheet

#: Sides of the drawing of a unit's answers.
WIDTH, HEIGHT = 160, 36
#: Never at the beginning of a line.
PERCENT = "\N{NO-BREAK SPACE}%"


class ImageTile(Record):
    """A dataset's image. href: empty for one that is no exemplar. note: what it was named instead, where that is known."""

    cell: tiles.Cell
    href: str
    title: str
    note: str = ""


class MeanBars(Record):
    """A unit's mean answers to all classes, for a drawing of `WIDTH` by `HEIGHT`. path: bars of the others; own: of the class
    at hand. label: the strongest in words.
    """

    path: str
    own: str
    label: str


class SelectiveUnit(Record):
    """A unit with how selective it is for a class. bars: None where its answers to all classes were not kept."""

    chip: UnitChip
    selectivity: str
    mean: str
    others: str
    bars: MeanBars | None


def percent(share: float | None) -> str:
    """A share 0-1 with one decimal, `none` where it does not exist."""
    return "none" if share is None else f"{100 * share:.1f}{PERCENT}"


def interval(low: float | None, high: float | None) -> str:
    """The ends of an interval of a share, empty where there is none."""
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}{PERCENT}"


def probability(p: float) -> str:
    """A p-value with three decimals, never as nought."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def signed(effect: float) -> str:
    return f"{effect:+.2f}".replace("-", "\N{MINUS SIGN}")


def basis(measured: Measured) -> str:
    """What the numbers rest on, a sentence or two."""
    seen = f"Measured on {wording.plural(measured.num_labelled, 'labelled image')} of {measured.dataset}."
    return f"{seen} The numbers came with the model: the images are not on this machine." if measured.shipped else seen


def taken(classes: Classes, row: int, column: int) -> str:
    """How many images of one class are named as the other, as a clause."""
    count, total = classes.confusion[row][column], sum(classes.confusion[row])
    images = f"{count:,} of {wording.plural(total, 'image')} of {classes.labels[row]}"
    share = f" ({percent(count / total)})" if count else ""
    return f"{images}{share} {'is' if count == 1 else 'are'} taken for {classes.labels[column]}"


def confused(classes: Classes, index: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """`(class, images)` that the class is taken for, and that are taken for it, most first, both without itself."""
    numbers = range(len(classes.labels))
    away = [(n, classes.confusion[index][n]) for n in numbers if n != index]
    towards = [(n, classes.confusion[n][index]) for n in numbers if n != index]
    return _most(away), _most(towards)


def _most(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted(((n, count) for n, count in found if count), key=lambda pair: -pair[1])


def output(model: Model, classes: Classes) -> str | None:
    """The output layer whose units are the classes, None where there is none of that width."""
    by_name = model.graph.by_name
    return next((name for name in model.graph.outputs if by_name[name].num_units == len(classes.labels)), None)


def pictured(model: Model) -> dict[int, tuple[DatasetImage, list[Sheet]]]:
    """By its number, every image of the dataset whose picture the gallery holds, with the sheets of its tile."""
    held = model.content.class_images or model.content.images
    return {image.index: (image, held.sheets) for image in held.images} if held else {}


def image_tiles(model: Model, page: str, indices: Iterable[int], notes: Mapping[int, str]) -> tuple[ImageTile, ...]:
    """Those of the images whose pictures the gallery holds, in their order. notes: by image."""
    known, own, exemplars = pictured(model), model.content.class_images, model.content.images
    # Another dataset's numbers are those of other images.
    same = own is None or (exemplars is not None and own.dataset.name == exemplars.dataset.name)
    return tuple(
        ImageTile(
            cell=tiles.cell(sheets, image.tile, smooth=sheets[0].tile_px[0] >= tiles.SMOOTH_FROM_PX),
            href=model.image_href(page, image.index) if same and image.index in model.dataset_images else "",
            title=image.title,
            note=notes.get(image.index, ""),
        )
        for image, sheets in (known[index] for index in indices if index in known)
    )


def selective_units(model: Model, page: str, classes: Classes, index: int, count: int) -> tuple[SelectiveUnit, ...]:
    """The class's `count` most selective units."""
    return tuple(
        SelectiveUnit(
            chip=chip(model, page, one.layer, one.unit),
            selectivity=wording.number(one.selectivity),
            mean=wording.number(one.mean),
            others=wording.number(one.others),
            bars=mean_bars(classes, one.layer, one.unit, index),
        )
        for one in classes.classes[index].units[:count]
    )


def mean_bars(classes: Classes, layer: str, unit: int, index: int) -> MeanBars | None:
    """Bars of the rectified means, the tallest as high as the drawing. None where they were not kept."""
    if layer not in classes.means:
        return None
    means = classes.means[layer][unit]
    known = {n: mean for n, mean in enumerate(means) if mean is not None}
    high, step = max((*known.values(), 0.0)) or 1.0, WIDTH / len(means)

    def bar(n: int) -> str:
        height = HEIGHT * max(known.get(n, 0.0), 0.0) / high
        return f"M{n * step:.4g} {HEIGHT}v-{height:.3g}h{0.8 * step:.3g}v{height:.3g}z" if height else ""

    strongest = sorted(known, key=lambda n: -known[n])[:3]
    named = ", ".join(f"{classes.labels[n]} {wording.number(known[n])}" for n in strongest)
    return MeanBars(
        path="".join(bar(n) for n in range(len(means)) if n != index),
        own=bar(index),
        label=f"Mean answer to each class, strongest first: {named}",
    )
