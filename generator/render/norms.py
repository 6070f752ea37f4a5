"""From float maps to grey levels: matplotlib's norms, broadcast over all tiles of a layer at once.

The grey level of `x` is the index matplotlib's colormaps would pick for it, `floor(256 (x - vmin) / (vmax - vmin))` clipped to
0-255. So zero of a map without negative values is grey 0, and zero of a signed map with bounds `(-m, m)` is exactly grey 128.

Maps that have no range have a look too:

- all zero: where zero lies (0, or 128 in a signed layer);
- constant: their value on the scale (255, or 0 for a negative constant);
- NaN: grey 0, the unit's state says `nan`, and pages mark the tile;
- infinite: bounds come from the finite values, infinities lie at the ends.
"""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize

#: Floats worked on at a time: a float32 block of 512 KB stays in a core's cache through all passes.
BLOCK = 1 << 17

#: Largest factor that float32 holds safely; maps below 1e-36 are drawn darker than they could be instead of overflowing.
MAX_SCALE = 2.0**127


class TileNorm(Normalize):
    """`matplotlib.colors.Normalize` with bounds per tile, clipping, for read-only bounds.

    vmin, vmax: arrays that broadcast against the values; `(c,)` for per-tile bounds of maps `(h, w, c)`, scalars for shared
    ones. empty: where in 0-1 a value equal to both bounds lies (matplotlib: 0; signed maps need 0.5).
    Raises ValueError where vmin > vmax or a bound is not finite.
    """

    def __init__(self, vmin, vmax, empty: float = 0.0):
        super().__init__(clip=True)
        self._low, self._high = np.broadcast_arrays(np.asarray(vmin, np.float64), np.asarray(vmax, np.float64))
        if not (np.isfinite(self._low).all() and np.isfinite(self._high).all()):
            raise ValueError("bounds must be finite")
        if (self._low > self._high).any():
            raise ValueError("vmin must be less than or equal to vmax")
        self._empty = float(empty)

    @classmethod
    def symmetric(cls, limit, signed: bool) -> TileNorm:
        """Bounds `(-limit, limit)` for signed maps, `(0, limit)` otherwise; limit >= 0, scalar or array."""
        limit = np.asarray(limit, np.float64)
        return cls(-limit if signed else np.zeros_like(limit), limit, empty=0.5 if signed else 0.0)

    @property
    def vmin(self) -> np.ndarray:
        return self._low

    @property
    def vmax(self) -> np.ndarray:
        return self._high

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """`(vmin, vmax)` of every tile in C order."""
        return list(zip((self._low + 0.0).ravel().tolist(), (self._high + 0.0).ravel().tolist(), strict=True))

    def __call__(self, value, clip=None) -> np.ndarray:
        """Values in 0-1 (float64, as matplotlib expects of a norm), NaN where `value` is NaN. clip=False leaves the range."""
        value = np.asarray(value, np.float64)
        span = self._high - self._low
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scaled = np.where(span > 0, (value - self._low) / np.where(span > 0, span, 1.0), value - self._low + self._empty)
        return scaled if clip is False else np.clip(scaled, 0.0, 1.0)

    def inverse(self, value) -> np.ndarray:
        """The value at `value` in 0-1."""
        return self._low + np.asarray(value, np.float64) * (self._high - self._low)

    def grey(self, maps: np.ndarray) -> np.ndarray:
        """uint8 grey levels 0-255 of `maps` (float16 or float32, any shape that the bounds broadcast against)."""
        maps = np.asarray(maps)
        # Measured from the point of the scale nearest to zero, so that zero itself meets no rounding.
        span = self._high - self._low
        anchor = np.clip(0.0, self._low, self._high)
        flat = span <= 0
        safe = np.where(flat, 1.0, span)
        level = np.where(flat, 256 * self._empty, 256 * ((anchor - self._low) / safe)).astype(np.float32)
        with np.errstate(over="ignore"):
            scale = np.where(flat, 256.0, np.minimum(256 / safe, MAX_SCALE)).astype(np.float32)
        anchor = anchor.astype(np.float32)

        out = np.empty(maps.shape, np.uint8)
        step = max(1, BLOCK // max(1, maps[:1].size)) if maps.ndim else 1
        shift, lift = anchor.any(), level.any()
        scale, level, anchor = (np.broadcast_to(a, maps.shape) for a in (scale, level, anchor))
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, len(maps), step):
                rows = slice(start, start + step)
                block = maps[rows].astype(np.float32)
                if shift:
                    block -= anchor[rows]
                block *= scale[rows]
                if lift:
                    block += level[rows]
                np.fmax(block, 0.0, out=block)  # fmax, not maximum: it turns NaN into 0
                np.minimum(block, 255.0, out=block)
                np.copyto(out[rows], block, casting="unsafe")
        return out
