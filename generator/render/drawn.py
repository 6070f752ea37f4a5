"""What drawing a view gives: a record that describes it, and the picture files it names."""

from __future__ import annotations

from dataclasses import dataclass, field

from generator.records import Record


@dataclass(frozen=True)
class Drawn:
    """record: numbers and file names, kept as JSON. files: name -> encoded bytes (PNG, WebP or SVG)."""

    record: Record
    files: dict[str, bytes] = field(default_factory=dict)
