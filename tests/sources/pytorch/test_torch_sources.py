"""The `torch` source as far as it goes without PyTorch: what is known beforehand, mistakes in it, and what exports are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from generator.config.sources import TorchSource
from generator.errors import ConfigError, UserError, WeightsError
from generator.sources import describe, extras, load, torch_cache
from generator.zoo.imagenet import imagenet_labels

DATA = Path(__file__).with_name("data")
NET = """
from torch import nn
import shapes

class Net(nn.Module):
    pass
"""


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """A folder with a module, its checkpoint and a program; PyTorch counts as installed."""
    monkeypatch.setitem(extras.MODULES, "torch", ())
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "shapes.py").write_text("SIZE = 3\n")
    (tmp_path / "plain.pt2").write_bytes((DATA / "plain.pt2").read_bytes())
    np.savez(tmp_path / "net.npz", weight=np.zeros(3, np.float32))
    return tmp_path


def source(**fields) -> TorchSource:
    return TorchSource(**{"kind": "torch", "input_shape": (32, 32, 3), **fields})


def problems(base: Path, error: type[UserError] = ConfigError, **fields) -> str:
    with pytest.raises(error) as caught:
        describe(source(**fields), base)
    return str(caught.value)


def test_a_module_of_ones_own(base):
    facts = describe(source(module="net:Net", weights="net.npz", input_shape=(28, 28, 1)), base)
    assert facts.title == "Net"
    assert facts.code_paths == (base / "net.py", base / "shapes.py")
    assert facts.weights_path == base / "net.npz"
    assert facts.weights.format == "npz"
    assert facts.libraries == ("torch", "onnx")
    assert (facts.preprocessing.size_px, facts.preprocessing.channels, facts.labels) == ((28, 28), "grey", None)
    assert facts.guesses == ("pixels in 0-1 and not normalised further, as PyTorch modules do not say",)


def test_a_module_that_makes_its_own_weights(base):
    first = describe(source(module="net:Net"), base)
    assert (first.weights_path, first.weights.file, first.weights.num_bytes) == (None, "net:Net", 0)
    other = describe(source(module="net:Net", arguments={"width": 2}), base)
    (base / "shapes.py").write_text("SIZE = 4\n")
    changed = describe(source(module="net:Net"), base)
    assert len({facts.weights.digest for facts in (first, other, changed)}) == 3


def test_a_program(base):
    facts = describe(source(program="plain.pt2"), base)
    assert (facts.title, facts.weights.format, facts.weights_path) == ("plain", "pt2", base / "plain.pt2")
    assert facts.facts == [("Program", "plain.pt2")]


def installed(folder: Path, monkeypatch) -> None:
    """torchvision, as far as anybody looks at it before it is imported."""
    package = folder / "site-packages" / "torchvision"
    for name in ("", "models", "models/segmentation"):
        (package / name).mkdir(parents=True, exist_ok=True)
        (package / name / "__init__.py").write_text("raise ImportError('imported')\n")
    (package.parent / "torchvision-9.9.dist-info").mkdir()
    (package.parent / "torchvision-9.9.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(package.parent))


def test_torchvision_is_guessed_to_want_what_it_was_trained_with(base, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    installed(tmp_path, monkeypatch)
    facts = describe(source(module="torchvision.models:resnet18"), base)
    assert facts.preprocessing.mean == (0.485, 0.456, 0.406)
    assert facts.labels == imagenet_labels()
    assert facts.libraries == ("torch", "onnx", "torchvision")
    assert len(facts.guesses) == 2
    other = describe(source(module="torchvision.models:resnet18", arguments={"num_classes": 5}), base)
    parts = describe(source(module="torchvision.models.segmentation:fcn_resnet50"), base)
    assert [len(facts.guesses) for facts in (other, parts)] == [1, 1]
    assert other.labels is parts.labels is None


def test_all_mistakes_at_once(base):
    said = problems(base, module="ner:Net", weights="gone.pth", input_shape=(32, 32, 4))
    assert "ner: no module 'ner' beside the config or installed; did you mean 'net'?" in said
    assert "gone.pth: there is no weights file here" in said
    assert "input_shape has 4 channels" in said


def test_either_a_module_or_a_program(base):
    assert "name either `module:` or `program:`, not both" in problems(base, module="net:Net", program="plain.pt2")
    assert "name either `module:` or `program:`;" in problems(base)
    assert "`arguments` are those of a `module`" in problems(base, program="plain.pt2", arguments={"a": 1})
    assert "there is no program here" in problems(base, program="gone.pt2") or "cannot be read" in problems(
        base, program="gone.pt2"
    )
    with pytest.raises(ValidationError):
        source(module="net.Net")


def test_a_whole_pickled_module_is_refused_with_the_way_out(base, torch_files):
    torch_files.write(base / "whole.pth", False, torch_files.find("net.Net") + b")\x81", {})
    from generator.sources.weights import read_checkpoint

    with pytest.raises(WeightsError, match=r"refers to net\.Net, .*torch\.save\(model\.state_dict\(\), path\)"):
        read_checkpoint(base / "whole.pth")


def test_without_pytorch_the_way_out_is_told(base, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "torch", ("no_such_framework",))
    said = f"net:Net: this needs no_such_framework, which is not installed; {extras.way_out('torch')}"
    assert problems(base, module="net:Net") == said
    with pytest.raises(ConfigError, match="this needs no_such_framework"):
        load(source(module="net:Net"), base)


def test_describing_imports_no_framework(base):
    code = (
        "import sys; from pathlib import Path; from generator.sources import describe, extras; "
        "from generator.config.sources import TorchSource; extras.MODULES['torch'] = (); "
        "describe(TorchSource(kind='torch', module='net:Net', input_shape=(8, 8, 3)), Path(sys.argv[1])); "
        "sys.exit(str({'jax', 'torch', 'onnx', 'net'} & set(sys.modules) or ''))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code, str(base)], env=environment, capture_output=True, text=True)  # noqa: S603
    assert done.stderr.strip() == ""


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return torch_cache.folder()


def test_an_export_is_made_once(cache):
    made = []
    paths = [torch_cache.obtain("abc", lambda: made.append(1) or b"net") for _ in range(2)]
    assert paths == [cache / "abc.onnx"] * 2
    assert (made, paths[0].read_bytes()) == ([1], b"net")
    assert [path.name for path in cache.iterdir()] == ["abc.onnx"]


def test_a_failed_export_leaves_nothing(cache):
    with pytest.raises(ZeroDivisionError):
        torch_cache.obtain("abc", lambda: bytes(1 // 0))
    assert not cache.exists()


def test_the_longest_unused_exports_go(cache):
    for number in range(torch_cache.KEPT):
        path = torch_cache.obtain(f"{number}", lambda: b"")
        os.utime(path, (number, number))
    torch_cache.obtain("0", lambda: b"")
    torch_cache.obtain("new", lambda: b"")
    left = {path.stem for path in cache.iterdir()}
    assert len(left) == torch_cache.KEPT
    assert "1" not in left
    assert {"0", "new"} <= left


def test_a_cache_that_cannot_be_written_is_told(cache, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"the exported network cannot be kept here .* XDG_CACHE_HOME"):
        torch_cache.obtain("abc", lambda: b"net")


def test_the_key_covers_facts_and_files(tmp_path, monkeypatch):
    file = tmp_path / "net.py"
    file.write_text("a")
    keys = [torch_cache.key({"a": 1}, [file]), torch_cache.key({"a": 2}, [file]), torch_cache.key({"a": 1}, [])]
    file.write_text("b")
    keys.append(torch_cache.key({"a": 1}, [file]))
    monkeypatch.setattr(torch_cache, "_version", lambda name: "0")
    keys.append(torch_cache.key({"a": 1}, [file]))
    assert len(set(keys)) == len(keys)
    assert torch_cache.key({"a": 1}, [file]) == keys[-1]
