"""How different two groups are, and how sure that is: effect sizes, tests, and intervals of shares.

Everything takes arrays of units at once. What cannot be told, of fewer than two members or of none that ever differ, is NaN.
SciPy is imported where it computes, as it is slow to start.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Of a normal distribution, 95 % lie within so many standard deviations.
NORMAL_95 = 1.959963984540054

Floats = NDArray[np.float64]


def hedges(
    mean_a: ArrayLike, std_a: ArrayLike, n_a: ArrayLike, mean_b: ArrayLike, std_b: ArrayLike, n_b: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Hedges' g with its 95 % interval, `(g, low, high)` of the common shape; positive where group a has the larger mean.

    std: sample standard deviations, of `n - 1`. The difference in pooled standard deviations, freed of its bias by the exact
    factor of gamma functions (Hedges 1981); the interval by the variance in large samples (Hedges, Olkin 1985, chapter 5). For
    effects up to 4 it held the truth in 94 to 95 % of simulated groups of ten or twenty, in 93 to 96 % of five, and in less of
    two or three. NaN where a group has fewer than 2, or neither varies.
    """
    mean_a, std_a, n_a, mean_b, std_b, n_b = _floats(mean_a, std_a, n_a, mean_b, std_b, n_b)
    freedom = n_a + n_b - 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pooled = np.sqrt(((n_a - 1) * std_a**2 + (n_b - 1) * std_b**2) / freedom)
        known = (n_a >= 2) & (n_b >= 2) & (pooled > 0)
        g = np.where(known, unbiasing(freedom) * (mean_a - mean_b) / pooled, np.nan)
        half = NORMAL_95 * np.sqrt((n_a + n_b) / (n_a * n_b) + g**2 / (2 * (n_a + n_b)))
    return g, g - half, g + half


def unbiasing(freedom: ArrayLike) -> Floats:
    """What a standardised difference of so many degrees of freedom is multiplied by, 0-1 (Hedges 1981)."""
    from scipy.special import gammaln

    half = np.asarray(freedom, np.float64) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(gammaln(half) - gammaln(half - 0.5)) / np.sqrt(half)


def welch(mean_a: ArrayLike, std_a: ArrayLike, n_a: ArrayLike, mean_b: ArrayLike, std_b: ArrayLike, n_b: ArrayLike) -> Floats:
    """Two-sided p of Welch's t-test (Welch 1947), which does not take the groups' variances for equal.

    std: sample standard deviations, of `n - 1`. NaN where a group has fewer than 2, or neither varies.
    """
    from scipy.special import stdtr

    mean_a, std_a, n_a, mean_b, std_b, n_b = _floats(mean_a, std_a, n_a, mean_b, std_b, n_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_a, error_b = std_a**2 / n_a, std_b**2 / n_b
        # Shares of the sum, since squares of very small errors are nothing.
        total = error_a + error_b
        freedom = 1 / ((error_a / total) ** 2 / (n_a - 1) + (error_b / total) ** 2 / (n_b - 1))
        p = 2 * stdtr(freedom, -np.abs(mean_a - mean_b) / np.sqrt(total))
    return np.where((n_a >= 2) & (n_b >= 2) & (total > 0), p, np.nan)


def adjusted(p: ArrayLike) -> Floats:
    """p-values `(n,)` adjusted for all those tested at once, by the share of false ones among what is called significant
    (Benjamini, Hochberg 1995); NaN are no tests, and stay."""
    p = np.asarray(p, np.float64)
    found, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    falling = known[np.argsort(-p[known], kind="stable")]
    number = len(known)
    found[falling] = np.minimum.accumulate(p[falling] * number / np.arange(number, 0, -1))
    return found


def wilson(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """The 95 % interval of a share, `(low, high)` in 0-1 (Wilson 1927); NaN of none."""
    successes, n = _floats(successes, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, z2 = successes / n, NORMAL_95**2
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = NORMAL_95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    # At none and at all it ends there exactly, but for rounding.
    return np.where(successes == 0, share, middle - half), np.where(successes == n, share, middle + half)


def _floats(*arrays: ArrayLike) -> list[Floats]:
    return [np.asarray(array, np.float64) for array in arrays]
