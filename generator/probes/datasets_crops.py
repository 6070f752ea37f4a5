"""A dataset of square pieces of probes, for models without one at hand."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import CropsDataset
from generator.errors import ProbeError, Problem, did_you_mean
from generator.probes.datasets_files import Source
from generator.probes.probe import Probe

#: Decoded probes that are kept: pieces are numbered probe by probe, so that hardly any is decoded twice.
KEPT_PROBES = 2


def crops(config: CropsDataset, probes: Mapping[str, Sequence[Probe]]) -> Source:
    """`config.per_image` pieces of every probe, probe after probe. Raises `ProbeError` with all unknown sets and probes."""
    chosen = _chosen(config, probes)

    @lru_cache(maxsize=KEPT_PROBES)
    def decoded(number: int) -> NDArray[np.uint8]:
        return chosen[number].read()

    def read(index: int) -> NDArray[np.uint8]:
        number, piece = divmod(index, config.per_image)
        pixels = decoded(number)
        top, left, side = square(config.seed, chosen[number].info.name, piece, pixels.shape[:2], config.scales)
        return pixels[top : top + side, left : left + side]

    def fingerprint(kept: Sequence[int]) -> str:
        parts = [f"{config.seed} {config.scales} {config.per_image} {len(kept)}"]
        parts += [f"{probe.info.name} {probe.fingerprint}" for probe in chosen]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    return Source(
        num_images=len(chosen) * config.per_image,
        read=read,
        title=lambda index: f"{chosen[index // config.per_image].info.title}, piece {index % config.per_image + 1}",
        fingerprint=fingerprint,
        provenance=f"{config.per_image} pieces of each of {len(chosen)} probes, seed {config.seed}",
        licence=", ".join(dict.fromkeys(probe.info.licence for probe in chosen)),
        probe=lambda index: chosen[index // config.per_image].info.name,
    )


def square(seed: int, probe: str, number: int, size: tuple[int, int], scales: tuple[float, float]) -> tuple[int, int, int]:
    """`(top, left, side)` of piece `number` of a probe of `size` (height, width).

    The side's share of the shorter side is log-uniform within `scales`, the place uniform. Depends on its arguments alone.
    """
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}\n{probe}\n{number}".encode()).digest()[:16]))
    share, down, across = draw.random(3)
    scale = scales[0] * math.exp(share * math.log(scales[1] / scales[0]))
    side = min(max(1, round(scale * min(size))), min(size))
    return int(down * (size[0] - side + 1)), int(across * (size[1] - side + 1)), side


def _chosen(config: CropsDataset, probes: Mapping[str, Sequence[Probe]]) -> tuple[Probe, ...]:
    """The probes that the config names, each once, in its order."""
    found: dict[tuple[str, str], Probe] = {}
    problems = []
    for position, text in enumerate(config.probes):
        name, slash, wanted = text.partition("/")
        place = f"datasets[{config.name}].probes[{position}]"
        if name not in probes:
            problems.append(Problem(place, f"no probe set {name!r}", did_you_mean(name, probes)))
            continue
        matches = [probe for probe in probes[name] if not slash or probe.info.name == wanted]
        if not matches:
            known = [probe.info.name for probe in probes[name]]
            problems.append(Problem(place, f"no probe {wanted!r} in the set {name!r}", did_you_mean(wanted, known)))
        found.update({(name, probe.info.name): probe for probe in matches})
    if problems:
        raise ProbeError(problems)
    return tuple(found.values())
