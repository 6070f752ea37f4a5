"""Names that collide, settings of JAX, and failures of the machine."""

from __future__ import annotations

import shutil

import jax
import pytest
from PIL import Image

from generator.build.compute import LazyNetwork
from generator.build.together import together
from generator.config.sources import FlaxSource
from generator.errors import ConfigError, NetworkError, ProbeError, Problem, UserError


def test_probes_of_one_name_are_told_apart(tiny):
    """Two sets have an `x-0` each, and a third one an image that is called as the first one would be then."""
    tiny.config["probes"].append({"name": "again", "kind": "npz", "path": "own.npz"})
    Image.new("L", (4, 4)).save(tiny.folder / "pictures" / "own-x-0.png")
    tiny.model["probes"] = ["own", "again", "files"]
    tiny.build()
    names = {path.stem for path in (tiny.site / "m/net/probes").iterdir()}
    assert names == {"own-o-0", "own-x-0", "again-o-0", "again-x-0", "noise", "own-x-0-2"}


def test_probe_tasks_of_all_models_are_apart(tiny):
    tiny.config["models"].append({**tiny.model, "name": "net2", "layers": ["edges"]})
    _, reasons = tiny.build()
    assert {task for task in reasons if task.startswith("probe:")} == {
        f"probe:net2/{name}" for name in ("zone-plate", "o-0", "x-0", "noise")
    }
    assert "network:net" not in reasons
    shutil.rmtree(tiny.store)
    assert set(tiny.build()[1]) >= {"network:net", "network:net2"}


def test_a_machine_that_gives_up_is_explained(tmp_path):
    source = FlaxSource(kind="flax", module="net:Net", checkpoint="net.npz", input_shape=(9, 8, 3))
    network = LazyNetwork(source, tmp_path, (9, 8, 3), "a.yaml:3: models[0].source", tmp_path)
    rule = (
        r"a\.yaml:3: models\[0\]\.source: computing it for images of 9 x 8 x 3 failed: RESOURCE_EXHAUSTED: no memory; choose a"
    )
    with pytest.raises(NetworkError, match=rule), network._explained():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory\nmuch more")


def test_together():
    def fails(error: type[UserError], text: str):
        def step() -> None:
            raise error(Problem("here", text))

        return step

    assert together([lambda: 1, lambda: 2]) == [1, 2]
    with pytest.raises(ConfigError, match=r"here: a\nhere: b$"):
        together([fails(ConfigError, "a"), lambda: 1, fails(ConfigError, "b"), fails(ConfigError, "a")])
    with pytest.raises(UserError, match="here: a\nhere: b") as caught:
        together([fails(ConfigError, "a"), fails(ProbeError, "b")])
    assert type(caught.value) is UserError
    with pytest.raises(ZeroDivisionError):  # a defect of ours is never hidden
        together([fails(ConfigError, "a"), lambda: 1 / 0])
