"""What is known of a file of weights without reading them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from generator.records import WeightsInfo

#: Licence of what somebody brings along.
NOT_STATED = "not stated"


def weights_info(path: Path, kind: str, licence: str, provenance: str) -> WeightsInfo:
    """kind: the file's format, as pages show it. Raises `OSError` where the file cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightsInfo(
        file=path.name,
        format=kind,
        digest=digest,
        num_bytes=path.stat().st_size,
        licence=licence,
        provenance=provenance,
    )
