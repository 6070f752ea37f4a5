"""Small CNNs as exporters write them, against ONNX's reference evaluator; where their maps lie; what layers are called."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from generator.errors import NetworkError, UserError
from generator.network.execute import OUTPUT, Network, Tap
from tests.sources.onnx.onnx_files import Graph, compare, images_for, loaded, normal, numbers, outputs_of, reference
from tests.sources.onnx.single_operators import equations


def conv(g: Graph, x: str, name: str, cin: int, cout: int, size: int = 3, *, groups: int = 1, bias: bool = True, **attributes):
    weights = [g.weight(normal(cout, cin // groups, size, size) / size, f"{name}.weight")]
    weights += [g.weight(normal(cout), f"{name}.bias")] if bias else []
    attributes.setdefault("pads", [size // 2] * 4)
    return g.add("Conv", x, *weights, name=f"/{name.replace('.', '/')}/Conv", group=groups, **attributes)


def batch_norm(g: Graph, x: str, name: str, channels: int) -> str:
    values = {"weight": normal(channels), "bias": normal(channels), "running_mean": normal(channels)}
    names = [g.weight(array, f"{name}.{part}") for part, array in values.items()]
    var = g.weight(np.abs(normal(channels)) + 0.5, f"{name}.running_var")
    return g.add("BatchNormalization", x, *names, var, name=f"/{name.replace('.', '/')}/BatchNormalization")


def gemm(g: Graph, x: str, name: str, cin: int, cout: int) -> str:
    weight, bias = g.weight(normal(cout, cin), f"{name}.weight"), g.weight(normal(cout), f"{name}.bias")
    return g.add("Gemm", x, weight, bias, name=f"/{name}/Gemm", transB=1)


def residual(g: Graph) -> str:
    x = g.add("Relu", batch_norm(g, conv(g, "image", "stem.conv", 3, 8, bias=False), "stem.bn", 8))
    left = conv(g, x, "block.conv1", 8, 8, 1)
    left = conv(g, g.add("Relu", left), "block.conv2", 8, 8, strides=[2, 2])
    right = conv(g, x, "block.downsample", 8, 8, 1, strides=[2, 2])
    x = g.add("Relu", g.add("Add", left, right, name="/block/Add"))
    pooled = g.add("GlobalAveragePool", x, name="/pool/GlobalAveragePool")
    return gemm(g, g.add("Flatten", pooled), "fc", 8, 5)


def depthwise(g: Graph) -> str:
    x = conv(g, "image", "first", 3, 8, strides=[2, 2])
    x = g.add("Clip", x, np.float32(0), np.float32(6))
    x = conv(g, x, "wise", 8, 8, 3, groups=8)
    x = g.add("Mul", x, g.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    x = conv(g, x, "dilated", 8, 6, 3, groups=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    return gemm(g, g.add("Reshape", g.add("ReduceMean", x, axes=[2, 3], keepdims=0), numbers(1, -1)), "fc", 6, 4)


def squeeze_and_excite(g: Graph) -> str:
    x = conv(g, "image", "first", 3, 8)
    pooled = g.add("GlobalAveragePool", x)
    gate = g.add("Relu", conv(g, pooled, "se.reduce", 8, 2, 1))
    gate = g.add("Sigmoid", conv(g, gate, "se.expand", 2, 8, 1))
    return conv(g, g.add("Mul", gate, x), "last", 8, 4)


def dense(g: Graph) -> str:
    x = conv(g, "image", "first", 3, 4)
    y = g.add("Concat", x, g.add("Relu", conv(g, x, "grow", 4, 4)), axis=1)
    y = g.add("AveragePool", batch_norm(g, y, "bn", 8), kernel_shape=[2, 2], strides=[2, 2])
    z = g.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    return gemm(g, g.add("Flatten", z), "fc", 8 * z_size(), 6)


def z_size() -> int:
    return 3 * 3  # of 8 x 10: halved, then rounded up again


def shuffle(g: Graph) -> str:
    x = conv(g, "image", "first", 3, 8)
    left, right = g.add("Split", x, numbers(4, 4), axis=1, outputs=2)
    x = g.add("Concat", left, conv(g, right, "branch", 4, 4), axis=1)
    x = g.add("Reshape", x, numbers(1, 2, 4, 8, 10))
    x = g.add("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = g.add("Reshape", x, numbers(1, -1, 8, 10))
    return conv(g, x, "last", 8, 3)


def transposed(g: Graph) -> str:
    x = conv(g, "image", "down", 3, 8, strides=[2, 2])
    up = g.weight(normal(8, 4, 3, 3), "up.weight")
    x = g.add("ConvTranspose", x, up, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1], name="/up/ConvTranspose")
    x = g.add("Resize", x, "", g.weight(np.array([1, 1, 2, 2], np.float32)), mode="nearest", nearest_mode="floor")
    return conv(g, x, "last", 4, 2)


NETWORKS = [residual, depthwise, squeeze_and_excite, dense, shuffle, transposed]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_networks_compute_what_the_reference_does_for_one_image_and_for_many(network, tmp_path):
    g = Graph()
    model = g.model(network(g))
    compare(model, tmp_path, num_images=1)
    compare(model, tmp_path, num_images=3)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_maps_are_never_moved_between_convolutions(network, tmp_path):
    g = Graph()
    network_loaded = loaded(g.model(network(g)), tmp_path)
    images = images_for(network_loaded, 2)
    # Kernels are turned, once; images are not: of the equations that depend on them none is a transposition.
    jaxpr = jax.make_jaxpr(lambda x: network_loaded.apply(network_loaded.params, x))(images).jaxpr
    # A shuffle swaps the groups of channels, within each pixel; maps of several pixels are flattened channels first.
    assert moved_maps(jaxpr) == {shuffle: [5], dense: [4]}.get(network, [])


def moved_maps(jaxpr) -> list[int]:
    """The rank of everything that is transposed and depends on the jaxpr's inputs."""
    live, found = set(jaxpr.invars), []
    for equation in jaxpr.eqns:
        if any(not hasattr(x, "val") and x in live for x in equation.invars):
            live.update(equation.outvars)
            if equation.primitive.name == "transpose":
                found.append(equation.invars[0].aval.ndim)
            inner = [getattr(p, "jaxpr", None) for p in equation.params.values()]
            assert not any("transpose" in equations(j) for j in inner if j is not None)
    return found


