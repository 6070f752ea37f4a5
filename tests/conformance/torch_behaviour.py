"""What the `torch` source does with modules, checkpoints and programs of every kind, good and bad. Needs PyTorch.

Each case is a function below: it raises if something is not as it should be.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from generator.config.sources import TorchSource
from generator.errors import UserError

DEPENDS_ON = (
    "network/*.py",
    "sources/torch_*.py",
    "sources/onnx_*.py",
    "sources/onnx_graph/*.py",
    "sources/matching.py",
    "sources/weights/*.py",
)

_NET = """
import torch
from torch import nn
from torch.nn import functional

class Net(nn.Module):
    def __init__(self, width=4, pool=1):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.AdaptiveAvgPool2d(pool)
        self.drop = nn.Dropout(0.9)
        self.fc = nn.Linear(width * pool * pool, 5)

    def forward(self, x):
        x = functional.relu(self.norm(self.conv(x)))
        return self.fc(self.drop(self.pool(x).flatten(1)))

class Wide(Net):
    def __init__(self):
        super().__init__(pool=3)

class Resized(Net):
    def forward(self, x):
        x = functional.interpolate(functional.relu(self.conv(x)), scale_factor=2, mode="bilinear")
        return super().forward(functional.interpolate(x, size=(12, 12), mode="nearest")[:, :3])

class Several(Net):
    def forward(self, x):
        return {"logits": super().forward(x), "maps": (self.conv(x), self.norm(self.conv(x)))}

class Flattened(Net):
    def forward(self, x):
        return super().forward(x).view(x.shape[0], -1)

class Fixed(Net):
    def forward(self, x):
        return super().forward(x.reshape(2, 3, 16, 16)).reshape(2, 5)

class Decides(Net):
    def forward(self, x):
        if x.mean().item() > 100:
            return super().forward(-x)
        return super().forward(x)

class Breaks(Net):
    def forward(self, x):
        return self.fc(self.conv(x))

class Unbuilt(nn.Module):
    def __init__(self):
        super().__init__()
        raise RuntimeError("no such width")

class Exits(nn.Module):
    def forward(self, x):
        raise SystemExit(3)

class Odd(Net):
    def forward(self, x):
        return super().forward(x) + torch.linalg.eigvals(x.mean(1)).real.sum()

def number():
    return 3

def make(width):
    torch.manual_seed(1)
    print("making a network")
    return Net(width).train().double()
