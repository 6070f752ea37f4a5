"""The views of the gallery, one line each.

To add one, write its module in `views/`, its partial in `templates/`, and its line here.

Modules are named, not imported, so that planning stays fast; `draw` imports its view when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generator.network.graph import Graph, Layer, Value
from generator.records import FeatureMaps, Filters, Record

if TYPE_CHECKING:
    import numpy as np

    from generator.build.task import Files
    from generator.render.drawn import Drawn


@dataclass(frozen=True)
class LayerView:
    """A view of a layer's weights. name: its key under `views:` in the config and its task's kind. record: what it draws.

    draw: `(graph, layer, settings, kernel, scale, offset) -> Drawn`.
    """

    name: str
    module: str
    record: type[Record]
    draw: Callable[..., Drawn]


@dataclass(frozen=True)
class MapView:
    """A view of a layer's activations on one probe. draw: `(layer, probe, value, maps) -> Drawn`."""

    name: str
    module: str
    record: type[Record]
    draw: Callable[..., Drawn]


def _filters(graph: Graph, layer: Layer, settings: Any, kernel: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> Drawn:
    from generator.views import filters

    sources = [graph.channel_source(layer.name, channel) for channel in range(layer.kernel_shape[-2] * layer.groups)]
    return filters.draw(layer, kernel, scale, offset, sources, settings.num_strongest)


def _feature_maps(layer: Layer, probe: str, value: Value, maps: np.ndarray) -> Drawn:
    from generator.views import feature_maps

    return feature_maps.draw(layer, probe, value, maps)


#: The file of an artifact that holds a view's record.
RECORD = "record.json"

LAYER_VIEWS = (LayerView("filters", "generator.views.filters", Filters, _filters),)
MAP_VIEWS = (MapView("feature_maps", "generator.views.feature_maps", FeatureMaps, _feature_maps),)

#: Kinds of tasks whose records are about units; `unit_plan.py` and `exemplar_plan.py` make them.
UNIT_VIEWS = ("feature_vis", "exemplars", "responses", "images", "tuning", "wires")

#: Kinds of tasks whose records are about a whole model; `findings_plan.py` makes them.
FINDINGS = ("health", "classes", "class_images")


def drawn_files(drawn: Drawn) -> Files:
    """A drawing as the store keeps it: its pictures, and its record as `record.json`."""
    return {**drawn.files, RECORD: drawn.record.model_dump_json().encode()}