def test_layers_have_the_names_of_modules_and_every_value_is_the_references(tmp_path):
    g = Graph()
    out = residual(g)
    network = loaded(g.model(out), tmp_path)
    traced = Network(network.apply, network.params, network.input_shape)
    names = [layer.name for layer in traced.graph.layers]
    assert names == ["stem/conv", "block/conv1", "block/conv2", "block/downsample", "block/add", "pool", "fc"]
    inside = [node.output[0] for node in g.nodes if node.op_type in ("Add", "GlobalAveragePool")]
    images = images_for(network, 2)
    added, pooled = reference(g.model(*inside), images)
    found = traced.tapped([Tap("block/add", "pre_activation"), Tap("pool"), Tap(OUTPUT)], batch=2)(images)
    np.testing.assert_allclose(found[0], added[:, 0].transpose(0, 2, 3, 1), atol=1e-4)
    np.testing.assert_allclose(np.ravel(found[1]), pooled.ravel(), atol=1e-4)
    np.testing.assert_allclose(found[2], reference(g.model(out), images)[0][:, 0], atol=1e-3)


def test_a_channels_last_file_as_tensorflow_writes_it(tmp_path):
    g = Graph(("n", 8, 10, 3))
    x = g.add("Transpose", "image", perm=[0, 3, 1, 2], name="StatefulPartitionedCall/net/conv1/Conv2D__6")
    kernel = g.weight(normal(4, 3, 3, 3), "StatefulPartitionedCall/net/conv1/Conv2D/ReadVariableOp:0")
    x = g.add("Conv", x, kernel, g.weight(normal(4), "const_fold_opt__12"), name="StatefulPartitionedCall/net/conv1/Conv2D")
    x = g.add("Relu", x, name="StatefulPartitionedCall/net/relu/Relu")
    pooled = g.add("Squeeze", g.add("GlobalAveragePool", x), numbers(2, 3))
    dense = g.add(
        "MatMul", pooled, g.weight(normal(4, 5), "StatefulPartitionedCall/net/top/MatMul/ReadVariableOp:0"),
        name="StatefulPartitionedCall/net/top/MatMul",
    )  # fmt: skip
    model = g.model(dense, g.add("Transpose", x, perm=[0, 2, 3, 1]))
    network = compare(model, tmp_path, nhwc=True)
    assert network.input_shape == (8, 10, 3)
    traced = Network(network.apply, network.params, network.input_shape)
    assert [layer.name for layer in traced.graph.layers if layer.kind in ("conv", "dense")] == ["conv1", "top"]
    jaxpr = jax.make_jaxpr(lambda x: network.apply(network.params, x))(images_for(network)).jaxpr
    assert moved_maps(jaxpr) == []


