"""What weights and the first layer's activations tell: arrays in, findings out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from generator.doctor.finding import Finding

#: Root mean squares of a kernel that no training ends with.
_SMALLEST, _LARGEST = 1e-8, 1e3
#: Shares of the first layer: of its units that never answer, of its values at the upper bound.
_DEAD, _SATURATED = 0.9, 0.5
#: Non-linearities with an upper bound, and where it is.
_BOUNDS = {"ReLU6": 6.0, "sigmoid": 1.0, "tanh": 1.0, "hard sigmoid": 1.0}


def look_at_kernels(kernels: Mapping[str, NDArray[np.floating]]) -> list[Finding]:
    """kernels: by layer, the units last."""
    found = []
    zero = [name for name, kernel in kernels.items() if not kernel.any()]
    if zero:
        measured = f"The kernel of {_listed(zero)} is zero throughout."
        found.append(Finding("weights", measured, "It was never trained, or was not loaded.", "Check the checkpoint."))
    sizes = {name: float(np.sqrt(np.mean(np.square(k, dtype=np.float64)))) for name, k in kernels.items() if name not in zero}
    odd = [name for name, size in sizes.items() if not _SMALLEST <= size <= _LARGEST]
    if odd:
        worst = max(odd, key=lambda name: abs(np.log(sizes[name])) if sizes[name] > 0 else np.inf)
        measured = f"Weights of {_listed(odd)} are of a size that training does not end with ({worst}: {sizes[worst]:.2g})."
        found.append(
            Finding("weights", measured, "Training diverged, or the file was converted wrongly.", "Check the checkpoint.")
        )
    same = [name for name, k in kernels.items() if name not in zero and k.shape[-1] > 1 and (k == k[..., :1]).all()]
    if same:
        measured = f"All units of {_listed(same)} have the same weights."
        found.append(Finding("weights", measured, "It was set to a constant and never trained.", "Check the checkpoint."))
    return found


def look_at_first_layer(name: str, activation: str | None, maps: NDArray[np.floating]) -> list[Finding]:
    """maps: `(n, ..., units)`, activations for n images. activation: the non-linearity that made them."""
    units = maps.reshape(-1, maps.shape[-1])
    dead = ~units.any(axis=0)
    found = []
    fix = "Check `preprocessing: {range: ...}` and mean, and that the checkpoint belongs to this network."
    if dead.mean() >= _DEAD:
        measured = f"{int(dead.sum())} of the {len(dead)} units of {name} are zero for all {len(maps)} images."
        found.append(Finding("first layer", measured, "Nothing of the image gets through it.", fix))
    bound = _BOUNDS.get(activation or "")
    if bound is not None:
        share = float((np.abs(units) >= 0.999 * bound).mean())
        if share >= _SATURATED:
            measured = f"{share:.0%} of the values of {name} are at the bound of its {activation} ({bound:g})."
            found.append(Finding("first layer", measured, "Its input is larger than in training.", fix))
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
