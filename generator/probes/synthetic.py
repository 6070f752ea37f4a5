"""The set of synthetic stimuli: which are drawn, at what frequency, under which names."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from generator.config.schema import SyntheticProbes
from generator.probes import stimuli
from generator.probes.probe import Probe
from generator.probes.selection import chosen
from generator.records import ProbeInfo


@dataclass(frozen=True)
class _Stimulus:
    title: str
    draw: Callable[[int], stimuli.Pixels]


def _coarse(size_px: int) -> float:
    return 4.0


def _medium(size_px: int) -> float:
    return round(math.sqrt(_coarse(size_px) * _fine(size_px)))


def _fine(size_px: int) -> float:
    """A period of four pixels, the finest that shows both bars and slopes."""
    return size_px / 4


def _grating(size_px: int, orientation_deg: float, cycles: Callable[[int], float]) -> stimuli.Pixels:
    return stimuli.grating(size_px, orientation_deg=orientation_deg, cycles=cycles(size_px))


def _star(size_px: int) -> stimuli.Pixels:
    return stimuli.star(size_px, cycles=min(24, size_px // 4))


STIMULI = {
    "grating-0": _Stimulus("Grating, horizontal", partial(_grating, orientation_deg=0, cycles=_medium)),
    "grating-45": _Stimulus("Grating, 45°", partial(_grating, orientation_deg=45, cycles=_medium)),
    "grating-90": _Stimulus("Grating, vertical", partial(_grating, orientation_deg=90, cycles=_medium)),
    "grating-135": _Stimulus("Grating, 135°", partial(_grating, orientation_deg=135, cycles=_medium)),
    "grating-coarse": _Stimulus("Grating, coarse", partial(_grating, orientation_deg=90, cycles=_coarse)),
    "grating-fine": _Stimulus("Grating, fine", partial(_grating, orientation_deg=90, cycles=_fine)),
    "edge-horizontal": _Stimulus("Edge, horizontal", partial(stimuli.edge, orientation_deg=0)),
    "edge-vertical": _Stimulus("Edge, vertical", partial(stimuli.edge, orientation_deg=90)),
    "edge-diagonal": _Stimulus("Edge, diagonal", partial(stimuli.edge, orientation_deg=45)),
    "zone-plate": _Stimulus("Zone plate", stimuli.zone_plate),
    "star": _Stimulus("Siemens star", _star),
    "dots": _Stimulus("Dots", stimuli.dots),
    "checkerboard": _Stimulus("Checkerboard", stimuli.checkerboard),
    "colour-wheel": _Stimulus("Colour wheel", stimuli.colour_wheel),
    "colour-edges": _Stimulus("Colour edges of equal luma", stimuli.colour_edges),
    "noise": _Stimulus("Noise, 1/f", stimuli.natural_noise),
}


def list_synthetic(probe_set: SyntheticProbes) -> tuple[Probe, ...]:
    """The chosen stimuli. Raises `ProbeError` for unknown names."""
    names = chosen(probe_set.images, STIMULI, place=f"probes[{probe_set.name}].images", what="stimulus")
    return tuple(_probe(name, probe_set) for name in names)


def _probe(name: str, probe_set: SyntheticProbes) -> Probe:
    info = ProbeInfo(
        name=name,
        title=STIMULI[name].title,
        set=probe_set.name,
        provenance="made by CNNscope",
        licence="CC0 1.0",
        width_px=probe_set.size_px,
        height_px=probe_set.size_px,
    )
    return Probe(info, _fingerprint(name, probe_set.size_px), partial(STIMULI[name].draw, probe_set.size_px))


def _fingerprint(name: str, size_px: int) -> str:
    """Of the parameters and of the code that draws: cheaper than drawing, and never out of date."""
    sources = inspect.getsource(stimuli) + inspect.getsource(inspect.getmodule(_grating))
    return hashlib.sha256(f"{name} {size_px}\n{sources}".encode()).hexdigest()
