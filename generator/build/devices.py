"""The devices that work on images: each on its own ones, by itself."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

#: Images that one device works on at a time. On a CPU so few keep a layer's values in the cache of one core.
ON_A_CPU, ON_AN_ACCELERATOR = 3, 16


def use_every_core() -> None:
    """Make each core of the CPU a device of its own, where JAX has not begun to compute yet."""
    import jax

    try:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    except RuntimeError:
        return  # it has; then one device does all


def expected() -> int:
    """Images that all devices together work on, told without loading JAX, as if there were no accelerators."""
    return ON_A_CPU * (os.cpu_count() or 1)


def count() -> int:
    import jax

    return len(jax.local_devices())


def share() -> int:
    """Images that one device works on at a time."""
    import jax

    return ON_A_CPU if jax.local_devices()[0].platform == "cpu" else ON_AN_ACCELERATOR


def options() -> dict[str, Any]:
    """How programs for all devices are compiled: where those are the cores of a CPU, none of them uses the others."""
    import jax

    devices = jax.local_devices()
    return {"xla_cpu_multi_thread_eigen": False} if devices[0].platform == "cpu" and len(devices) > 1 else {}


def mesh() -> Any:
    """All local devices along one axis, `device`."""
    import jax

    return jax.sharding.Mesh(np.array(jax.local_devices()), ("device",))


def placed(value: Any, spec: Any) -> Any:
    """`value`, a pytree of arrays, on all devices as `spec` says."""
    import jax

    return jax.device_put(value, jax.sharding.NamedSharding(mesh(), spec))


def on_one(value: Any) -> Any:
    """`value`, a pytree of arrays, on the first device alone."""
    import jax

    return jax.device_put(value, jax.local_devices()[0])
