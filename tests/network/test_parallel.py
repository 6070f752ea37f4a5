"""A batch on several devices: the same values, each device its share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from generator.network import parallel

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import json
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 3)
from generator.network.execute import OUTPUT, Network, Tap

def apply(params, images):
    x = jax.nn.relu(jax.lax.conv_general_dilated(images, params["conv"]["kernel"], (1, 1), "SAME", dimension_numbers=numbers))
    return x.mean((1, 2)) @ params["head"]["kernel"]

numbers = ("NHWC", "HWIO", "NHWC")
params = {"conv": {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 3, 4))}, "head": {"kernel": jnp.ones((4, 2))}}
images = np.asarray(jax.random.normal(jax.random.key(1), (6, 8, 9, 3)))

def found(apply, taps, batch):
    tapped = Network(apply, params, (8, 9, 3)).tapped(taps, batch=batch)
    values = tapped(images[:batch])
    return values, len(values[0].sharding.device_set)

(output, maps), devices = found(apply, [Tap(OUTPUT), Tap("conv")], 6)
expected = np.asarray(apply(params, images))
(single,), of_one = found(apply, [Tap(OUTPUT)], 1)
(four,), of_four = found(apply, [Tap(OUTPUT)], 4)
(total,), of_total = found(lambda params, images: apply(params, images).sum(), [Tap(OUTPUT)], 6)
errors = [
    (output, expected), (maps.mean((1, 2)) @ np.ones((4, 2)), expected), (single, expected[:1]), (four, expected[:4]),
    (total, expected.sum()),
]
print(json.dumps({
    "devices": [devices, of_one, of_four, of_total],
    "shape": maps.shape,
    "errors": [float(np.abs(np.asarray(a) - b).max()) for a, b in errors],
}))
"""


def test_devices_take_equal_shares_and_find_the_same():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM]  # of its own: a process has its devices from the start
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)  # noqa: S603 - ours
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Six images on three devices, four on two; one image, and an output that is no image's own, on one.
    assert found["devices"] == [3, 1, 2, 1]
    assert found["shape"] == [6, 8, 9, 4]
    assert max(found["errors"]) < 1e-3


def test_large_parameters_are_not_copied_to_every_device(monkeypatch):
    monkeypatch.setattr("jax.local_device_count", lambda: 8)
    params = {"a": np.zeros((100, 100), np.float32)}
    assert parallel.num_devices(8, params) == 8
    assert parallel.num_devices(12, params) == 6
    monkeypatch.setattr(parallel, "COPIES_BYTES", 100_000)
    assert parallel.num_devices(8, params) == 2
    monkeypatch.setattr(parallel, "COPIES_BYTES", 10_000)
    assert parallel.num_devices(8, params) == 1
