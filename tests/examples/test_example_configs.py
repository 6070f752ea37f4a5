"""Every example in `configs/` as its head says: train the network on a little data in the real format, build, look."""

from __future__ import annotations

import importlib.util
import pickle
import runpy
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from PIL import Image

from generator.config.schema import Config
from generator.config.sources import SourceConfig
from tests.tiny_gallery import run

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = tuple("0123456789")
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: What the training scripts write, as `.gitignore` has it.
MADE = ("*.safetensors", "*.pth", "*.onnx")
#: Enough of every view to fill its pages.
FEW = {
    "feature_vis": {"preset": "draft", "steps": 2, "select": [{"layers": ["*"], "units": [0]}]},
    "exemplars": {"highest": 2, "lowest": 1, "spread": 0},
}
#: Without what takes most of the time.
FEWER = {**FEW, "feature_vis": False}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_configuration(path):
    Config.model_validate(read(path.name))


def test_there_is_an_example_of_each_source():
    kinds = {model["source"]["kind"] for path in CONFIGS.glob("*.yaml") for model in read(path.name)["models"]}
    (union, *_) = get_args(SourceConfig)
    assert kinds == {get_args(source.model_fields["kind"].annotation)[0] for source in get_args(union)}


def mnist(folder: Path, num_images: int = 40) -> None:
    """The four IDX files of MNIST, with strokes for digits."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        labels = np.arange(num_images, dtype=np.uint8) % 10
        images = random.integers(0, 60, (num_images, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 + 2 * label] = 250
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, num_images, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, num_images) + labels.tobytes())


def cifar10(folder: Path, num_images: int = 20) -> None:
    """CIFAR-10's pickles."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        data = random.integers(0, 256, (num_images, 3072), np.uint8)
        batch = {b"data": data, b"labels": [number % 10 for number in range(num_images)]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in THINGS]}, protocol=2))


def own_folder(folder: Path, num_images: int = 4) -> None:
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("bicycle", "cat"):
            (folder / part / name).mkdir(parents=True)
            for number in range(num_images):
                pixels = random.integers(0, 256, (50 + number, 70, 3), np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.jpg")


def save_onnx(path: Path) -> None:
    """A network of the form that configs/onnx.yaml expects, with random weights."""
    onnx = pytest.importorskip("onnx")
    random = np.random.default_rng(0)
    shapes = {"stem.weight": (8, 1, 5, 5), "stem.bias": (8,), "classifier.weight": (10, 8), "classifier.bias": (10,)}
    values = [onnx.numpy_helper.from_array(random.normal(size=shape).astype("f"), name) for name, shape in shapes.items()]
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Conv", ["images", "stem.weight", "stem.bias"], ["conv"], pads=[2, 2, 2, 2]),
        node("Relu", ["conv"], ["relu"]),
        node("ReduceMean", ["relu"], ["mean"], axes=[2, 3], keepdims=0),
        node("Gemm", ["mean", "classifier.weight", "classifier.bias"], ["logits"], transB=1),
    ]
    images = info("images", onnx.TensorProto.FLOAT, ["batch", 1, 28, 28])
    graph = onnx.helper.make_graph(nodes, "net", [images], [info("logits", onnx.TensorProto.FLOAT, ["batch", 10])], values)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


def example(name: str, folder: Path, data: Path | None = None, **model: Any) -> Path:
    """A copy of the example `name` with its networks, looking for published data in `data`, and drawing little.

    model: keys of its model that shall be different.
    """
    made = shutil.ignore_patterns("__pycache__", *MADE)
    shutil.copytree(CONFIGS / "examples", folder / "examples", ignore=made, dirs_exist_ok=True)
    config = read(name)
    for entry in [*config["probes"], *config["datasets"]]:
        if entry["kind"] == "published":
            entry["path"] = str(data)
        if "per_class" in entry:
            entry["per_class"] = 1
    config["models"][0] |= {"views": FEW} | model
    (folder / name).write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / name


