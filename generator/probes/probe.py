"""A probe: an input image that is listed cheaply and read only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from generator.records import ProbeInfo


@dataclass(frozen=True)
class Probe:
    """One input image.

    info: what is known of it without decoding it. fingerprint: sha256, hexadecimal, of what its pixels come from.
    pixels: gives the image; a picklable callable, so that probes can travel to worker processes.
    """

    info: ProbeInfo
    fingerprint: str
    pixels: Callable[[], NDArray[np.uint8]] = field(repr=False, compare=False)

    def read(self) -> NDArray[np.uint8]:
        """The image, uint8 `(h, w, 1)` grey or `(h, w, 3)` RGB. Raises `ProbeError` where its file cannot be decoded."""
        return self.pixels()
