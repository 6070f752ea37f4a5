"""What is known of classes as files: the whole record, and a row for each unit."""

from __future__ import annotations

from collections.abc import Iterator

from generator.pages.content import Page
from generator.pages.data_files import csv_text, data_page, json_text
from generator.pages.gallery import Model
from generator.records import Classes

HEADER = ("layer", "unit", "selectivity", "best_class", "mean_of_best", "mean_of_others")
Row = tuple[str, int, float, str, float | None, float | None]


def data_paths(model: Model) -> tuple[tuple[str, str], tuple[str, str]]:
    """What each file holds, and its path from the site's root."""
    stem = model.places.classes.removesuffix(".html")
    return ("all numbers (JSON)", f"{stem}.json"), ("a row for each unit (CSV)", f"{stem}.csv")


def class_data(model: Model, classes: Classes) -> list[Page]:
    (_, whole), (_, rows) = data_paths(model)
    return [
        data_page(whole, json_text(classes)),
        data_page(rows, csv_text(HEADER, unit_rows(classes))),
    ]


def unit_rows(classes: Classes) -> Iterator[Row]:
    """By layer and unit; where there are too many classes, only units that are among the most selective for one."""
    if not classes.means:
        best = {(one.layer, one.unit): (found.name, one) for found in classes.classes for one in found.units}
        for (layer, unit), (name, one) in sorted(best.items()):
            yield layer, unit, one.selectivity, name, one.mean, one.others
    for layer, units in classes.means.items():
        for unit, (means, selectivity) in enumerate(zip(units, classes.selectivity[layer], strict=True)):
            known = {label: mean for label, mean in zip(classes.labels, means, strict=True) if mean is not None}
            if known:
                best_of = max(known, key=lambda label: known[label])
                others = [mean for label, mean in known.items() if label != best_of]
                yield layer, unit, selectivity, best_of, known[best_of], sum(others) / len(others) if others else None
