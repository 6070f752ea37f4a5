"""The numbers that a layer's page and journeys read when a tile is opened."""

from __future__ import annotations

from generator.pages import inputs, urls
from generator.pages.content import Link
from generator.pages.gallery import Model
from generator.records import Filters, Record, Sheet, UnitStatistics


class MapNumbers(Record):
    """A tile's own bounds follow from its minimum and maximum: 0 or minus the larger of both, and the larger of both."""

    probe: str
    value: str
    signed: bool
    shared_bounds: tuple[float, float]
    statistics: UnitStatistics


class FilterNumbers(Record):
    """links: each strongest input's layer and, where it has one, its page. sheets: of the strongest slices."""

    norms: list[float | None]
    scale: list[float | None]
    bias: list[float | None]
    num_strongest: int
    strongest: list[list[tuple[int, int, float]]]
    sources: tuple[Link, ...]
    sheets: tuple[Sheet, ...]


class LayerNumbers(Record):
    """All numbers of a layer, for its page and for journeys; `data/` of DESIGN in the shape a script can load from `file://`.

    vis: of each visualised unit, what its image reached and what the climb began with; `unexcited` units' are None.
    """

    layer: str
    maps: tuple[MapNumbers, ...]
    filters: FilterNumbers | None
    vis: dict[int, tuple[float | None, float | None] | None]


def layer_numbers(model: Model, name: str) -> LayerNumbers:
    filters, found = model.content.filters.get(name), model.content.feature_vis.get(name)
    return LayerNumbers(
        layer=name,
        maps=tuple(
            MapNumbers(
                probe=m.probe,
                value=m.value,
                signed=m.signed,
                shared_bounds=m.shared_bounds,
                statistics=m.statistics,
            )
            for m in model.maps_by_layer.get(name, ())
        ),
        filters=_filter_numbers(model, filters) if filters else None,
        vis={u.unit: (u.reached, u.start) if u.state == "ok" else None for u in found.units} if found else {},
    )


def _filter_numbers(model: Model, filters: Filters) -> FilterNumbers:
    """Layers of strongest inputs are listed once and referred to by their place in the list."""
    sources = list(dict.fromkeys(strong.layer for found in filters.strongest for strong in found))
    place = {name: i for i, name in enumerate(sources)}
    # From the site's root: journeys, one folder deeper, read the same file.
    return FilterNumbers(
        norms=filters.norms,
        scale=filters.scale,
        bias=filters.bias,
        num_strongest=filters.num_strongest,
        strongest=[[(place[s.layer], s.channel, s.weight) for s in found] for found in filters.strongest],
        sources=tuple(inputs.source(model, source, urls.HOME) for source in sources),
        sheets=tuple(filters.strongest_sheets),
    )
