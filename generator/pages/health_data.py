"""What is known of a model's health as files: the whole record, and a row for each unit."""

from __future__ import annotations

from collections.abc import Iterator

from generator.pages.content import Page
from generator.pages.data_files import csv_text, data_page
from generator.pages.gallery import Model
from generator.records import Health, LayerHealth, Twin

HEADER = (
    "layer", "unit", "faults", "values", "redundant_with", "correlation", "kernel_cosine", "importance", "fine_grain",
    "removable",
)  # fmt: skip
Row = tuple[object, ...]


def data_paths(model: Model) -> tuple[tuple[str, str], tuple[str, str]]:
    """What each file holds, and its path from the site's root."""
    stem = model.places.health.removesuffix(".html")
    return ("all numbers (JSON)", f"{stem}.json"), ("a row for each unit (CSV)", f"{stem}.csv")


def health_data(model: Model, health: Health) -> list[Page]:
    (_, whole), (_, rows) = data_paths(model)
    # Safe also where a browser takes the file for a page.
    text = health.model_dump_json().replace("<", "\\u003c")
    return [
        data_page(whole, f"{text}\n"),
        data_page(rows, csv_text(HEADER, (row for found in health.layers for row in unit_rows(found)))),
    ]


def unit_rows(found: LayerHealth) -> Iterator[Row]:
    """Of one layer. Several faults of a unit, and their values, are parted by spaces."""
    twins: dict[int, tuple[int, Twin]] = {t.unit: (cluster.kept, t) for cluster in found.clusters for t in cluster.others}
    removable = set(found.removable)
    for unit in range(found.num_units):
        faults = [fault for fault in found.faults if fault.unit == unit]
        kept, twin = twins.get(unit, (None, None))
        yield (
            found.layer,
            unit,
            " ".join(fault.kind for fault in faults),
            " ".join("" if fault.value is None else repr(fault.value) for fault in faults).strip(),
            kept,
            twin.correlation if twin else None,
            twin.kernel if twin else None,
            found.importance[unit] if found.importance else None,
            found.noise[unit] if found.noise else None,
            int(unit in removable),
        )
