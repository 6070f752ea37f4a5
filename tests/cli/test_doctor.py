"""`cnnscope doctor`, end to end: planted faults are found and named, healthy models are left in peace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import save_file

from generator.config.sources import ZooSource
from generator.sources import describe
from tests.starting.networks import trained, write_normalised_keras, write_normalised_onnx
from tests.tiny_gallery import run

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "configs/default.yaml").read_text())
EFFICIENTNET, FASHION = DEFAULT["models"]
CLOTHES = list(describe(ZooSource(kind="zoo", name="fashion_cnn"), ROOT).labels)


def examined(folder: Path, model: dict, **changed: object) -> tuple[int, dict]:
    """Exit code and what was found, for a model of the default gallery with other settings."""
    sets = [section for section in DEFAULT["probes"] if section["name"] in model["probes"]]
    datasets = [section for section in DEFAULT["datasets"] if section["name"] in (model["dataset"], model.get("measured_on"))]
    kept = {key: value for key, value in model.items() if key != "views" and value is not None}
    config = {"title": "x", "models": [{**kept, **changed}], "probes": sets, "datasets": datasets}
    (folder / "gallery.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    outcome = run("doctor", str(folder / "gallery.yaml"), "--json", "--store", str(folder / "store"))
    assert outcome.err == ""
    (found,) = json.loads(outcome.out)["models"]
    return outcome.code, found


def checks(found: dict) -> list[str]:
    return [finding["check"] for finding in found["findings"]]


# -- what ships -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [EFFICIENTNET, FASHION], ids=lambda model: model["name"])
def test_models_that_ship_are_healthy(tmp_path, model):
    code, found = examined(tmp_path, model)
    assert (code, found["findings"]) == (0, [])
    assert found["num_images"] >= 32
    if model is FASHION:
        assert found["num_labelled"] == 200
        assert found["num_right"] > 170


@pytest.mark.parametrize(
    ("stated", "fix"),
    [
        ({"range": [0, 255]}, "Write `preprocessing: {range: [0, 1]}`."),
        ({"mean": [0], "std": [0.01]}, "Write `preprocessing: {"),
    ],
)
def test_a_wrong_range_is_told_by_labels(tmp_path, stated, fix):
    code, found = examined(tmp_path, FASHION, preprocessing=stated)
    assert code == 1
    assert "preprocessing" in checks(found)
    finding = found["findings"][checks(found).index("preprocessing")]
    assert "labelled images are named rightly as they are prepared now, and" in finding["measured"]
    assert finding["fix"].startswith(fix)


def test_names_in_another_order_are_put_right(tmp_path):
    """What is written as `labels:` is the order that the network has."""
    turned = CLOTHES[1:] + CLOTHES[:1]
    code, found = examined(tmp_path, FASHION, labels=turned)
    assert (code, checks(found)) == (1, ["labels"])
    assert f"Write `labels: {json.dumps(CLOTHES)}`" in found["findings"][0]["fix"]


def test_a_name_too_many(tmp_path):
    code, found = examined(tmp_path, FASHION, labels=[*CLOTHES, "hat"])
    assert (code, checks(found)) == (1, ["labels"])
    assert "There are 11 names for 10 outputs." in found["findings"][0]["measured"]


# -- files of other frameworks ----------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Blots of light and colour, 20 x 20."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(40):
        small = random.uniform(0, 255, (5, 5, 3)) * random.uniform(0.3, 1)
        Image.fromarray(small.astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC).save(f"photos/{number:02}.png")
    return tmp_path / "photos"


# Keras's own way of saving its variables.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "write"), [("net.onnx", write_normalised_onnx), ("net.keras", write_normalised_keras)], ids=["onnx", "keras"]
)
def test_files_whose_range_was_guessed(photos, name, write):
    """Both are taken for networks of pixels in 0-1, as neither says."""
    write(Path(name), photos, 1 / 255)
    outcome = run("doctor", name, "--images", "photos")
    assert (outcome.code, outcome.err) == (0, "")
    assert "net: nothing looks wrong (44 images)" in outcome.out
    write(Path(name), photos, 1)
    outcome = run("doctor", name, "--images", "photos")
    assert outcome.code == 1
    assert "net: 2 things look wrong (44 images)\n  outputs: All 44 images are named class" in outcome.out
    assert (
        "The network was probably trained with pixels in 0-255.\n    Write `preprocessing: {range: [0, 255]}`.\n" in outcome.out
    )


# -- networks of one's own --------------------------------------------------------------------------------------------

NETWORK = """
from flax import linen as nn
import jax

class Net(nn.Module):
    train: bool = False
    rate: float = 0.0

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=True, name="bn")(nn.Conv(8, (3, 3), padding="VALID", name="stem")(x))
        if self.train:
            x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
        x = nn.relu(x)
        if self.rate:
            x = x * jax.random.bernoulli(jax.random.key(0), 1 - self.rate, x.shape)
        return nn.Dense(3, name="classes")(x.mean((1, 2)))
"""

BEFORE_TRAINING = {"batch_stats/bn/mean": np.zeros(8), "batch_stats/bn/var": np.ones(8)}


def own(folder: Path, arguments: dict, **changed: np.ndarray) -> tuple[int, dict]:
    """What is found of `Net(**arguments)` with other weights."""
    good = trained(folder / "photos", 1 / 255)
    tensors = {
        "params/stem/kernel": good["kernel"],
        "params/stem/bias": np.zeros(8),
        "params/bn/scale": good["gamma"],
        "params/bn/bias": good["beta"],
        "params/classes/kernel": good["dense"],
        "params/classes/bias": good["bias"],
        "batch_stats/bn/mean": good["mean"],
        "batch_stats/bn/var": good["var"],
    }
    arrays = {name: np.asarray(value, np.float32) for name, value in {**tensors, **changed}.items()}
    save_file(arrays, folder / "net.safetensors")
    (folder / "net.py").write_text(NETWORK)
    source = {"kind": "flax", "module": "net:Net", "arguments": arguments, "checkpoint": "net.safetensors"}
    model = {"name": "net", "source": {**source, "input_shape": [20, 20, 3]}, "probes": ["photos"]}
    probes = [{"name": "photos", "kind": "folder", "path": "photos"}]
    (folder / "own.yaml").write_text(yaml.safe_dump({"title": "x", "models": [model], "probes": probes}))
    outcome = run("doctor", str(folder / "own.yaml"), "--json", "--store", str(folder / "store"))
    assert outcome.err == ""
    (found,) = json.loads(outcome.out)["models"]
    return outcome.code, found


@pytest.mark.parametrize(
    ("arguments", "changed", "check", "measured"),
    [
        ({}, {}, None, ""),
        ({"train": True}, {}, "batch normalisation", "with the 3 other images that it runs with"),
        ({"rate": 0.5}, {}, "dropout", "draws random numbers"),
        ({}, {"params/stem/bias": np.full(8, -1e4)}, "first layer", "8 of the 8 units of stem are zero for all"),
        ({}, {"params/classes/kernel": np.zeros((8, 3))}, "weights", "The kernel of classes is zero throughout."),
        ({}, BEFORE_TRAINING, "batch normalisation", "keeps a mean of 0 and a variance of 1"),
    ],
)  # fmt: skip
def test_planted_faults(photos, arguments, changed, check, measured):
    code, found = own(photos.parent, arguments, **changed)
    assert code == (check is not None), found
    if check is None:
        assert found["findings"] == []
    else:
        assert measured in found["findings"][checks(found).index(check)]["measured"]