def test_names_that_say_nothing_are_replaced_by_those_of_nodes_and_stay_unique(tmp_path):
    g = Graph()
    shared = g.weight(normal(3, 3, 1, 1), "onnx::Conv_7")
    x = g.add("Conv", "image", shared, name="/layer1/layer1.0/conv1/Conv")
    x = g.add("Conv", x, shared, name="/layer1/layer1.0/conv2/Conv")  # one kernel, two convolutions
    x = g.add("Conv", x, g.weight(normal(3, 3, 1, 1), "a\x07b/c.weight"))
    x = g.add("Conv", x, g.weight(normal(3, 3, 1, 1), "v_conv.weight"))
    x = g.add("Conv", x, g.weight(normal(3, 3, 1, 1), "val_1"))
    x = g.add("Conv", x, g.weight(normal(3, 3, 1, 1), "12"), name="/head/Conv")
    network = compare(g.model(x), tmp_path)
    traced = Network(network.apply, network.params, network.input_shape)
    names = [layer.name for layer in traced.graph.layers]
    assert names == ["layer1/0/conv1", "layer1/0/conv1@2", "a_b/c", "v_conv", "Conv_3", "head"]


def test_modules_that_pytorch_notes_give_their_names(tmp_path):
    g = Graph()
    x = g.add("Conv", "image", normal(4, 3, 3, 3), name="node_conv2d_4")
    y = g.add("Conv", x, normal(4, 4, 1, 1), name="node_conv2d_5")
    x = g.add("Add", x, y, name="node_add")
    x = g.add("Conv", x, normal(4, 4, 1, 1), name="node_conv2d_6")
    block = ["", "layer1", "layer1.0"]
    for node, scopes in zip(g.nodes, ([*block, "layer1.0.conv"], [*block, "other"], block, ["", "head"]), strict=True):
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str([*scopes, "leaf"]))
    network = compare(g.model(x), tmp_path)
    traced = Network(network.apply, network.params, network.input_shape)
    names = [layer.name for layer in traced.graph.layers]
    assert names == ["layer1/0/conv", "layer1/0/other", "layer1/0/add", "head"]
    g.nodes[0].metadata_props[0].value = "[[" * 500  # what is no list of names is not believed
    assert compare(g.model(x), tmp_path)


