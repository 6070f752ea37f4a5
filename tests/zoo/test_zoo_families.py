"""Architectures whose weights somebody brings: their size, their names, and what they make of others' checkpoints."""

from __future__ import annotations

import json
import math
from functools import cache, partial

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from generator.config.sources import ZooSource
from generator.errors import WeightsError
from generator.network.execute import Network
from generator.sources import describe, load
from generator.sources.flax_modules import pure_nnx
from generator.zoo.families import BROUGHT
from generator.zoo.registry import ENTRIES, entry
from tests.zoo.made_up_checkpoints import DATA, SIZE_PX, images, known_shapes, made_up

#: As torchvision's documentation gives them, and timm's results table for EfficientNet-Lite.
NUM_PARAMS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "googlenet": 6_624_904,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
}
NUM_CONVOLUTIONS = {"resnet50": 53, "vgg16": 13, "googlenet": 57, "densenet121": 120, "mobilenet_v2": 52, "squeezenet1_1": 26}
LOGITS = json.loads((DATA / "logits.json").read_text())


@cache
def expected_of(name, norm_epsilon=None):
    arguments = {} if norm_epsilon is None else {"norm_epsilon": norm_epsilon}
    return pure_nnx(partial(entry(name).build, **arguments)).expected


def zoo_name(known):
    """Of the architecture that a package's state dict is of."""
    _, _, name = known.partition("/")
    return (
        name
        if known.startswith(("torchvision", "published"))
        else next(e.name for e in ENTRIES.values() if name in e.timm_names)
    )


