"""The layer's numbers as the compact JSON that `site.js` reads: one list for each quantity, in unit order.

Three significant digits, means two. Minima are there where the layer has negative values; elsewhere the share of zeros says
more. A list of zeros only is written as 0, states that are all `ok` as an empty text.
"""

from __future__ import annotations

import json
from typing import Any

from generator.pages.layer_numbers import FilterNumbers, LayerNumbers, MapNumbers

#: One letter for each state of a unit: ok, constant, zero, nan, infinite.
LETTERS = {"ok": "o", "constant": "c", "zero": "z", "nan": "n", "infinite": "i"}


def numbers_json(view: LayerNumbers) -> str:
    """JSON that is also safe inside a script element."""
    payload: dict[str, Any] = {
        "layer": view.layer,
        "maps": [_maps(maps) for maps in view.maps],
        "filters": _filters(view.filters) if view.filters else None,
    }
    if view.vis:
        payload["vis"] = {unit: [_short(x) for x in pair] if pair else None for unit, pair in view.vis.items()}
    text = json.dumps(payload, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _maps(maps: MapNumbers) -> dict[str, Any]:
    statistics = maps.statistics
    return {
        "probe": maps.probe,
        "value": maps.value,
        "signed": maps.signed,
        # Divides every tile's bound where the reader chooses the shared scale, hence the digits.
        "shared": float(f"{maps.shared_bounds[1]:.6g}"),
        "min": [_short(x) for x in statistics.minimum] if maps.signed else 0,
        "max": [_short(x) for x in statistics.maximum],
        "mean": [_short(x, 2) for x in statistics.mean],
        "zero": [round(100 * x) for x in statistics.zero_fraction] if any(statistics.zero_fraction) else 0,
        "state": "".join(LETTERS[state] for state in statistics.state) if set(statistics.state) != {"ok"} else "",
    }


def _filters(filters: FilterNumbers) -> dict[str, Any]:
    return {
        "norms": [_short(x) for x in filters.norms],
        "scale": [_short(x) for x in filters.scale],
        "bias": [_short(x) for x in filters.bias],
        "per_filter": filters.num_strongest,
        "strongest": [[(source, channel, _short(w)) for source, channel, w in inputs] for inputs in filters.strongest],
        "sources": [source.model_dump() for source in filters.sources],
        "sheets": [sheet.model_dump(include={"file", "tile_px", "columns", "first", "count"}) for sheet in filters.sheets],
    }


def _short(value: float | None, digits: int = 3) -> float | int | None:
    if value is None:
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded
