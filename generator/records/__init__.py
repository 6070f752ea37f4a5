"""The plain records that rooms hand to each other and that the store keeps as JSON.

Frozen pydantic models: `model_dump_json()` writes one, `model_validate_json()` reads it back. No JAX, no matplotlib.
Lists with an entry per unit are in unit order. `None` stands for a number that does not exist (NaN, infinity).
"""

from generator.records.base import (
    ColorTable,
    ModelInfo,
    Picture,
    Preprocessing,
    ProbeInfo,
    ProbePictures,
    Record,
    Sheet,
    WeightsInfo,
)
from generator.records.layers import (
    FeatureMaps,
    Filters,
    Prediction,
    Predictions,
    StrongInput,
    UnitStatistics,
)
from generator.records.units import (
    DatasetImage,
    DatasetImages,
    DatasetInfo,
    Exemplar,
    Exemplars,
    FeatureVis,
    FeatureVisSetup,
    Responses,
    Tuning,
    UnitExemplars,
    VisualisedUnit,
    Wire,
    Wires,
)

__all__ = [
    "ColorTable",
    "DatasetImage",
    "DatasetImages",
    "DatasetInfo",
    "Exemplar",
    "Exemplars",
    "FeatureMaps",
    "FeatureVis",
    "FeatureVisSetup",
    "Filters",
    "ModelInfo",
    "Picture",
    "Prediction",
    "Predictions",
    "Preprocessing",
    "ProbeInfo",
    "ProbePictures",
    "Record",
    "Responses",
    "Sheet",
    "StrongInput",
    "Tuning",
    "UnitExemplars",
    "UnitStatistics",
    "VisualisedUnit",
    "WeightsInfo",
    "Wire",
    "Wires",
]