def train(config: Path, script: str = "train.py") -> str:
    done = training(config, script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def training(config: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(config.parent / "examples" / script), str(config), "--epochs", "2", "--batch", "8"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)  # noqa: S603 - ours


def built(config: Path) -> Path:
    """The site that `cnnscope build` makes of a configuration."""
    places = ["--out", str(config.parent / "site"), "--store", str(config.parent / "store")]
    outcome = run("build", str(config), *places)
    assert outcome.code == 0, outcome.err + outcome.out
    return config.parent / "site"


def check_pages(site: Path, model: str, layers: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Every layer and every class has its page, which the model's page and that of the classes lead to."""
    home = site / "m" / model
    assert [layer for layer in layers if not (home / f"{layer}.html").is_file()] == [], sorted(home.glob("*.html"))
    text = (home / "classes.html").read_text(encoding="utf-8")
    assert [name for name in classes if f">{name}</a>" not in text] == []
    assert len(list((home / "class").glob("*.html"))) == len(classes)


def test_mnist_and_flax(tmp_path):
    mnist(tmp_path / "data")
    config = example("mnist.yaml", tmp_path, tmp_path / "data")
    assert "of 40 test images right" in train(config)
    check_pages(built(config), "small-cnn", ("conv1", "conv2", "conv3", "classifier"), DIGITS)


def test_cifar10_and_a_function(tmp_path):
    cifar10(tmp_path / "data")
    config = example("cifar10.yaml", tmp_path, tmp_path / "data", views=FEWER)
    assert "of 20 test images right" in train(config)
    check_pages(built(config), "plain-jax", ("stage1.conv1", "stage3.conv2", "classifier"), THINGS)


def test_own_folder(tmp_path):
    own_folder(tmp_path / "my_images")
    config = example("own_folder.yaml", tmp_path, views=FEWER)
    assert "of 8 test images right" in train(config)
    check_pages(built(config), "small-cnn", ("conv1", "conv2", "conv3", "classifier"), ("bicycle", "cat"))


def test_classes_are_places_in_the_labels(tmp_path):
    own_folder(tmp_path / "my_images")
    config = example("own_folder.yaml", tmp_path, labels=["cat", "bicycle"])
    reading = runpy.run_path(str(CONFIGS / "examples" / "reading.py"))
    images, labels = reading["read_dataset"](reading["read_config"](config), "test", tmp_path)
    assert (images.shape, images.dtype, labels.tolist()) == ((8, 64, 64, 3), np.float32, [1] * 4 + [0] * 4)
    assert -2 <= images.min() < images.max() <= 2  # 0-1 less 0.5, divided by 0.25


def test_labels_that_are_not_the_folders(tmp_path):
    own_folder(tmp_path / "my_images")
    config = example("own_folder.yaml", tmp_path, labels=["bicycle", "cats"])
    assert (
        "'training' has the classes bicycle, cat, but the model's `labels` are bicycle, cats"
        in training(config, "train.py").stderr
    )


def test_more_labels_than_outputs(tmp_path):
    own_folder(tmp_path / "my_images")
    config = example("own_folder.yaml", tmp_path, labels=["bicycle", "cat", "tree"])
    assert "3 `labels` for a network with 2 outputs" in training(config, "train.py").stderr


def test_onnx(tmp_path):
    mnist(tmp_path / "data")
    config = example("onnx.yaml", tmp_path, tmp_path / "data")
    save_onnx(tmp_path / "examples" / "torch_cnn.onnx")
    check_pages(built(config), "onnx-cnn", ("stem", "classifier"), DIGITS)


def test_keras(tmp_path):
    # Small, untrained and with few views, as tests fetch nothing and are to be quick; the way there is the same.
    source = read("keras.yaml")["models"][0]["source"] | {"weights": "random", "input_shape": [64, 64, 3]}
    views = {"feature_vis": False, "exemplars": False, "health": False}
    site = built(example("keras.yaml", tmp_path, source=source, layers=["Conv1", "predictions"], views=views))
    home = site / "m" / "mobilenet-v2"
    assert (home / "conv1.html").is_file()
    assert "golden retriever" in (home / "predictions.html").read_text(encoding="utf-8")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_torch_and_what_it_exports(tmp_path):
    mnist(tmp_path / "data")
    config = example("torch.yaml", tmp_path, tmp_path / "data")
    assert "of 40 test images right" in train(config, "train_torch.py")
    check_pages(built(config), "torch-cnn", ("stem.conv", "middle.conv", "top.conv", "classifier"), DIGITS)
    exported = example("onnx.yaml", tmp_path, tmp_path / "data")
    check_pages(built(exported), "onnx-cnn", ("stem.conv", "middle.conv", "top.conv", "classifier"), DIGITS)
