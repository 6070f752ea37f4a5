"""Folders that Orbax wrote, read back as named arrays; damaged ones are refused."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from generator.config.sources import FlaxSource, FunctionSource
from generator.errors import ConfigError, WeightsError
from generator.sources import describe, load
from generator.sources.checkpoints import checkpoint_info, read_named

random = np.random.default_rng(0)
TREE = {
    "conv": {"kernel": random.normal(size=(3, 3, 3, 4)).astype(np.float32), "bias": np.zeros(4, np.float32)},
    "list": [np.arange(3, dtype=np.int32)],
    "half": np.ones(2, ml_dtypes.bfloat16),
}
FLAT = {
    "conv/kernel": TREE["conv"]["kernel"],
    "conv/bias": TREE["conv"]["bias"],
    "list/0": TREE["list"][0],
    "half": TREE["half"],
}

CODE = """
from flax import linen as nn

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=True, name="norm")(nn.Conv(4, (3, 3), name="conv")(x))
        return nn.relu(x).mean((1, 2))
"""


def orbax():
    import orbax.checkpoint

    return orbax.checkpoint


def save(path: Path, tree: object) -> Path:
    with orbax().StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), tree)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The same tree, written in every way."""
    ocp, root = orbax(), tmp_path_factory.mktemp("orbax")
    save(root / "standard", TREE)
    for name, use_ocdbt in (("pytree", True), ("zarr", False)):
        with ocp.PyTreeCheckpointer(use_ocdbt=use_ocdbt) as checkpointer:
            checkpointer.save(root / name, TREE)
    with ocp.CheckpointManager(root / "manager") as manager:
        for step in (2, 10):
            tree = {**TREE, "half": TREE["half"] * 0} if step == 2 else TREE
            manager.save(step, args=ocp.args.StandardSave(tree))
        manager.wait_until_finished()
    with ocp.CheckpointManager(root / "items") as manager:
        items = {"params": ocp.args.StandardSave(TREE), "log": ocp.args.JsonSave({"loss": 1.0})}
        manager.save(7, args=ocp.args.Composite(**items))
        manager.wait_until_finished()
    return root


def equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        assert type(found[name]) is np.ndarray
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "name", ["standard", "pytree", "zarr", "manager", "manager/10", "manager/10/default", "items", "items/7"]
)
def test_every_way_of_saving_is_read(saved, name):
    equal(read_named(saved / name), FLAT)
    info = checkpoint_info(saved / name)
    assert (info.format, len(info.digest)) == ("orbax", 64)
    assert info.num_bytes > sum(array.nbytes for array in FLAT.values())


def test_steps_can_be_named_and_half_written_ones_do_not_count(saved, tmp_path):
    root = tmp_path / "steps"
    shutil.copytree(saved / "manager", root)
    assert not read_named(root / "2")["half"].any()
    shutil.copytree(root / "10", root / "11.orbax-checkpoint-tmp")
    (root / "12").mkdir()  # begun, never finished
    equal(read_named(root), FLAT)
    (root / "10").rename(root / "checkpoint_0010")
    equal(read_named(root), FLAT)


def test_the_digest_is_that_of_the_files(saved, tmp_path):
    shutil.copytree(saved / "zarr", tmp_path / "copy")
    before = checkpoint_info(saved / "zarr").digest
    assert checkpoint_info(tmp_path / "copy").digest == before
    (tmp_path / "copy" / "half" / "0").rename(tmp_path / "copy" / "half" / "1")
    assert checkpoint_info(tmp_path / "copy").digest != before


def test_training_states_and_random_states_are_left_out(tmp_path):
    state = {
        "step": np.int32(3),
        "params": TREE["conv"],
        "batch_stats": {"mean": np.ones(2)},
        "opt_state": [{"mu": np.ones(3)}],
    }
    assert sorted(read_named(save(tmp_path / "state", state))) == ["batch_stats/mean", "params/bias", "params/kernel"]


