"""Photographs that ship inside scikit-image, with the source and licence that its documentation gives for each.

Images without a stated free licence are left out, well known as they are: moon, page and the Middlebury motorcycles.
scikit-image itself is never imported: that takes longer than reading its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from generator.config.schema import PhotographsProbes
from generator.errors import ProbeError, Problem
from generator.probes.images import file_fingerprint, read_header, read_image
from generator.probes.probe import Probe
from generator.probes.selection import chosen
from generator.records import ProbeInfo

_CC0 = "CC0 1.0"
_PUBLIC_DOMAIN = "public domain"
_NO_RESTRICTIONS = "no known copyright restrictions"


@dataclass(frozen=True)
class _Photograph:
    file: str
    title: str
    origin: str
    licence: str
    label: str | None = None


PHOTOGRAPHS = {
    "cat": _Photograph("chelsea.png", "Chelsea the cat", "photograph by Stefan van der Walt", _CC0, "cat"),
    "coffee": _Photograph(
        "coffee.png", "Cup of coffee", "photograph by Rachel Michetti, courtesy of Pikolo Espresso Bar", _CC0, "coffee cup"
    ),
    "rocket": _Photograph("rocket.jpg", "Falcon 9 carrying DSCOVR", "photograph by SpaceX, 2015", _PUBLIC_DOMAIN, "rocket"),
    "astronaut": _Photograph(
        "astronaut.png", "Astronaut Eileen Collins", "NASA Great Images database", _PUBLIC_DOMAIN, "astronaut"
    ),
    "camera": _Photograph("camera.png", "Man with a camera", "photograph by Lav Varshney", _CC0, "camera"),
    "coins": _Photograph("coins.png", "Greek coins from Pompeii", "Brooklyn Museum Collection", _NO_RESTRICTIONS, "coins"),
    "horse": _Photograph(
        "horse.png", "Silhouette of a horse", "drawing by Andreas Preuss (marauder), Openclipart", _CC0, "horse"
    ),
    "clock": _Photograph(
        "clock_motion.png",
        "Clock, blurred by motion",
        "photograph by Stefan van der Walt",
        _PUBLIC_DOMAIN,
        "clock",
    ),
    "retina": _Photograph("retina.jpg", "Human retina", "photograph by Mikael Häggström, Wikimedia Commons", _CC0),
    "tissue": _Photograph(
        "ihc.png",
        "Colonic glands, stained",
        "Center for Microscopy and Molecular Imaging (CMMI)",
        _NO_RESTRICTIONS,
    ),
    "cell": _Photograph(
        "cell.png", "Cell in saline, phase image", "Müller, Schürmann, Girardo, Cojoc and Guck, Optics Express 2018", _CC0
    ),
    "hubble": _Photograph(
        "hubble_deep_field.jpg", "Hubble eXtreme Deep Field", "NASA, HubbleSite release 2012-37", _PUBLIC_DOMAIN
    ),
    "brick": _Photograph("brick.png", "Brick wall", "CC0Textures, Bricks25", _CC0),
    "grass": _Photograph("grass.png", "Grass", "linolafett, DeviantArt", _CC0),
    "gravel": _Photograph("gravel.png", "Gravel", "CC0Textures, Gravel04", _CC0),
    "text": _Photograph("text.png", "Handwriting", "Wikipedia, Corner.png", _PUBLIC_DOMAIN),
}


def list_photographs(probe_set: PhotographsProbes) -> tuple[Probe, ...]:
    """The chosen photographs. Raises `ProbeError` for unknown names and where scikit-image lacks a file."""
    names = chosen(probe_set.images, PHOTOGRAPHS, place=f"probes[{probe_set.name}].images", what="photograph")
    folder = _folder()
    missing = [name for name in names if not (folder / PHOTOGRAPHS[name].file).is_file()]
    if missing:
        way_out = "install scikit-image 0.26, or leave them out"
        raise ProbeError(Problem(str(folder), f"this scikit-image has no {', '.join(missing)}", way_out))
    return tuple(_probe(name, folder / PHOTOGRAPHS[name].file, probe_set.name) for name in names)


def _folder() -> Path:
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ProbeError(Problem("", "the photographs ship inside scikit-image, which is missing", "pip install scikit-image"))
    return Path(spec.submodule_search_locations[0]) / "data"


def _probe(name: str, path: Path, set_name: str) -> Probe:
    photograph = PHOTOGRAPHS[name]
    header = read_header(path)
    info = ProbeInfo(
        name=name,
        title=photograph.title,
        set=set_name,
        provenance=f"{photograph.origin}; ships with scikit-image as {photograph.file}",
        licence=photograph.licence,
        label=photograph.label,
        width_px=header.width_px,
        height_px=header.height_px,
        source_channels=header.channels,
    )
    return Probe(info, file_fingerprint(path), partial(read_image, path))
