"""EfficientNet-Lite0 gives what PyTorch gives with the same weights, and knows a cat."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
import skimage
from PIL import Image
from safetensors.numpy import save_file

from generator.config.sources import ZooSource
from generator.errors import WeightsError
from generator.sources import describe, load
from generator.sources.weights import read_checkpoint
from generator.zoo.efficientnet_lite0 import from_torch

SOURCE = ZooSource(kind="zoo", name="efficientnet_lite0")

#: Logits 0, 111, 222 ... of `pattern()`, their largest and their norm, from a functional forward in PyTorch 2.13.
TORCH_LOGITS = [
    *(-0.88683784, 1.74375403, -0.76966262, -0.11354649, 0.25849688),
    *(0.11299875, -0.26284292, -1.34425545, -1.47254002, 1.31413054),
]
TORCH_LARGEST, TORCH_NORM = 794, 47.03620529


@pytest.fixture(scope="module")
def loaded():
    return load(SOURCE, Path())


@pytest.fixture(scope="module")
def run(loaded):
    return jax.jit(loaded.apply)


def pattern():
    row, column, channel = np.ogrid[:224, :224, :3]
    pixels = (row * 7 + column * 13 + (row * column) % 97 + channel * 29) % 256
    return ((pixels.astype(np.float32) - 127) / 128)[None]


def test_logits_equal_pytorch(loaded, run):
    logits = np.asarray(run(loaded.params, pattern()))
    assert logits.shape == (1, 1000)
    np.testing.assert_allclose(logits[0, ::111], TORCH_LOGITS, atol=1e-4)
    assert logits.argmax() == TORCH_LARGEST
    assert np.linalg.norm(logits) == pytest.approx(TORCH_NORM, abs=1e-3)


def test_a_cat_is_a_cat(loaded, run):
    image = Image.open(Path(skimage.__file__).parent / "data" / "chelsea.png").convert("RGB")
    scale = 224 / 0.875 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    logits = np.asarray(run(loaded.params, (pixels[None] - 127) / 128))[0]
    labels = describe(SOURCE, Path()).labels
    best = [labels[index] for index in np.argsort(-logits)[:4]]
    assert set(best) == {"tiger cat", "Egyptian cat", "tabby", "lynx"}


def test_names_are_short_and_clear(loaded):
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(loaded.params)]
    names = {jax.tree_util.keystr(path, simple=True, separator="/") for path in paths}
    kernels = {name.removesuffix("/kernel") for name in names if name.endswith("/kernel")}
    assert len(kernels) == 50
    assert {"stem", "blocks/0/depthwise", "blocks/3/expand", "blocks/15/project", "head", "classifier"} <= kernels
    assert "blocks/0/expand" not in kernels
    assert {f"blocks/3/depthwise/{name}" for name in ("kernel", "scale", "bias", "mean", "var")} <= names


def test_kernels_turn_from_torch_to_jax_layout():
    array = np.arange(24).reshape(2, 3, 1, 4)
    path, kernel = from_torch("_blocks.12._expand_conv.weight", array)
    assert path == "blocks/12/expand/kernel"
    assert kernel.shape == (1, 4, 3, 2)
    assert kernel[0, 3, 2, 1] == array[1, 2, 0, 3]
    assert from_torch("_blocks.2._bn2.running_var", np.ones(4))[0] == "blocks/2/project/var"
    assert from_torch("_fc.weight", np.ones((5, 2)))[1].shape == (2, 5)
    assert from_torch("_bn1.num_batches_tracked", np.array(3)) is None
    assert from_torch("layer4.0.conv1.weight", np.ones((1, 1, 1, 1)))[0] == "layer4.0.conv1.weight"


def test_a_checkpoint_saved_from_the_module_itself(loaded, tmp_path):
    leaves = jax.tree_util.tree_leaves_with_path(loaded.params)
    names = {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}
    save_file(names, tmp_path / "mine.safetensors")
    again = load(ZooSource(kind="zoo", name="efficientnet_lite0", weights="mine.safetensors"), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.params, loaded.params)


def test_another_architecture_lists_every_kind_of_difference(tmp_path):
    tensors = dict(read_checkpoint(describe(SOURCE, Path()).weights_path))
    tensors["layer4.0.conv1.weight"] = tensors.pop("_conv_head.weight")
    tensors["_fc.bias"] = np.zeros(10, np.float32)
    np.savez(tmp_path / "other.npz", **tensors)
    with pytest.raises(WeightsError) as caught:
        load(ZooSource(kind="zoo", name="efficientnet_lite0", weights="other.npz"), tmp_path)
    assert [problem.message for problem in caught.value.problems] == [
        "1 of 247 parameters are missing: head/kernel",
        "1 of 247 tensors do not belong to the network: layer4/0/conv1/weight",
        "1 shapes differ: classifier/bias is (10,) but should be (1000,)",
    ]
    assert "another architecture" in caught.value.problems[-1].way_out


def test_a_wholly_different_checkpoint_is_listed_briefly(tmp_path):
    np.savez(tmp_path / "other.npz", **{f"layer{index}": np.zeros(3) for index in range(500)})
    with pytest.raises(WeightsError) as caught:
        load(ZooSource(kind="zoo", name="efficientnet_lite0", weights="other.npz"), tmp_path)
    assert "247 of 247 parameters are missing" in str(caught.value)
    assert "492 more" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_facts_name_the_weights():
    facts = describe(SOURCE, Path())
    assert facts.weights.digest == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert facts.weights.format == "pth (legacy)"
    assert facts.weights.licence == "Apache-2.0"
    assert facts.preprocessing.crop_fraction == 0.875
    assert [path.name for path in facts.code_paths] == ["efficientnet_lite0.py"]


def test_facts_of_someone_else_s_weights_claim_nothing(tmp_path):
    np.savez(tmp_path / "mine.npz", w=np.ones(1))
    facts = describe(ZooSource(kind="zoo", name="efficientnet_lite0", weights="mine.npz"), tmp_path)
    assert facts.weights.licence == "not stated"
    assert facts.facts == []
