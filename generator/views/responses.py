"""Responses: how a layer's units answer to a dataset."""

from __future__ import annotations

import numpy as np

from generator.records import DatasetInfo, Responses
from generator.views.statistics import finite_numbers


def measure(
    layer: str,
    dataset: DatasetInfo,
    *,
    mean: np.ndarray,
    std: np.ndarray,
    minimum: np.ndarray,
    maximum: np.ndarray,
    active: np.ndarray,
    edges: np.ndarray,
    counts: np.ndarray,
    class_means: np.ndarray,
) -> Responses:
    """The record of a layer of `u` units, from what one pass over the dataset found (`network.tally.LayerSurvey`).

    mean, std, minimum, maximum, active: `(u,)`. edges: `(b + 1,)`; counts: `(u, b)`. class_means: `(u, num_classes)`, NaN for a
    class without images, which has no part in the selectivity; `(u, 0)` for a dataset without labels.
    """
    labelled = class_means.shape[1] > 0
    return Responses(
        layer=layer,
        dataset=dataset.name,
        num_images=dataset.num_images,
        mean=finite_numbers(mean),
        std=finite_numbers(std),
        minimum=finite_numbers(minimum),
        maximum=finite_numbers(maximum),
        active=np.round(active, 6).tolist(),
        edges=edges.tolist(),
        counts=counts.tolist(),
        class_means=[finite_numbers(row) for row in class_means.astype(np.float64)] if labelled else None,
        selectivity=np.round(selectivity(class_means), 6).tolist() if labelled else None,
    )


def selectivity(class_means: np.ndarray) -> np.ndarray:
    """Class selectivity index of each unit (Morcos, Barrett, Rabinowitz, Botvinick 2018), `(u,)` in 0-1.

    class_means: `(u, num_classes)`, negative means count as 0; classes that are not finite are left out. 0 for a unit that
    answers to no class, or where there is but one.
    """
    known = np.isfinite(class_means)
    rectified = np.where(known, np.maximum(class_means, 0), 0).astype(np.float64)
    num_known = known.sum(axis=1)
    best = rectified.max(axis=1, initial=0.0)
    others = (rectified.sum(axis=1) - best) / np.maximum(num_known - 1, 1)
    total = best + others
    return np.where((total > 0) & (num_known > 1), (best - others) / np.where(total > 0, total, 1), 0.0)
