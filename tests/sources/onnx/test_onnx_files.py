"""ONNX files as files: what they may hold, where their numbers lie, and what damage does to them."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from generator.config.sources import OnnxSource
from generator.errors import NetworkError, UserError, WeightsError
from generator.network.execute import Network
from generator.sources import describe, load
from generator.sources.onnx_graph.reading import read_model, read_onnx
from tests.sources.onnx.onnx_files import Graph, images_for, loaded, normal, numbers, outputs_of, write


def source(path: Path, **settings) -> OnnxSource:
    return OnnxSource(kind="onnx", path=str(path), **settings)


def trace(config: OnnxSource, base: Path) -> None:
    network = load(config, base)
    Network(network.apply, network.params, network.input_shape).graph  # noqa: B018 -- it is computed here


def small() -> Graph:
    g = Graph()
    x = g.add("Conv", "image", g.weight(normal(4, 3, 3, 3), "conv.weight"), g.weight(normal(4), "conv.bias"), name="/conv/Conv")
    x = g.add("MaxPool", g.add("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    x = g.add("Reshape", x, g.weight(numbers(1, -1), "shape"))
    g.add("Gemm", x, g.weight(normal(48, 5), "fc.weight"), g.weight(normal(5), "fc.bias"), name="/fc/Gemm")
    return g


def model(g: Graph) -> onnx.ModelProto:
    return g.model(g.nodes[-1].output[0])


def with_external_data(folder: Path) -> Path:
    made = model(small())
    external_data_helper.convert_model_to_external_data(made, location="net.bin", size_threshold=64)
    onnx.save(made, folder / "net.onnx")
    return folder / "net.onnx"


@pytest.mark.parametrize(
    "kind", ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "INT4", "UINT4"]
)
@pytest.mark.parametrize("raw", [True, False])
def test_every_type_of_tensor_is_read(kind, raw):
    wanted = np.array([[0, 1, 2], [3, 1, 0]]).astype(helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind)))
    if raw:
        tensor = numpy_helper.from_array(wanted, "x")
    else:
        tensor = helper.make_tensor("x", getattr(TensorProto, kind), wanted.shape, wanted.astype(np.float64).ravel())
    g = small()
    g.initializers.append(tensor)
    found = read_model(model(g), Path("net.onnx")).graph.known["x"]
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.astype(np.float64), wanted.astype(np.float64))


def test_numbers_in_a_file_beside_are_the_same_and_count_for_the_digest(tmp_path):
    path = with_external_data(tmp_path)
    assert path.stat().st_size < 2000
    inside = read_onnx(path).graph.known
    assert inside["conv.weight"].shape == (4, 3, 3, 3)
    facts = describe(source(path), Path("/"))
    assert facts.weights.num_bytes == path.stat().st_size + (tmp_path / "net.bin").stat().st_size
    content = bytearray((tmp_path / "net.bin").read_bytes())
    content[100] ^= 1
    (tmp_path / "net.bin").write_bytes(content)
    assert describe(source(path), Path("/")).weights.digest != facts.weights.digest
    assert load(source(path), Path("/")).params["conv"]["weight"].shape == (4, 3, 3, 3)


@pytest.mark.parametrize(
    "location", ["../net.bin", "/etc/hostname", "inside/../../net.bin", "link", "..\\net.bin", "", "\0", "x" * 5000]
)
def test_no_file_outside_the_models_own_folder_is_read(location, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_external_data(folder)
    (folder / "net.bin").rename(tmp_path / "net.bin")
    (folder / "link").symlink_to(tmp_path / "net.bin")
    made = onnx.load(path, load_external_data=False)
    for tensor in made.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    write(made, folder)
    for use in (describe, load):
        with pytest.raises(WeightsError, match=r"outside the model's own folder|in another file, and not in which"):
            use(source(path), Path("/"))


def test_a_file_beside_that_is_missing_too_short_or_wrongly_described_is_told(tmp_path):
    path = with_external_data(tmp_path)
    content = (tmp_path / "net.bin").read_bytes()
    (tmp_path / "net.bin").write_bytes(content[:-10])
    for use in (describe, load):
        with pytest.raises(WeightsError, match=r"'net.bin' at bytes .*, but it has"):
            use(source(path), Path("/"))
    (tmp_path / "net.bin").unlink()
    for use in (describe, load):
        with pytest.raises(WeightsError, match="there is no such file; put it into"):
            use(source(path), Path("/"))
    (tmp_path / "net.bin").write_bytes(content)
    for key, value, rule in (
        ("length", "10", "takes .* bytes, 10 are there"),
        ("offset", "-4", "at bytes -4"),
        ("offset", "x", "no"),
    ):
        made = onnx.load(path, load_external_data=False)
        entry = next(e for e in made.graph.initializer[0].external_data if e.key == key)
        entry.value = value
        write(made, tmp_path, "other.onnx")
        with pytest.raises(WeightsError, match=rule):
            load(source(tmp_path / "other.onnx"), Path("/"))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"hello, this is text", "damaged or cut off|no graph"),
        (b"\x08\x08", "no graph with nodes"),
        (bytes(range(256)) * 40, "damaged or cut off|no graph"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
def test_files_of_other_kinds_are_named(content, rule, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    for use in (describe, load):
        with pytest.raises(WeightsError, match=rule):
            use(source(tmp_path / "net.onnx"), Path("/"))


def test_missing_files_folders_and_pipes_are_told(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, rule in (("nothing.onnx", "no file here"), ("", "cannot be read"), ("pipe", "empty")):
        with pytest.raises(WeightsError, match=rule):
            load(source(tmp_path / name), Path("/"))


def test_a_torn_file_is_told_wherever_it_was_cut(tmp_path):
    content = model(small()).SerializeToString()
    for end in range(1, len(content), 97):
        (tmp_path / "net.onnx").write_bytes(content[:end])
        with pytest.raises(UserError):
            load(source(tmp_path / "net.onnx"), Path("/"))


def test_functions_that_call_themselves_or_each_other_without_end_are_refused(tmp_path):
    made = model(small())
    made.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def function(name: str, calls: list[str]) -> onnx.FunctionProto:
        nodes = [helper.make_node(call, ["a"], ["b"], domain="own" if call != "Relu" else "") for call in calls]
        return helper.make_function("own", name, ["a"], ["b"], nodes, opsets)

    made.functions.append(function("again", ["again"]))
    made.graph.node.append(helper.make_node("again", ["image"], ["y"], domain="own"))
    with pytest.raises(WeightsError, match="calls itself"):
        read_onnx(write(made, tmp_path))
    del made.functions[:]
    made.functions.extend(function(f"f{n}", [f"f{n + 1}"] * 2 if n < 40 else ["Relu"]) for n in range(41))
    made.graph.node[-1].op_type = "f0"
    with pytest.raises(WeightsError, match="until there are"):
        read_onnx(write(made, tmp_path))


BOMBS = {
    "expand": lambda g: g.add("Expand", "image", numbers(1 << 24, 3, 8, 10)),
    "expand a constant": lambda g: g.add("Add", "image", g.add("Expand", np.float32(1), numbers(1 << 20, 1 << 20, 1, 1))),
    "tile": lambda g: g.add("Tile", "image", numbers(1, 1, 1 << 20, 1 << 20)),
    "pad": lambda g: g.add("Pad", "image", numbers(0, 0, 1 << 30, 1 << 30, 0, 0, 0, 0)),
    "constant of shape": lambda g: g.add("Add", "image", g.add("ConstantOfShape", numbers(1 << 40))),
    "range": lambda g: g.add("Add", "image", g.add("Range", np.float32(0), np.float32(1e12), np.float32(1))),
    "resize": lambda g: g.add("Resize", "image", "", g.weight(np.array([1, 1, 1e6, 1e6], np.float32)), mode="linear"),
    "resize an axis": lambda g: g.add("Resize", "image", "", "", numbers(1, 3, 1 << 22, 10), mode="cubic"),
    "one-hot": lambda g: g.add("OneHot", g.add("ArgMax", "image", axis=1), np.int64(1 << 40), np.array([0, 1], np.float32)),
    "padding": lambda g: g.add("Conv", "image", normal(4, 3, 3, 3), pads=[1 << 30, 0, 1 << 30, 0]),
    "padding of a pool": lambda g: g.add(
        "AveragePool", "image", kernel_shape=[3, 3], pads=[1 << 29] * 4, strides=[1 << 29] * 2
    ),
    "windows": lambda g: g.add("MaxPool", "image", kernel_shape=[1 << 30, 1], pads=[1 << 30, 0, 1 << 30, 0]),
    "strides": lambda g: g.add("ConvTranspose", "image", normal(3, 3, 3, 3), strides=[1 << 30, 1 << 30]),
    "output shape": lambda g: g.add("ConvTranspose", "image", normal(3, 3, 3, 3), strides=[2, 2], output_shape=[1 << 30, 9]),
    "outer product": lambda g: g.add("Add", "image", g.add("MatMul", normal(1 << 16, 1), normal(1, 1 << 16))),
    "einsum": lambda g: g.add("Add", "image", g.add("Einsum", normal(1 << 14), normal(1 << 14), equation="i,j->ij")),
    "broadcast": lambda g: g.add("Add", "image", g.add("Add", normal(1 << 14, 1), normal(1, 1 << 14))),
    "slopes": lambda g: g.add("Add", "image", g.add("PRelu", normal(1 << 14, 1), normal(1, 1 << 14))),
    "scales": lambda g: g.add("Add", "image", g.add("DequantizeLinear", numbers(1).astype(np.int8), normal(1 << 20), axis=0)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_that_asks_for_much_is_refused_before_memory_is_taken(bomb, tmp_path):
    g = Graph()
    made = g.model(BOMBS[bomb](g))
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(NetworkError, match=r"numbers|reaches|resizes .* positions|has .* scales"):
            trace(source(write(made, tmp_path)), Path("/"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300 << 20
    assert time.monotonic() - start < 5


def test_several_inputs_are_refused_by_name_and_so_is_what_is_no_image(tmp_path):
    g = small()
    g.inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(NetworkError, match=r"2 inputs \('image', 'mask'\)"):
        describe(source(write(model(g), tmp_path)), Path("/"))
    for shape, rule in (
        ((1, 10), r"\(1, 10\), but images"),
        ((1, 4, 8, 10), "4 channels"),
        ((1, 3, 9000, 9), "larger than 4096"),
    ):
        g = Graph(shape)
        path = write(g.model(g.add("Relu", "image")), tmp_path)
        with pytest.raises(NetworkError, match=rule):
            describe(source(path), Path("/"))


def test_an_input_that_has_a_value_is_a_weight(tmp_path):
    g = small()
    g.inputs.append(helper.make_tensor_value_info("conv.bias", TensorProto.FLOAT, [4]))
    network = loaded(model(g), tmp_path)
    assert outputs_of(network, images_for(network, 2))[0].shape == (2, 5)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    g = small()
    g.initializers[0] = numpy_helper.from_array(np.full((4, 3, 3, 3), np.nan, np.float32), "conv.weight")
    with pytest.raises(WeightsError, match="'conv/weight' holds 108 NaN"):
        loaded(model(g), tmp_path)


def test_graphs_without_sense_are_told(tmp_path):
    g = small()
    g.nodes[-1].input[0] = "nowhere"
    with pytest.raises(NetworkError, match=r"reads 'nowhere', which nothing before it computes|none of its outputs"):
        trace(source(write(model(g), tmp_path)), Path("/"))
    g = Graph()
    with pytest.raises(NetworkError, match="none of its outputs depends on the image"):
        loaded(g.model(g.add("Relu", normal(3))), tmp_path)
    g = Graph()
    x = g.add("If", g.add("Cast", g.add("ReduceMax", "image", keepdims=0), to=9))  # without branches
    with pytest.raises(NetworkError, match="no condition, or not two branches"):
        trace(source(write(g.model(x), tmp_path)), Path("/"))


NUM_MUTATIONS = 300


def test_no_damage_leads_to_anything_but_a_message(tmp_path):
    g = small()
    g.add("Resize", "image", "", g.weight(np.array([1, 1, 2, 2], np.float32)), mode="linear")
    g.add("Pad", "image", numbers(0, 0, 1, 1, 0, 0, 1, 1))
    g.add("Expand", g.add("Slice", "image", numbers(0), numbers(2), numbers(1)), numbers(1, 2, 8, 10))
    content = bytearray(g.model(g.nodes[4].output[0], *(node.output[0] for node in g.nodes[-4:])).SerializeToString())
    random = np.random.default_rng(0)
    refused = 0
    for number in range(NUM_MUTATIONS):
        mutated = bytearray(content)
        for _ in range(random.integers(1, 4)):
            place = int(random.integers(len(mutated)))
            kind = number % 3
            if kind == 0:
                mutated[place] ^= 1 << int(random.integers(8))
            elif kind == 1:
                mutated[place : place + int(random.integers(1, 20))] = random.bytes(int(random.integers(0, 20)))
            else:
                mutated[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF]))
        (tmp_path / "net.onnx").write_bytes(mutated)
        start = time.monotonic()
        for use in (describe, trace):
            try:
                use(source(tmp_path / "net.onnx"), Path("/"))
            except UserError:
                refused += 1
        assert time.monotonic() - start < 5, number
    assert refused > NUM_MUTATIONS / 4
