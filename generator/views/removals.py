"""Removals: which units are worth trying to do without, and what the network said when they were set to zero."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from generator.records import LayerHealth, Removal
from generator.views.health import DEAD
from generator.views.statistics import finite_or_none

#: Of a normal distribution, what 95 % lie within.
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Experiment:
    """Units to set to zero, by layer, rising. layer: the only one; None where those of all layers go at once."""

    layer: str | None
    kind: Literal["dead", "redundant", "weakest"]
    units: dict[str, tuple[int, ...]]


def experiments(layers: Sequence[LayerHealth], shares: Sequence[float], outputs: Collection[str]) -> list[Experiment]:
    """What to try, layer by layer, and last all dead units at once if several layers have some.

    Of each layer its dead units, and those that are redundant; and of one whose importance was measured, but none of
    `outputs`, each of `shares` (0-1) of its units, the least important first, rounded down but at least one; equal ones in
    order, no number twice.
    """
    dead = {health.layer: units for health in layers if (units := _dead(health))}
    found: list[Experiment] = []
    for health in layers:
        name = health.layer
        twins = tuple(unit for unit in health.removable if unit not in dead.get(name, ()))
        found += [Experiment(name, "dead", {name: dead[name]})] if name in dead else []
        found += [Experiment(name, "redundant", {name: twins})] if twins else []
        if health.importance is None or name in outputs:
            continue
        order = np.argsort(health.importance, kind="stable").tolist()
        # Rounded first, as 0.29 * 100 is a little less than 29.
        numbers = dict.fromkeys(max(1, math.floor(round(share * len(order), 9))) for share in shares)
        found += [Experiment(name, "weakest", {name: tuple(sorted(order[:number]))}) for number in numbers]
    if len(dead) > 1:
        found.append(Experiment(None, "dead", dead))
    return found


def _dead(health: LayerHealth) -> tuple[int, ...]:
    units = {fault.unit for fault in health.faults if fault.kind in DEAD}
    return tuple(unit for unit in health.removable if unit in units)


def removals(
    tried: Sequence[Experiment], effects: Mapping[str, np.ndarray], num_images: int, num_labelled: int
) -> tuple[Removal, ...]:
    """The records of `tried`, in order, but for those after which outputs are no numbers.

    effects: the fields of `network.ablation.Effects`, `(e,)` each, `right` alone a number, of `num_images` images of which
    `num_labelled` have a class; what depends on classes is None where none has. Raises ValueError where lengths disagree.
    """
    names = ("kept", "lost", "won", "changed", "shift")
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(effects[name].tolist() for name in names), strict=True)]
    found = []
    for experiment, row in zip(tried, rows, strict=True):
        if not math.isfinite(row["shift"]):
            continue
        low, high = paired_interval(row["lost"], row["won"], num_labelled) if num_labelled else (None, None)
        units = () if experiment.layer is None else experiment.units[experiment.layer]
        found.append(
            Removal(
                layer=experiment.layer,
                kind=experiment.kind,
                num_units=sum(map(len, experiment.units.values())),
                units=units,
                num_images=num_images,
                before=finite_or_none(int(effects["right"]) / num_labelled) if num_labelled else None,
                accuracy=finite_or_none((row["kept"] + row["won"]) / num_labelled) if num_labelled else None,
                low=low,
                high=high,
                changed=finite_or_none(row["changed"] / max(1, num_images)),
                shift=finite_or_none(row["shift"]),
            )
        )
    return tuple(found)


def paired_interval(lost: int, won: int, number: int) -> tuple[float | None, float | None]:
    """The 95 % interval of the change of accuracy, -1 to 1, when of `number` images `lost` are no longer named rightly and
    `won` newly are: Wald's, half an image more in each of the four cells (Agresti, Min 2005), so that it has a width even where
    no image changes."""
    lost, won, number = lost + 0.5, won + 0.5, number + 2
    change = (won - lost) / number
    half = NORMAL_95 * math.sqrt(max(0.0, (won + lost) / number - change**2) / number)
    return finite_or_none(max(-1.0, change - half)), finite_or_none(min(1.0, change + half))
