"""ONNX files made node by node, and what ONNX's own reference evaluator computes with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from generator.config.sources import OnnxSource
from generator.sources import load
from generator.sources.contract import LoadedModel

OPSET = 17
SHAPE = (1, 3, 8, 10)
RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


class Graph:
    """Collects nodes. Every call of `add` returns the name of the node's output."""

    def __init__(self, shape: Sequence[int | str | None] = SHAPE, *, opset: int = OPSET, kind: int = TensorProto.FLOAT):
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs = [helper.make_tensor_value_info("image", kind, list(shape))]
        self.opset = opset

    def weight(self, array: np.ndarray, name: str = "") -> str:
        name = name or f"onnx::Constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, operator: str, *inputs: str | np.ndarray, name: str = "", outputs: int = 1, **attributes: Any) -> Any:
        names = [self.weight(x) if isinstance(x, np.ndarray | np.generic) else x for x in inputs]
        made = [f"{name or operator}_{len(self.nodes)}_{number}" for number in range(outputs)]
        domain, _, operator = operator.rpartition(":")
        self.nodes.append(helper.make_node(operator, names, made, name=name, domain=domain, **attributes))
        return made[0] if outputs == 1 else made

    def model(self, *outputs: str, metadata: Mapping[str, str] | None = None, shapes: Mapping[str, Any] | None = None) -> Any:
        described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (shapes or {}).get(name)) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, described, self.initializers)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="test")
        helper.set_model_props(model, dict(metadata or {}))
        return model


def write(model: Any, folder: Path, name: str = "net.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def loaded(model: Any, folder: Path, **settings: Any) -> LoadedModel:
    return load(OnnxSource(kind="onnx", path=str(write(model, folder)), **settings), Path("/"))


def images_for(network: LoadedModel, num_images: int = 1) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(num_images, *network.input_shape)).astype(np.float32)


def outputs_of(network: LoadedModel, images: np.ndarray) -> list[np.ndarray]:
    """As the file speaks of them: maps with channels first."""
    found = jax.jit(network.apply)(network.params, images)
    return [np.moveaxis(np.asarray(array), -1, 1) if array.ndim == 4 else np.asarray(array) for array in found]


def reference(model: Any, images: np.ndarray, *, nhwc: bool = False) -> list[np.ndarray]:
    """One image after the other, as most files are exported for one."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    batch = images if nhwc else images.transpose(0, 3, 1, 2)
    each = [evaluator.run(None, {"image": np.ascontiguousarray(batch[n : n + 1])}) for n in range(len(batch))]
    return [np.stack([np.asarray(found[number]) for found in each]) for number in range(len(each[0]))]


def compare(model: Any, folder: Path, *, num_images: int = 2, nhwc: bool = False, **settings: Any) -> LoadedModel:
    """Loads a model and asserts that its outputs are the reference's, for several images at once."""
    network = loaded(model, folder, **settings)
    images = images_for(network, num_images)
    for found, expected in zip(outputs_of(network, images), reference(model, images, nhwc=nhwc), strict=True):
        assert found.size == expected.size
        if nhwc and found.ndim == 4:
            found = np.moveaxis(found, 1, -1)
        expected = expected.reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max())))
    return network


def checked(model: Any) -> Any:
    onnx.checker.check_model(model)
    return model
