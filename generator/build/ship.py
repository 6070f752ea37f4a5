"""Measures zoo models and keeps the numbers beside their weights, for machines without the dataset."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from generator.build import digest
from generator.build.findings_plan import findings_tasks
from generator.build.gallery import Gallery
from generator.build.model_plan import ModelPlan
from generator.build.run import Runner
from generator.build.shipped_findings import ARCHIVE, KINDS, MANIFEST, made_from
from generator.build.task import Files
from generator.config.datasets import ZooDataset


def ship_findings(gallery: Gallery, runner: Runner) -> dict[Path, int]:
    """Measure every model of the zoo that is measured on the dataset it was made for; returns the archives and their bytes."""
    graphs, written = gallery.graphs(runner), {}
    sets = {dataset.name: dataset for dataset in gallery.loaded.config.datasets}
    for plan in gallery.models:
        dataset = sets.get(plan.config.measured_on or plan.config.dataset or "")
        if not isinstance(dataset, ZooDataset) or plan.config.source.kind != "zoo" or plan.config.source.name != dataset.model:
            continue
        tasks = list(findings_tasks(plan, graphs[plan.config.name]))
        runner.run(tasks)
        results = {}
        for kind in KINDS:
            artifact = runner.artifacts[plan.task_id(kind)]
            results[kind] = {name: artifact.read(name) for name in artifact.files}
        folder = Path(str(resources.files("generator"))) / "zoo" / "data" / dataset.model
        written[folder / ARCHIVE] = write(plan, results, folder)
    return written


def write(plan: ModelPlan, results: Mapping[str, Files], folder: Path) -> int:
    """Write `results`, the files of each of `KINDS`, into `folder`; returns the size in bytes. The same results give the same
    bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind, files in sorted(results.items()):
            for name, content in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(f"{kind}/{name}"), content, zipfile.ZIP_DEFLATED, 9)
    content = buffer.getvalue()
    (folder / ARCHIVE).write_bytes(content)
    facts = {"sha256": digest.of_bytes(content), "made": made_from(plan)}
    (folder / MANIFEST).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return len(content)
