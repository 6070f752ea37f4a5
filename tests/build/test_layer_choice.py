"""Which layers are shown: entries of every kind, mistakes in them, and what is chosen where nothing is said."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from generator.build.layers import ENOUGH, MOST, chosen
from generator.errors import ConfigError, NetworkError
from generator.network.graph import Graph, Layer, ReceptiveField
from generator.pages.links import check_links

FIELD = ReceptiveField(size=(3, 3), stride=(1, 1), first=(0, 0))


def layer(name: str, kind: str = "conv", shape: tuple[int, ...] = (8, 8, 4)) -> Layer:
    return Layer(name=name, kind=kind, inputs=("input",), shape=shape, receptive_field=FIELD)


def graph(*layers: Layer, outputs: tuple[str, ...] = ()) -> Graph:
    return Graph(input_shape=(16, 16, 3), layers=layers, outputs=outputs or (layers[-1].name,))


SMALL = graph(
    layer("stem/conv", shape=(16, 16, 4)),
    layer("pool", "max_pool"),
    layer("blocks/0/expand"),
    layer("blocks/0/add", "add"),
    layer("blocks/1/expand"),
    layer("blocks/1/tokens", "matmul", (64, 64)),
    layer("blocks/1/add", "add"),
    layer("squeeze", "mean", (4,)),
    layer("excite", "dense", (4,)),
    layer("gate", "gate"),
    layer("spectrum", "fft"),
    layer("mean", "mean", (4,)),
    layer("aux/classes", "dense", (3,)),
    layer("classes", "dense", (3,)),
    outputs=("classes", "aux/classes"),
)


def place(entry: int | None) -> str:
    return "layers" if entry is None else f"layers[{entry}]"


def names(wanted, of: Graph = SMALL) -> list[str]:
    return [one.name for one in chosen(of, wanted, place).layers]


DRAWABLE = [one.name for one in SMALL.layers if one.name not in ("blocks/1/tokens", "spectrum")]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("all", DRAWABLE),
        ("default", DRAWABLE),
        ("stages", ["stem/conv", "gate", "aux/classes", "classes"]),
        (["classes", "pool"], ["pool", "classes"]),
        (["blocks.*.expand"], ["blocks/0/expand", "blocks/1/expand"]),
        (["blocks/*"], ["blocks/0/expand", "blocks/0/add", "blocks/1/expand", "blocks/1/add"]),
        (["kind:add"], ["blocks/0/add", "blocks/1/add"]),
        (["kind:*pool", "kind:gate"], ["pool", "gate"]),
        (["all", "!kind:dense", "!blocks.*"], ["stem/conv", "pool", "squeeze", "gate", "mean"]),
        (["!aux.*", "!stages", "!kind:mean"], [n for n in DRAWABLE if n.startswith("blocks") or n in ("pool", "excite")]),
    ],
)
def test_entries(wanted, expected):
    assert names(wanted) == expected


def test_a_layer_that_is_called_like_a_word_is_meant_by_its_name():
    odd = graph(layer("stages"), layer("a[0]"), layer("a0"), layer("!x"))
    assert names(["stages"], odd) == ["stages"]
    assert names(["a[0]"], odd) == ["a[0]"]


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as raised:
        chosen(SMALL, ["clases", "pool", "kind:ad", "!poool", "blocks.1.tokens", "spectrum"], place)
    assert [str(problem).partition(" (known")[0] for problem in raised.value.problems] == [
        "layers[0]: no layer 'clases'; did you mean 'classes'?",
        "layers[2]: no layer is of kind 'ad'; did you mean 'add'?",
        "layers[3]: no layer 'poool'; did you mean 'pool'?",
        "layers[4]: blocks/1/tokens is a matmul of shape (64, 64); a layer's values must be `(c,)` or `(h, w, c)` real numbers"
        " to be drawn",
        "layers[5]: spectrum is a fft of shape (8, 8, 4); a layer's values must be `(c,)` or `(h, w, c)` real numbers"
        " to be drawn",
    ]


def test_nothing_left_and_nothing_to_draw():
    with pytest.raises(ConfigError, match="layers: no layer is left"):
        names(["pool", "!pool"])
    with pytest.raises(NetworkError, match="none of its 1 layers can be shown"):
        names("default", graph(layer("tokens", shape=(5, 4))))


def residual(blocks: int, sizes: tuple[int, ...]) -> Graph:
    """As ResNets are: in each block three convolutions and an addition."""
    layers = [layer("stem", shape=(64, 64, 4)), layer("pool", "max_pool", (sizes[0], sizes[0], 4))]
    for stage, size in enumerate(sizes):
        for block in range(blocks):
            at = f"{stage}/{block}"
            layers += [layer(f"{at}/conv{number}", shape=(size, size, 4)) for number in range(3)]
            layers += [layer(f"{at}/add", "add", (size, size, 4))]
    return graph(*layers, layer("mean", "mean", (4,)), layer("classes", "dense", (3,)))


def test_of_a_large_network_what_tells_its_story_is_chosen():
    large = residual(5, (32, 16, 8, 4))
    found = names("default", large)
    assert found == ["stem", *(f"{stage}/{block}/add" for stage in range(4) for block in range(5)), "classes"]
    assert chosen(large, "default", place).sentence.startswith("22 of 84 layers are shown: the first, the last at each")


def test_of_a_very_large_one_block_ends_are_thinned_evenly():
    found = names("default", residual(50, (32, 16, 8, 4)))
    assert len(found) == MOST
    assert found[0] == "stem"
    assert {"0/49/add", "1/49/add", "2/49/add", "3/49/add", "classes"} <= set(found)
    numbers = [int(name.split("/")[1]) for name in found if name.startswith("1/")]
    assert max(np.diff(numbers)) <= 5


def test_of_a_long_plain_one_kernels_are_taken():
    plain = graph(*(layer(f"conv{number}") for number in range(100)), layer("classes", "dense", (3,)))
    found = names("default", plain)
    assert len(found) == MOST > ENOUGH
    assert found[0] == "conv0"
    assert found[-2:] == ["conv99", "classes"]


def test_stages_of_a_network_that_goes_down_and_up():
    sizes = (16, 16, 8, 8, 4, 8, 8, 16, 16)
    unet = graph(*(layer(f"l{number}", shape=(size, size, 2)) for number, size in enumerate(sizes)))
    assert names("stages", unet) == ["l1", "l3", "l4", "l6", "l8"]
    parallel = graph(*(layer(f"l{number}", shape=(2 + number % 2, 4, 2)) for number in range(20)))
    assert names("stages", parallel) == ["l18", "l19"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("all", "12 of 14 layers are shown. 2 hold neither maps nor vectors and cannot be drawn."),
        (["pool"], "1 of 14 layers is shown, as the configuration says. 2 hold neither maps nor vectors and cannot be drawn."),
    ],
)
def test_the_choice_is_explained(wanted, sentence):
    assert chosen(SMALL, wanted, place).sentence == sentence
    assert chosen(graph(layer("a")), "all", place).sentence == "Its only layer is shown."


NETWORK = """
from flax import linen as nn
import jax.numpy as jnp

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), strides=2, name="edges")(x))
        y = nn.relu(nn.Conv(4, (3, 3), name="corners")(x))
        x = nn.relu(x + y)
        gate = nn.sigmoid(nn.Dense(4, name="excite")(x.mean((1, 2))))
        x = jnp.concatenate([x * gate[:, None, None], nn.max_pool(x, (3, 3), padding="SAME")], -1)
        return nn.Dense(3, name="classes")(x.mean((1, 2)))
"""
SHAPES = {"edges": (3, 3, 3, 4), "corners": (3, 3, 4, 4), "excite": (4, 4), "classes": (8, 3)}


@pytest.mark.parametrize("wanted", ["default", ["stages"], ["kind:add", "classes"], ["corners"], ["!kind:conv"]])
def test_a_gallery_of_some_layers_has_no_link_to_others(tiny, wanted):
    (tiny.folder / "net.py").write_text(NETWORK)
    random = np.random.default_rng(0)
    tensors = {f"{name}/kernel": random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    tensors |= {f"{name}/bias": np.zeros(shape[-1], np.float32) for name, shape in SHAPES.items()}
    save_file(tensors, tiny.folder / "net.safetensors")
    tiny.model["layers"] = wanted
    tiny.build()
    assert check_links(tiny.site) == []
    assert len(list((tiny.site / "m/net/layers").glob("*.html"))) or list((tiny.site / "m/net").rglob("*.html"))


def test_a_hidden_layer_cannot_be_featured(tiny):
    tiny.featuring()
    tiny.model["layers"] = ["edges"]
    outcome = tiny.run("build")
    assert outcome.code == 2
    assert "classes is not among the layers that are shown; add it to the model's `layers`" in outcome.err.replace("\n", " ")