"""
_SHAPE = (16, 16, 3)


def cases() -> list[str]:
    return list(_CASES)


def run(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        base = Path(folder)
        (base / "net.py").write_text(_NET)
        _CASES[name](base)
    return {"ok": True}


def _source(**fields: Any) -> TorchSource:
    return TorchSource(**{"kind": "torch", "input_shape": _SHAPE, **fields})


def _module(base: Path, name: str = "Net", seed: int = 0, **arguments: Any) -> Any:
    """The module, with statistics that matter, as its owner would have it."""
    import torch

    from generator.sources.python_files import import_name

    torch.manual_seed(seed)
    module = import_name(f"net:{name}", base)(**arguments).eval()
    for value in module.state_dict().values():
        if value.ndim == 1:
            value.uniform_(0.5, 1.5)
    return module


def _agrees(source: TorchSource, base: Path, module: Any, num_images: int = 3) -> None:
    """Raises unless the source's network computes what the module does, in silence."""
    import torch

    from generator.sources import describe, load

    with _silent():
        describe(source, base)
        loaded = load(source, base)
    images = np.random.default_rng(0).uniform(0, 1, (num_images, *_SHAPE)).astype(np.float32)
    ours = loaded.apply(loaded.params, images)
    with torch.no_grad():
        theirs = torch.utils._pytree.tree_leaves(module.float()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())))
    first = ours[0] if isinstance(ours, tuple | list) else ours
    assert np.allclose(first, theirs[0], rtol=1e-4, atol=1e-5), np.abs(np.asarray(first) - theirs[0].numpy()).max()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Raises if anything is written to the terminal, be it by C++."""
    before = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile("w+") as file:
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            for number, kept in zip((1, 2), before, strict=True):
                os.dup2(kept, number)
                os.close(kept)
        file.seek(0)
        text = file.read()
    assert text == "", text


def _refused(base: Path, pattern: str, **fields: Any) -> None:
    from generator.sources import load

    said = ""
    with _silent():
        try:
            load(_source(**fields), base)
        except UserError as error:
            said = str(error)
    assert re.search(pattern, said), f"{said or 'it was not refused'} does not match {pattern}"


def _state_dicts(base: Path) -> None:
    import torch

    module = _module(base)
    state = module.state_dict()
    torch.save(state, base / "zip.pth")
    torch.save(state, base / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, base / "parallel.pth")
    torch.save({name: value for name, value in state.items() if "num_batches" not in name}, base / "old.pth")
    torch.save({name: value.half() for name, value in state.items()}, base / "half.pth")
    for name in ("zip", "legacy", "parallel", "old"):
        _agrees(_source(module="net:Net", weights=f"{name}.pth"), base, module)
    _agrees(_source(module="net:Net", weights="half.pth"), base, module.half().float())


def _other_checkpoints(base: Path) -> None:
    import torch

    torch.save(_module(base, width=6).state_dict(), base / "other.pth")
    state = _module(base).state_dict()
    del state["fc.bias"]
    torch.save({**state, "extra.weight": torch.zeros(2)}, base / "names.pth")
    torch.save({**_module(base).state_dict(), "fc.bias": torch.full((5,), float("nan"))}, base / "nan.pth")
    torch.save(_module(base), base / "whole.pth")
    _refused(
        base,
        r"shapes differ: conv/weight is \(6, 3, 3, 3\) but should be \(4, 3, 3, 3\)",
        module="net:Net",
        weights="other.pth",
    )
    _refused(base, r"missing: fc/bias\n.*do not belong to the network: extra/weight", module="net:Net", weights="names.pth")
    _refused(base, r"nan\.pth: .*fc/bias", module="net:Net", weights="nan.pth")
    _refused(base, r"refers to net\.Net, .* torch\.save\(model\.state_dict\(\), path\)", module="net:Net", weights="whole.pth")


def _own_weights(base: Path) -> None:
    from generator.sources.python_files import import_name

    made = import_name("net:make", base)
    with contextlib.redirect_stdout(None):
        module = made(6).eval()
    _agrees(_source(module="net:make", arguments={"width": 6}), base, module)
    kept = {path.name for path in (base / "cache" / "cnnscope" / "torch").iterdir()}
    _agrees(_source(module="net:make", arguments={"width": 6}), base, module)
    assert {path.name for path in (base / "cache" / "cnnscope" / "torch").iterdir()} == kept


def _kinds(*names: str) -> Callable[[Path], None]:
    def check(base: Path) -> None:
        import torch

        for name in names:
            module = _module(base, name)
            torch.save(module.state_dict(), base / "net.pth")
            _agrees(_source(module=f"net:{name}", weights="net.pth"), base, module, 2 if name == "Fixed" else 3)

    return check


def _names(base: Path) -> None:
    from generator.network.execute import Network
    from generator.sources import load

    loaded = load(_source(module="net:Net"), base)
    graph = Network(loaded.apply, loaded.params, loaded.input_shape).graph
    assert {"conv", "fc"} <= set(graph.by_name), list(graph.by_name)
    assert graph.by_name["conv"].activation == "ReLU"


def _failures(base: Path) -> None:
    line = _NET.splitlines().index("        return self.fc(self.conv(x))") + 1
    _refused(base, rf"net\.py:{line}: the network cannot run on images of 16 x 16 x 3: RuntimeError: mat1", module="net:Breaks")
    _refused(base, r"net\.py:\d+: building it failed: RuntimeError: no such width", module="net:Unbuilt")
    _refused(base, r"net\.py:\d+: the network cannot run .*SystemExit: 3", module="net:Exits")
    _refused(base, r"net:number: this gives a int, not a torch\.nn\.Module", module="net:number")
    _refused(base, r"net:make: `arguments` do not fit it: missing .*'width'; it takes \(width\)", module="net:make")
    _refused(base, r"net:Nett: net has no 'Nett'; did you mean 'Net'", module="net:Nett")
    _refused(base, r"net:Odd: PyTorch cannot export it: torch\.export: .*; the older exporter: ", module="net:Odd")


def _programs(base: Path) -> None:
    import torch

    module = _module(base)
    images = torch.rand(2, 3, 16, 16)
    batch = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(module, (images,), dynamic_shapes=batch), base / "dynamic.pt2")
    torch.export.save(torch.export.export(module, (images[:1],)), base / "fixed.pt2")
    size = ({2: torch.export.Dim("h", min=8), 3: torch.export.Dim("w", min=8)},)
    torch.export.save(torch.export.export(module, (torch.rand(1, 3, 32, 24),), dynamic_shapes=size), base / "sized.pt2")
    several = _module(base, "Several")
    torch.export.save(torch.export.export(several, (images,), dynamic_shapes=batch), base / "several.pt2")
    for name in ("dynamic", "fixed", "sized"):
        _agrees(_source(program=f"{name}.pt2"), base, module)
    _agrees(_source(program="several.pt2"), base, several)
    other = _module(base, seed=5)
    torch.save(other.state_dict(), base / "other.pth")
    _agrees(_source(program="dynamic.pt2", weights="other.pth"), base, other)
    torch.save(module.state_dict(), base / "state.pt2")
    _refused(base, r"state\.pt2: this is a checkpoint, not a program .*`weights:`", program="state.pt2")


_CASES: dict[str, Callable[[Path], None]] = {
    "state dicts": _state_dicts,
    "other checkpoints": _other_checkpoints,
    "weights of its own": _own_weights,
    "pools, resizing, several outputs": _kinds("Net", "Wide", "Resized", "Several", "Flattened"),
    "fixed batch": _kinds("Fixed"),
    "Python that decides by values": _kinds("Decides"),
    "names": _names,
    "failures": _failures,
    "programs": _programs,
}
