"""What a classifier said: its best classes with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generator.records import Prediction, Predictions


def predictions(outputs: np.ndarray, labels: Sequence[str] | None = None, k: int = 5) -> Predictions:
    """The best `k` of `outputs` float `(num_classes,)`, equal ones in class order.

    Outputs in 0-1 that sum to 1 (to 1e-3) are taken as probabilities, others go through softmax. A single output, or outputs
    with NaN or infinity among them, have no probabilities: the raw numbers are given, those that are not finite left out.
    A class without a label is called `class 17`.
    """
    outputs = np.asarray(outputs, np.float64).ravel()
    finite = np.isfinite(outputs)
    has_probabilities = outputs.size > 1 and bool(finite.all())
    scores = _probabilities(outputs) if has_probabilities else outputs
    # Ranked by the outputs: probabilities of very different outputs can round to the same number.
    order = [int(i) for i in np.argsort(np.where(finite, -outputs, np.inf), kind="stable") if finite[i]][:k]
    top = tuple(Prediction(index=i, label=_label(labels, i), score=float(scores[i])) for i in order)
    return Predictions(scores="probability" if has_probabilities else "output", top=top)


def _probabilities(outputs: np.ndarray) -> np.ndarray:
    if outputs.min() >= 0 and outputs.max() <= 1 and abs(outputs.sum() - 1) <= 1e-3:
        return outputs
    powers = np.exp(outputs - outputs.max())
    return powers / powers.sum()


def _label(labels: Sequence[str] | None, index: int) -> str:
    return labels[index] if labels is not None and index < len(labels) else f"class {index}"
