"""What happens without some units: a table of those at fault, and for each layer a chart of ever more weak ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from generator.pages import health_words, wording
from generator.pages.class_parts import percent
from generator.pages.content import Link
from generator.pages.gallery import Model
from generator.records import Health, Record, Removal


class Chart(Record):
    """A drawing's size, and the part of it that holds the curve."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


CHART = Chart(width=220, height=112, left=34, right=214, top=8, bottom=92)


class RemovalRow(Record):
    """One thing that was tried, in words. units: which kind and how many went. before, after, change: empty where nothing
    is labelled.
    """

    link: Link
    units: str
    before: str
    after: str
    change: str
    otherwise: str
    num_images: int


class Ladder(Record):
    """Accuracy (else the share of images named as before) over the share of a layer's units that were set to zero.

    line, dots, whiskers: SVG paths. label: the same in words. words: how many could go.
    """

    anchor: str
    link: Link
    line: str
    dots: str
    whiskers: str
    label: str
    words: str


def removal_rows(model: Model, page: str, removals: Iterable[Removal]) -> tuple[RemovalRow, ...]:
    """Those of layers with weights, and that of all layers at once."""
    return tuple(_row(model, page, one) for one in removals if one.layer is None or one.layer in model.health)


def _row(model: Model, page: str, one: Removal) -> RemovalRow:
    known = one.low is not None and one.high is not None
    of = f" of {model.health[one.layer].num_units:,}" if one.layer else ""
    return RemovalRow(
        link=_link(model, page, one.layer) if one.layer else Link(text="all layers at once", href=""),
        units=f"{one.num_units:,} {one.kind}{of}",
        before="" if one.before is None else percent(one.before),
        after="" if one.accuracy is None else percent(one.accuracy),
        change=f"{health_words.points(one.low)} to {health_words.points(one.high)}" if known else "",
        otherwise=percent(one.changed),
        num_images=one.num_images,
    )


def _link(model: Model, page: str, layer: str) -> Link:
    return model.layer_link(page, layer) or Link(text=layer, href="")


def ladders(model: Model, page: str, health: Health) -> Iterator[Ladder]:
    for layer, found in model.health.items():
        steps = sorted((r for r in health.removals if r.layer == layer and r.kind == "weakest"), key=lambda r: r.num_units)
        if steps:
            yield _ladder(model, page, layer, found.num_units, steps)


def _ladder(model: Model, page: str, layer: str, num_units: int, steps: list[Removal]) -> Ladder:
    start = 1.0 if steps[0].before is None else steps[0].before
    points = [(0.0, start), *((one.num_units / num_units, _height(one)) for one in steps)]
    said = "; ".join(f"{one.num_units:,}: {percent(_height(one))}" for one in steps)
    what = "Images named as before" if steps[0].before is None else "Accuracy"
    return Ladder(
        anchor=model.health_anchor(layer, "without"),
        link=_link(model, page, layer),
        line="M" + "L".join(f"{_x(share)} {_y(height)}" for share, height in points),
        dots="".join(f"M{_x(share)} {_y(height)}h0" for share, height in points),
        whiskers="".join(_whisker(one, num_units, start) for one in steps),
        label=f"{what} without the weakest of {wording.plural(num_units, 'unit')}: none: {percent(start)}; {said}",
        words=_outcome(steps, num_units),
    )


def _outcome(steps: list[Removal], num_units: int) -> str:
    """The most units that could go, else what the first step did."""
    spared = [one for one in steps if health_words.unharmed(one)]
    one = spared[-1] if spared else steps[0]
    of = f"{one.num_units:,} of {wording.plural(num_units, 'unit')}"
    return f"{of} could go: {health_words.change(one)}." if spared else f"Already without {of}: {health_words.change(one)}."


def _height(one: Removal) -> float:
    return one.accuracy if one.accuracy is not None else 1 - one.changed


def _whisker(one: Removal, num_units: int, start: float) -> str:
    if one.low is None or one.high is None:
        return ""
    low, high = (min(1.0, max(0.0, start + end)) for end in (one.low, one.high))
    return f"M{_x(one.num_units / num_units)} {_y(low)}V{_y(high)}"


def _x(share: float) -> float:
    return round(CHART.left + (CHART.right - CHART.left) * share, 1)


def _y(height: float) -> float:
    return round(CHART.bottom - (CHART.bottom - CHART.top) * height, 1)
