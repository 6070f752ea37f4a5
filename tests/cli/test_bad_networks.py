"""Networks that cannot run are explained with the file and line of their own code; unusual ones that can run do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.tiny_gallery import run, tree

HEAD = """
from flax import linen as nn
import jax.numpy as jnp

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (3, 3), name="edges")(x)
"""
BAD = {
    "raises at import": (
        "import flax\nraise RuntimeError('no luck')\n",
        r"net\.py:2: importing net failed: RuntimeError: no luck",
    ),
    "exits at import": ("import sys\nsys.exit(0)\n", r"net\.py:2: importing net failed: SystemExit"),
    "is no Python": ("class Net(:\n", r"net\.py:1: this is not valid Python"),
    "imports what is not there": ("import flaxx\n", r"net\.py:1: importing net failed: ModuleNotFoundError: No module named"),
    "raises when called": (HEAD + "        raise KeyError('thing')\n", r"net\.py:9: .*KeyError: 'thing'"),
    "cannot run at this size": (
        HEAD + "        return nn.Dense(3)(x.reshape(len(x), 999))\n",
        r"net\.py:9: .*16, 16, 3.*TypeError",
    ),
    "asks for values": (HEAD + "        return x if x.sum() > 0 else -x\n", r"net\.py:9: .*TracerBoolConversionError"),
    "ignores the image": (
        HEAD + "        return jnp.zeros((len(x), 3))\n",
        r"config\.yaml:\d+: models\[0\]\.source: its output does not depend on the image",
    ),
    "returns nothing": (HEAD + "        return None\n", "output"),
    "is no module": ("Net = 3\n", "neither a flax.nnx.Module nor a flax.linen.Module"),
}
EDGES = {"edges": (3, 3, 3, 4)}


@pytest.mark.parametrize("name", BAD)
def test_a_network_that_cannot_be_used(tiny, name):
    code, pattern = BAD[name]
    before = tree(tiny.site)
    (tiny.folder / "net.py").write_text(code)
    tiny.write_weights(0, EDGES)
    tiny.model.update(layers="all", labels=None)
    outcome = tiny.run("build")
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert re.search(pattern, outcome.err), outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert tree(tiny.site) == before


def test_a_failure_only_while_computing(tiny):
    """Initialisation sees one image; the network fails when it is traced with its weights."""
    fails = "        assert self.is_initializing(), 'only\\nonce'\n        return x.mean((1, 2))\n"
    (tiny.folder / "net.py").write_text(HEAD + fails)
    tiny.write_weights(0, EDGES)
    tiny.model.update(layers="all", labels=None)
    outcome = tiny.run("build")
    assert outcome.code == 2
    rule = r"net\.py:9: the network cannot run on images of 16 x 16 x 3: AssertionError: only; correct the module"
    assert re.search(rule, outcome.err), outcome.err


@pytest.mark.parametrize(
    "end",
    [
        "return x",  # a map, as of segmentation
        "return {'b': x, 'a': x.max((1, 2))}",
        "return x.mean((1, 2)), x",
        "return x.mean((1, 2, 3))",  # one number
        "return jnp.argmax(x.mean((1, 2)), -1)",
    ],
)
def test_outputs_that_are_not_classes(tiny, end):
    (tiny.folder / "net.py").write_text(HEAD + f"        {end}\n")
    tiny.write_weights(0, EDGES)
    tiny.model.update(layers="all", labels=None)
    outcome = tiny.run("build")
    assert outcome.code == 0, outcome.err
    assert run("links", str(tiny.site)).code == 0
    page = (tiny.site / "m/net/probes/noise.html").read_text()
    assert ("class 0" in page or "class 1" in page) == ("'a': x.max" in end or end == "return x.mean((1, 2)), x")


def test_hostile_layer_names(tiny):
    """Names that would leave the folder, close a tag, or be the same file."""
    names = ["../../up", "<script>alert(1)<", "a b", "ä/ö", "a.b", "A.b", "index", "x" * 200, "con"]
    code = "from flax import linen as nn\nclass Net(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n"
    code += "".join(f"        x = nn.relu(nn.Conv(2, (1, 1), name={name!r})(x))\n" for name in names)
    (tiny.folder / "net.py").write_text(code + "        return x.mean((1, 2))\n")
    random = np.random.default_rng(0)
    tensors = {}
    for name, channels in zip(names, [3] + [2] * 8, strict=True):
        tensors[f"{name}/kernel"] = random.normal(size=(1, 1, channels, 2)).astype(np.float32)
        tensors[f"{name}/bias"] = np.zeros(2, np.float32)
    save_file(tensors, tiny.folder / "net.safetensors")
    tiny.model.update(layers="all", labels=None)
    outside = set(tiny.folder.iterdir())
    outcome = tiny.run("build")
    assert outcome.code == 0, outcome.err
    assert set(tiny.folder.iterdir()) == outside
    assert run("links", str(tiny.site)).code == 0
    for path in tiny.site.rglob("*.html"):
        assert "<script>alert" not in path.read_text()