def test_half_precision_and_float64_weights_run_in_float32(tmp_path):
    for dtype, onnx_type in ((np.float16, TensorProto.FLOAT16), (np.float64, TensorProto.DOUBLE)):
        g = Graph(kind=onnx_type)
        x = g.add("Conv", "image", normal(4, 3, 3, 3).astype(dtype), normal(4).astype(dtype), name="conv")
        x = g.add("Clip", g.add("Mul", x, np.array([2], dtype)), np.array(0, dtype), np.array(6, dtype))
        network = loaded(g.model(x), tmp_path)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(network.params)} == {"float32"}
        images = images_for(network)
        expected = reference(g.model(x), images.astype(dtype))[0][0].astype(np.float32)
        np.testing.assert_allclose(outputs_of(network, images)[0], expected, atol=3e-2)


def test_a_branch_that_the_file_decides_is_taken(tmp_path):
    g = Graph((1, 3, "h", "w"))
    channels = g.add("Gather", g.add("Shape", "image"), np.int64(1), axis=0)
    condition = g.add("Equal", channels, np.int64(3))
    kernel = numpy_helper.from_array(normal(4, 3, 1, 1), "inner.weight")
    then = helper.make_graph(
        [helper.make_node("Conv", ["image", "inner.weight"], ["inside"], name="/inner/Conv")], "then", [],
        [helper.make_tensor_value_info("inside", 1, None)], [kernel],
    )  # fmt: skip
    other = helper.make_graph([], "else", [], [helper.make_tensor_value_info("image", 1, None)])
    x = g.add("If", condition, then_branch=then, else_branch=other)
    static = g.add("If", np.array(True), then_branch=then, else_branch=other)
    model = g.model(g.add("Relu", x), g.add("Relu", static))
    network = compare(model, tmp_path, input_shape=(8, 10, 3))
    assert list(network.params) == ["inner"]
    by_image = g.add(
        "If", g.add("Greater", g.add("ReduceMax", "image", keepdims=0), np.float32(0)), then_branch=then, else_branch=other
    )
    with pytest.raises(NetworkError, match="decides by the image"):
        outputs_of(network := loaded(g.model(by_image), tmp_path, input_shape=(8, 10, 3)), images_for(network))


