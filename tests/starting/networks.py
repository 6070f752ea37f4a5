"""A small ONNX file and folders of images, for tests that start from these."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image


def write_onnx(path: Path, *, channels: int = 3, num_classes: int = 3, size_px: int = 16) -> Path:
    """Two convolutions with ReLU, a mean, a dense layer. Weights are multiples of 1/8."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shapes = {
        "edges.weight": (4, channels, 3, 3),
        "edges.bias": (4,),
        "corners.weight": (6, 4, 3, 3),
        "corners.bias": (6,),
        "classes.weight": (num_classes, 6),
        "classes.bias": (num_classes,),
    }
    nodes = [
        helper.make_node("Conv", ["images", "edges.weight", "edges.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", "corners.weight", "corners.bias"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "classes.weight", "classes.bias"], ["scores"], transB=1),
    ]
    weights = [
        numpy_helper.from_array((random.integers(-8, 9, shape) / 8).astype(np.float32), name) for name, shape in shapes.items()
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, channels, size_px, size_px])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, num_classes])
    graph = helper.make_graph(nodes, "net", [images], [scores], weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def write_images(folder: Path, names: list[str], seed: int = 0) -> Path:
    """PNG files of noise, 20 x 24."""
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / name)
    return folder


def trained(folder: Path, scale: float) -> dict[str, np.ndarray]:
    """Convolution, batch normalisation, dense layer, as if trained with the images in `folder`, pixels of 0-255 times `scale`.

    Statistics are those of the convolution's values; biases of the classes make each as likely as the others.
    """
    random = np.random.default_rng(3)
    kernel, dense = random.normal(size=(3, 3, 3, 8)) + 0.1, random.normal(size=(8, 3))
    gamma, beta = np.linspace(0.5, 1.5, 8), np.linspace(-0.5, 0.5, 8)
    images = np.stack([np.asarray(Image.open(file)) * scale for file in sorted(folder.rglob("*.png"))])
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2))
    values = np.einsum("nhwcij,ijcu->nhwu", windows, kernel)
    mean, var = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
    pooled = np.maximum((values - mean) / np.sqrt(var) * gamma + beta, 0).mean(axis=(1, 2))
    arrays = {"kernel": kernel, "gamma": gamma, "beta": beta, "mean": mean, "var": var, "dense": dense}
    arrays["bias"] = -np.median(pooled @ dense, axis=0)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def write_normalised_onnx(path: Path, folder: Path, scale: float) -> Path:
    """The network of `trained`, which gives scores."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = trained(folder, scale)
    arrays["kernel"] = np.ascontiguousarray(arrays["kernel"].transpose(3, 2, 0, 1))
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "gamma", "beta", "mean", "var"], ["b"], epsilon=1e-5),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "dense", "bias"], ["scores"]),
    ]
    names = {"mean": "bn.running_mean", "var": "bn.running_var", "gamma": "bn.weight", "beta": "bn.bias"}
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
    weights = [numpy_helper.from_array(value, names.get(name, name)) for name, value in arrays.items()]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 20, 20])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "net", [images], [scores], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def write_normalised_keras(path: Path, folder: Path, scale: float) -> Path:
    """The network of `trained`, with probabilities."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    parts = [
        keras.Input((20, 20, 3)),
        keras.layers.Conv2D(8, 3, use_bias=False, name="stem"),
        keras.layers.BatchNormalization(epsilon=1e-5),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax", name="classes"),
    ]
    model = keras.Sequential(parts)
    model.set_weights([*trained(folder, scale).values()])
    model.save(path)
    return path