def test_linen_and_nnx_networks_take_their_weights_from_orbax(tmp_path):
    import jax
    import jax.numpy as jnp
    from flax import nnx

    (tmp_path / "net.py").write_text(CODE)
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    module = runpy.run_path(str(tmp_path / "net.py"))["Net"]()
    variables = module.init(jax.random.key(1), images)
    variables["batch_stats"] = jax.tree.map(lambda leaf: leaf + 0.5, variables["batch_stats"])
    save(tmp_path / "linen", variables)
    source = FlaxSource(kind="flax", module="net:Net", checkpoint="linen", input_shape=(8, 8, 3))
    assert describe(source, tmp_path).weights.format == "orbax"
    model = load(source, tmp_path)
    np.testing.assert_allclose(model.apply(model.params, images), module.apply(variables, images), rtol=1e-5, atol=1e-6)

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)

    state = nnx.split(Net(nnx.Rngs(0)))[1]
    found = read_named(save(tmp_path / "nnx", state))
    assert sorted(found) == ["conv/bias", "conv/kernel"]
    np.testing.assert_array_equal(found["conv/kernel"], jnp.asarray(state["conv"]["kernel"][...]))


@pytest.mark.parametrize("name", ["standard", "zarr"])
def test_a_missing_or_cut_file_is_named_as_damage(saved, tmp_path, name):
    for number, path in enumerate(sorted(path for path in (saved / name).rglob("*") if path.is_file())):
        for cut in ("gone", "half"):
            copy = tmp_path / f"{number}{cut}"
            shutil.copytree(saved / name, copy)
            target = copy / path.relative_to(saved / name)
            content = target.read_bytes()
            target.unlink()
            if cut == "half":
                target.write_bytes(content[: len(content) // 2])
            try:
                equal(read_named(copy), FLAT)  # not every file holds something that is read
            except WeightsError as error:
                assert str(copy) in str(error)  # noqa: PT017 -- either outcome is right


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not the metadata"),
        ("[]", "not the metadata"),
        ('{"tree_metadata": 3}', "not the metadata"),
        ('{"tree_metadata": {}}', "holds no arrays"),
        ('{"tree_metadata": {"a": 3}}', "incomplete"),
        ("[" * 100_000, "not the metadata"),
    ],
)
def test_metadata_that_is_none(tmp_path, content, message):
    (tmp_path / "_METADATA").write_text(content)
    with pytest.raises(WeightsError, match=message):
        read_named(tmp_path)


def test_sizes_that_a_folder_claims_are_checked_first(saved, tmp_path):
    shutil.copytree(saved / "zarr", tmp_path / "claims")
    path = tmp_path / "claims" / "conv.bias" / ".zarray"
    for key in ("shape", "chunks"):
        written = json.loads((saved / "zarr" / "conv.bias" / ".zarray").read_text())
        path.write_text(json.dumps({**written, key: [1 << 40]}))
        with pytest.raises(WeightsError, match="claim"):
            read_named(tmp_path / "claims")


def test_arrays_outside_the_folder_are_refused(saved, tmp_path):
    shutil.copytree(saved / "zarr", tmp_path / "leads")
    path = tmp_path / "leads" / "_METADATA"
    metadata = json.loads(path.read_text())
    metadata["tree_metadata"]["('half',)"]["key_metadata"] = [{"key": "x/../../../zarr/half", "key_type": 2}]
    path.write_text(json.dumps(metadata))
    with pytest.raises(WeightsError, match="out of the folder"):
        read_named(tmp_path / "leads")


def test_a_foreign_folder_says_what_is_in_it(tmp_path):
    (tmp_path / "net.py").write_text("def network(): ...")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "log.txt").touch()
    source = FunctionSource(kind="function", function="net:network", checkpoint="runs", input_shape=(8, 8, 3))
    with pytest.raises(ConfigError, match=r"no folder that Orbax wrote \(it holds log.txt\)"):
        describe(source, tmp_path)


def test_describing_a_folder_imports_neither_orbax_nor_jax(saved):
    code = f"""
        import sys
        from pathlib import Path
        from generator.sources.checkpoints import checkpoint_info
        checkpoint_info(Path({str(saved / "manager")!r}))
        assert not {{"jax", "orbax", "tensorstore"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)  # noqa: S603 -- the code is ours