def test_local_functions_are_inlined(tmp_path):
    g = Graph()
    function = helper.make_function(
        "own", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    model = g.model(g.add("own:twice", g.add("Conv", "image", normal(4, 3, 1, 1))))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    compare(model, tmp_path)


def test_several_outputs_come_in_the_order_that_is_asked_for(tmp_path):
    g = Graph()
    first = conv(g, "image", "first", 3, 4)
    constant = g.add("Identity", g.weight(normal(3), "fixed"))
    second = gemm(g, g.add("Flatten", g.add("GlobalMaxPool", first)), "fc", 4, 5)
    model = g.model(first, constant, second)
    network = loaded(model, tmp_path)
    images = images_for(network, 2)
    a, _, b = reference(model, images)
    maps, classes = outputs_of(network, images)
    np.testing.assert_allclose(maps, a[:, 0], atol=1e-4)
    np.testing.assert_allclose(classes, b[:, 0], atol=1e-4)
    assert outputs_of(loaded(model, tmp_path, output=second), images)[0].shape == (2, 5)
    with pytest.raises(NetworkError, match="no output 'seconds'"):
        loaded(model, tmp_path, output="seconds")


def test_open_sizes_take_any_image(tmp_path):
    g = Graph(("n", 3, "height", "width"))
    x = conv(g, "image", "first", 3, 4)
    shape = g.add("Shape", x)
    n, c = g.add("Gather", shape, numbers(0)), g.add("Gather", shape, numbers(1))
    rest = g.add("Mul", g.add("Gather", shape, numbers(2)), g.add("Gather", shape, numbers(3)))
    x = g.add("Reshape", x, g.add("Concat", n, c, rest, axis=0))
    end = g.add("Slice", x, numbers(1), numbers(2**63 - 1), numbers(2), numbers(3))
    network = compare(g.model(end), tmp_path, num_images=3, input_shape=(8, 10, 3))
    larger = np.random.default_rng(2).normal(size=(2, 12, 9, 3)).astype(np.float32)
    expected = reference(g.model(end), larger)[0][:, 0]
    np.testing.assert_allclose(outputs_of(network, larger)[0], expected, atol=1e-4)


def test_operators_that_are_missing_are_all_told_at_once(tmp_path):
    g = Graph()
    x = g.add("Conv", "image", normal(4, 3, 1, 1))
    g.add("NonMaxSuppression", x, x)  # what no output needs does not matter
    x = g.add("com.own:Strange", g.add("Loop", g.add("com.own:Strange", x, name="here"), name="loop"))
    with pytest.raises(NetworkError) as raised:
        loaded(g.model(x), tmp_path)
    assert len(raised.value.problems) == 2
    assert "com.own:Strange (node 'here' and 1 others)" in str(raised.value)
    assert "Loop (node 'loop')" in str(raised.value)


def test_a_wrong_size_names_the_node_where_it_broke(tmp_path):
    g = Graph((1, 3, "h", "w"))
    x = gemm(g, g.add("Flatten", conv(g, "image", "first", 3, 4)), "fc", 4 * 80, 5)
    network = loaded(g.model(x), tmp_path, input_shape=(9, 9, 3))
    with pytest.raises(UserError, match=r"'/fc/Gemm' \(Gemm\) cannot run on 2 x 324, 5 x 320, 5"):
        outputs_of(network, images_for(network, 2))


def test_a_file_for_several_images_at_once_runs_on_as_many_or_is_refused(tmp_path):
    g = Graph((4, 3, 8, 10))
    x = g.add("Reshape", conv(g, "image", "first", 3, 4), numbers(4, -1))
    network = loaded(g.model(x), tmp_path)
    assert outputs_of(network, images_for(network, 3))[0].shape == (3, 320)
    mixed = g.add("Reshape", x, numbers(2, -1))
    network = loaded(g.model(mixed), tmp_path)
    with pytest.raises(NetworkError, match="2 x 480 for 3 images, as it was exported for 4"):
        outputs_of(network, images_for(network, 3))


def test_what_onnxruntime_fused_is_the_same_as_its_parts(tmp_path):
    kernels, bias, slopes = (normal(4, 3, 3, 3), normal(4, 3, 3, 3)), normal(4), {"activation_params": [0.2]}
    parts, whole = Graph(), Graph()
    x = parts.add("Add", parts.add("Conv", "image", kernels[0], bias), parts.add("Conv", "image", kernels[1]))
    expected = parts.model(parts.add("LeakyRelu", x, alpha=0.2))
    other = whole.add("com.microsoft:FusedConv", "image", kernels[1])
    x = whole.add("com.microsoft:FusedConv", "image", kernels[0], bias, other, activation="LeakyRelu", **slopes)
    network = loaded(whole.model(x), tmp_path)
    images = images_for(network, 3)
    np.testing.assert_allclose(outputs_of(network, images)[0], reference(expected, images)[0][:, 0], atol=1e-4)


def test_kernels_that_are_standardised_in_training_mode_are_parameters_and_maps_are_refused(tmp_path):
    g = Graph()
    kernel = g.add("Reshape", g.weight(normal(4, 3, 3, 3), "conv.weight"), numbers(1, 4, -1))
    statistics = [np.full(4, value, np.float32) for value in (1.5, 0.0, 0.0, 1.0)]
    kernel = g.add("BatchNormalization", kernel, *statistics, outputs=3, training_mode=1)[0]
    x = g.add("Conv", "image", g.add("Reshape", kernel, numbers(4, 3, 3, 3)), name="/conv/Conv")
    network = compare(g.model(x), tmp_path)
    np.testing.assert_allclose(np.std(network.params["conv"]["weight"], (1, 2, 3)), 1.5, rtol=1e-3)
    x = g.add("BatchNormalization", x, *statistics, outputs=3, training_mode=1)[0]
    with pytest.raises(NetworkError, match="in training mode"):
        outputs_of(network := loaded(g.model(x), tmp_path), images_for(network))