def no_values(shapes):
    """Tensors of the right shapes that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def test_all_are_known():
    assert [model.name for model in BROUGHT] == list(NUM_PARAMS)


@pytest.mark.parametrize("name", NUM_PARAMS)
def test_sizes_are_those_published(name):
    expected = expected_of(name)
    statistics = ("/mean", "/var")
    assert sum(math.prod(leaf.shape) for path, leaf in expected.items() if not path.endswith(statistics)) == NUM_PARAMS[name]
    if name in NUM_CONVOLUTIONS:
        assert sum(len(leaf.shape) == 4 for leaf in expected.values()) == NUM_CONVOLUTIONS[name]


@pytest.mark.parametrize("known", known_shapes())
def test_real_checkpoints_fit(known):
    model, tensors = entry(zoo_name(known)), no_values(known_shapes()[known])
    arguments = model.build_arguments(tensors)
    assert arguments.pop("num_classes") == 1000
    expected = expected_of(model.name, **arguments)
    assert {path: array.shape for path, array in model.parameters(tensors).items()} == {
        path: leaf.shape for path, leaf in expected.items()
    }


def test_epsilon_follows_the_naming():
    model = entry("mobilenet_v3_small")
    assert model.build_arguments(no_values(known_shapes()["timm/mobilenetv3_small_100"]))["norm_epsilon"] == 1e-5
    assert "norm_epsilon" not in model.build_arguments(no_values(known_shapes()["torchvision/mobilenet_v3_small"]))


@pytest.mark.parametrize("known", LOGITS)
def test_logits_equal_the_packages_own(known, tmp_path):
    save_file(made_up(known_shapes()[known]), tmp_path / "weights.safetensors")
    loaded = load(ZooSource(kind="zoo", name=zoo_name(known), weights="weights.safetensors"), tmp_path)
    run = jax.jit(loaded.apply, compiler_options={"xla_backend_optimization_level": 0})  # most of the time goes into compiling
    logits = np.asarray(run(loaded.params, images()))
    size = LOGITS[known]["norm"] / math.sqrt(logits.size)
    np.testing.assert_allclose(logits[:, ::111], LOGITS[known]["every 111th"], rtol=0, atol=1e-4 * size)
    assert np.linalg.norm(logits) == pytest.approx(LOGITS[known]["norm"], rel=1e-5)


def test_timms_networks_of_the_same_names_but_other_padding_are_not_taken():
    """Their checkpoints have the same names and shapes, so only the architecture that the hub states tells them apart."""
    known = {name for model in ENTRIES.values() for name in model.timm_names}
    assert not known & {"efficientnet_lite0", "efficientnet_lite1", "tf_mobilenetv3_large_100", "tf_mobilenetv3_small_100"}
    assert len(known) == sum(len(model.timm_names) for model in ENTRIES.values())


def test_lite_checkpoints_of_efficientnet_pytorch():
    model, timms = entry("efficientnet_lite2"), known_shapes()["timm/tf_efficientnet_lite2"]
    of_timm = model.parameters(no_values(timms))
    number, names = (
        -1,
        {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"},
    )
    for stage, repeats in enumerate((1, 3, 3, 4, 4, 5, 1)):
        for repeat in range(repeats):
            number += 1
            theirs, there = f"blocks.{stage}.{repeat}.", f"_blocks.{number}."
            narrow = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
            wide = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
            wide |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
            names |= {theirs + part: there + name for part, name in (wide if stage else narrow).items()}
    renamed = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": shape for key, shape in timms.items()}
    ours = model.parameters(no_values(renamed))
    assert {path: array.shape for path, array in ours.items()} == {path: array.shape for path, array in of_timm.items()}


@pytest.mark.parametrize(("wrapper", "num_classes"), [("", 10), ("module.", 1000), ("model.net.", 3)])
def test_fine_tuned_and_wrapped_checkpoints(tmp_path, wrapper, num_classes):
    shapes = known_shapes()["torchvision/squeezenet1_1"] | {
        "classifier.1.weight": [num_classes, 512, 1, 1],
        "classifier.1.bias": [num_classes],
    }
    save_file({f"{wrapper}{name}": array for name, array in made_up(shapes).items()}, tmp_path / "mine.safetensors")
    source = ZooSource(kind="zoo", name="squeezenet1_1", weights="mine.safetensors")
    facts, loaded = describe(source, tmp_path), load(source, tmp_path)
    assert (facts.labels is None) == (num_classes != 1000)
    assert facts.guesses
    assert ("Paper", entry("squeezenet1_1").paper) in facts.facts
    assert jax.eval_shape(loaded.apply, loaded.params, images()).shape == (2, num_classes)


def test_a_checkpoint_of_another_architecture_is_told(tmp_path):
    save_file(made_up(known_shapes()["torchvision/squeezenet1_0"]), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="12 of 52 parameters are missing: features/6/expand1x1/bias") as caught:
        load(ZooSource(kind="zoo", name="squeezenet1_1", weights="other.safetensors"), tmp_path)
    assert "features/0/kernel is (7, 7, 3, 96) but should be (3, 3, 3, 64)" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "repository"),
    [("resnet50", "resnet50-0676ba61.pth", "timm/resnet50.tv_in1k"), ("alexnet", "alexnet-owt", "")],
)
def test_without_weights_both_ways_out_are_said(name, file, repository, tmp_path):
    with pytest.raises(WeightsError) as caught:
        describe(ZooSource(kind="zoo", name=name), tmp_path)
    assert file in str(caught.value)
    assert ("with `hub:`" in str(caught.value)) == bool(repository)
    assert repository in str(caught.value)


def test_layers_have_torchvisions_names(tmp_path):
    save_file(made_up(known_shapes()["torchvision/resnet18"]), tmp_path / "weights.safetensors")
    loaded = load(ZooSource(kind="zoo", name="resnet18", weights="weights.safetensors"), tmp_path)
    graph = Network(loaded.apply, loaded.params, (SIZE_PX, SIZE_PX, 3)).graph
    names = [layer.name for layer in graph.layers]
    assert names[:4] == ["conv1", "maxpool", "layer1/0/conv1", "layer1/0/conv2"]
    assert {"layer1/0", "layer2/0/downsample/0", "layer4/1", "avgpool", "fc"} <= set(names)
    assert graph.by_name["layer1/0"].kind == "add"
