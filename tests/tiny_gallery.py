"""A real gallery that builds in a second or two: a CNN of three layers, its checkpoint, and four probes.

Weights are multiples of 1/8 and pixels whole numbers, so every sum is exact: activations are the same on every processor.
Optimised images are not, and take longer; only what is about them is `featuring` them.
"""

from __future__ import annotations

import copy
import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from safetensors.numpy import save_file

from generator.build.gallery import Gallery, Summary
from generator.build.reasons import Reason
from generator.build.run import Runner
from generator.build.store import Store
from generator.cli import main
from generator.config.load import load

NETWORK = """
from flax import linen as nn

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), name="edges")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(6, (3, 3), name="corners")(x))
        return nn.Dense(3, name="classes")(x.mean((1, 2)))
"""
SHAPES = {"edges": (3, 3, 3, 4), "corners": (3, 3, 4, 6), "classes": (6, 3)}
CONFIG = {
    "title": "Tiny",
    "description": "A gallery for tests.",
    "models": [
        {
            "name": "net",
            "source": {"kind": "flax", "module": "net:Net", "checkpoint": "net.safetensors", "input_shape": [16, 16, 3]},
            "preprocessing": {"range": [0, 255]},
            "labels": ["circle", "square", "<b>star</b>"],
            "layers": ["edges", "classes"],
            "probes": ["made", "own", "files"],
            "views": {"feature_vis": False},
        }
    ],
    "probes": [
        {"name": "made", "kind": "synthetic", "images": ["zone-plate"], "size_px": 16},
        {"name": "own", "kind": "npz", "path": "own.npz"},
        {"name": "files", "kind": "folder", "path": "pictures"},
    ],
}
#: Adds optimised images, exemplars and pages of three units.
FEATURED = {
    "feature_vis": {
        "preset": "draft",
        "steps": 4,
        "select": [{"layers": ["edges"], "units": [0, 2]}, {"layers": ["classes"], "units": ["square"]}],
    },
    "exemplars": {"highest": 2, "lowest": 1, "spread": 0},
}


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class TinyGallery:
    """folder: holds `config.yaml`, what it names, `store/` and `site/`. config: written before every command."""

    folder: Path
    config: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(CONFIG))

    @property
    def model(self) -> dict[str, Any]:
        return self.config["models"][0]

    @property
    def path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def create(self) -> TinyGallery:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "net.py").write_text(NETWORK)
        self.write_weights(seed=0)
        random = np.random.default_rng(1)
        np.savez(self.folder / "own.npz", images=random.integers(0, 256, (2, 16, 16, 3), np.uint8), labels=["ö", "x"])
        (self.folder / "pictures").mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 24), np.uint8)).save(self.folder / "pictures" / "noise.png")
        self.write()
        return self

    def featuring(self) -> TinyGallery:
        """The same with all that a gallery can have, in few steps: it is the way there that matters."""
        self.config["datasets"] = [{"name": "same", "kind": "npz", "path": "own.npz"}]
        self.model.update(dataset="same", views=copy.deepcopy(FEATURED))
        return self

    def write_weights(self, seed: int, shapes: dict[str, tuple[int, ...]] = SHAPES) -> None:
        random = np.random.default_rng(seed)
        tensors = {}
        for name, shape in shapes.items():
            tensors[f"{name}/kernel"] = random.integers(-8, 9, shape).astype(np.float32) / 8
            tensors[f"{name}/bias"] = random.integers(-8, 9, shape[-1:]).astype(np.float32)
        save_file(tensors, self.folder / "net.safetensors")

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def copied(self, folder: Path) -> TinyGallery:
        shutil.copytree(self.folder, folder)
        return TinyGallery(folder, copy.deepcopy(self.config))

    def build(self, report: Callable[[str, str], None] = lambda event, task: None) -> tuple[Summary, dict[str, Reason]]:
        """Build in this process; returns the summary and why each task that ran had to, by its id."""
        self.write()
        runner = Runner(Store(self.store), 2, report)
        summary = Gallery(load(self.path), runner.store).build(self.site, runner, lambda: None)
        return summary, {reason.task: reason for reason in runner.ran}

    def run(self, command: str, *arguments: str) -> Outcome:
        """A command of `cnnscope` that takes the config, in this process."""
        self.write()
        places = ["--store", str(self.store)] + (["--out", str(self.site)] if command == "build" else [])
        return run(command, str(self.path), *arguments, *places)


def run(*arguments: str) -> Outcome:
    """`cnnscope` with `arguments`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as exit_:  # argparse's way out
            code = int(exit_.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
