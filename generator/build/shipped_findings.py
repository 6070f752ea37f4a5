"""What was measured of a zoo model on a dataset that may not be on this machine: it comes with the model, small and checked."""

from __future__ import annotations

import io
import json
import zipfile
from importlib import resources

from generator.build import digest
from generator.build.model_plan import ModelPlan
from generator.build.task import Files
from generator.errors import ConfigError, Problem
from generator.probes.fashion_mnist import ways_out

ARCHIVE, MANIFEST = "findings.zip", "findings.json"

#: The kinds of tasks whose results come with a model.
KINDS = ("census", "importance", "removals", "class_thumbnails")


def shipped(plan: ModelPlan, kind: str) -> Files:
    """The files of the task of `kind`. Raises `ConfigError` where none came with just these weights and layers."""
    place = plan.loaded.place("models", plan.index, "measured_on" if plan.config.measured_on else "dataset")
    rule = "its images are not on this machine, and nothing that was measured on them came with these weights and settings"
    refused = ConfigError(Problem(place, rule, ways_out("name another dataset")))
    folder = resources.files("generator") / "zoo" / "data" / getattr(plan.config.source, "name", "")
    archive, manifest = folder / ARCHIVE, folder / MANIFEST
    if not (archive.is_file() and manifest.is_file()):
        raise refused
    facts, content = json.loads(manifest.read_text(encoding="utf-8")), archive.read_bytes()
    if facts["sha256"] != digest.of_bytes(content):
        raise ConfigError(
            Problem(str(archive), "is damaged: its sha256 is not what findings.json says", "install CNNscope again")
        )
    if facts["made"] != made_from(plan):
        raise refused
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        return {name.partition("/")[2]: files.read(name) for name in files.namelist() if name.startswith(f"{kind}/")}


def made_from(plan: ModelPlan) -> dict[str, str]:
    """What the shipped results depend on, besides the code."""
    views = plan.config.views
    # What ships are small networks, of which all layers are shown by default.
    layers = "all" if plan.config.layers == "default" else plan.config.layers
    return {
        "weights": plan.facts.weights.digest,
        "images": plan.measured_on.fingerprint,
        "layers": digest.of_json(layers),
        "health": digest.of_json(views.health.model_dump(mode="json") if views.health else None),
    }
