"""Files for one image run on many: whatever they do with the axis of size 1, every image is computed by itself."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pytest

from generator.network.execute import OUTPUT, Network, Tap
from tests.sources.onnx.onnx_files import Graph, compare, images_for, loaded, normal, numbers, outputs_of
from tests.sources.onnx.single_operators import equations


def unpooled(g: Graph, x: str) -> str:
    pooled, places = g.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], outputs=2)
    return g.add("MaxUnpool", pooled, places, kernel_shape=[2, 2], strides=[2, 2])


#: What a file for one image (1, 4, 8, 10) may do with a map, in the axis of images or beside it.
STEPS: dict[str, Callable[[Graph, str], str]] = {
    "flat": lambda g, x: g.add("Reshape", x, numbers(-1)),
    "rows": lambda g, x: g.add("Reshape", x, numbers(-1, 10)),
    "back": lambda g, x: g.add("Reshape", g.add("Reshape", x, numbers(320)), numbers(1, 4, 8, 10)),
    "gathered": lambda g, x: g.add("Gather", g.add("Reshape", x, numbers(-1)), np.arange(320).reshape(1, 4, 8, 10), axis=0),
    "first": lambda g, x: g.add("Gather", x, np.array(0), axis=0),
    "inner": lambda g, x: g.add("Gather", x, numbers(2, 0), axis=1),
    "squeezed": lambda g, x: g.add("Squeeze", g.add("GlobalAveragePool", x)),
    "softmax": lambda g, x: g.add("Softmax", g.add("Squeeze", g.add("GlobalMaxPool", x)), axis=0),
    "unsqueezed": lambda g, x: g.add("Unsqueeze", x, numbers(0)),
    "moved": lambda g, x: g.add("Transpose", x, perm=[2, 1, 0, 3]),
    "moved and back": lambda g, x: g.add(
        "Relu", g.add("Transpose", g.add("Transpose", x, perm=[1, 0, 2, 3]), perm=[1, 0, 2, 3])
    ),
    "summed": lambda g, x: g.add("ReduceSum", x, numbers(0), keepdims=0),
    "all of it": lambda g, x: g.add("ReduceMax", x, keepdims=1),
    "flattened at 0": lambda g, x: g.add("Flatten", x, axis=0),
    "flattened at 2": lambda g, x: g.add("Flatten", x, axis=2),
    "softmax over images": lambda g, x: g.add("Softmax", x, axis=0),
    "normalised": lambda g, x: g.add("MeanVarianceNormalization", x),
    "layer norm over all": lambda g, x: g.add("LayerNormalization", x, normal(1, 4, 8, 10), axis=0),
    "argmax": lambda g, x: g.add("Cast", g.add("ArgMax", g.add("Reshape", x, numbers(-1)), axis=0), to=1),
    "counted": lambda g, x: g.add("CumSum", x, np.array(0)),
    "doubled": lambda g, x: g.add("Tile", x, numbers(2, 1, 1, 1)),
    "padded": lambda g, x: g.add("Pad", x, numbers(1, 0, 0, 0, 0, 0, 1, 0)),
    "with a constant": lambda g, x: g.add("Concat", x, normal(1, 2, 8, 10), axis=1),
    "upon each other": lambda g, x: g.add("Concat", x, x, axis=0),
    "for three": lambda g, x: g.add("Add", x, normal(3, 1, 1, 1)),
    "bent": lambda g, x: g.add("Add", x, g.add("Squeeze", g.add("ReduceMean", x, axes=[1, 2]), numbers(1))),
    "by itself": lambda g, x: g.add("MatMul", g.add("Flatten", x), g.add("Transpose", g.add("Flatten", x), perm=[1, 0])),
    "einsum": lambda g, x: g.add("Einsum", x, x, equation="nchw,mchw->nm"),
    "its own size": lambda g, x: g.add("Reshape", x, g.add("Concat", g.add("Shape", x, end=1), numbers(-1), axis=0)),
    "size as a number": lambda g, x: g.add("Mul", x, g.add("Cast", g.add("Size", x), to=1)),
    "resized": lambda g, x: g.add("Resize", x, "", "", numbers(1, 4, 16, 20), mode="nearest", nearest_mode="floor"),
    "cut": lambda g, x: g.add("Slice", x, numbers(0, 1), numbers(1, 3), numbers(0, 1)),
    "split": lambda g, x: g.add("Split", x, numbers(1), axis=0, outputs=2)[0],
    "expanded": lambda g, x: g.add("Expand", x, numbers(2, 1, 4, 8, 10)),
    "kernel": lambda g, x: g.add("Conv", x, g.add("Reshape", g.add("GlobalMaxPool", x), numbers(1, 4, 1, 1))),
    "scattered": lambda g, x: g.add("ScatterND", x, numbers(0, 1).reshape(1, 2), normal(1, 8, 10)),
    "at a grid": lambda g, x: g.add("GridSample", x, np.random.default_rng(0).uniform(-1, 1, (1, 3, 3, 2)).astype(np.float32)),
    "unpooled": unpooled,
    "instances": lambda g, x: g.add("InstanceNormalization", x, normal(4), normal(4)),
}


@pytest.mark.parametrize("step", STEPS)
def test_images_do_not_mix_whatever_becomes_of_their_axis(step, tmp_path):
    g = Graph()
    x = g.add("Conv", "image", normal(4, 3, 3, 3), pads=[1, 1, 1, 1])
    network = compare(g.model(g.add("Relu", STEPS[step](g, x))), tmp_path, num_images=3)
    images = images_for(network, 3)
    together = outputs_of(network, images)[0]
    for number in range(3):
        alone = outputs_of(network, images[number : number + 1])[0]
        np.testing.assert_allclose(together[number].ravel(), alone.ravel(), atol=1e-4)


def test_what_is_joined_and_taken_apart_again_stays_a_map_for_layers_after_it(tmp_path):
    g = Graph()
    x = g.add("Conv", "image", normal(4, 3, 3, 3), name="/first/Conv")
    x = g.add("Reshape", g.add("Reshape", x, numbers(-1)), numbers(1, 4, 6, 8))
    x = g.add("Conv", x, normal(5, 4, 1, 1), name="/second/Conv")
    network = compare(g.model(x), tmp_path)
    traced = Network(network.apply, network.params, network.input_shape)
    assert [(layer.name, layer.kind) for layer in traced.graph.layers][-1] == ("second", "conv")
    jaxpr = jax.make_jaxpr(lambda x: network.apply(network.params, x))(images_for(network, 3)).jaxpr
    stacks = [str(e.source_info.name_stack) for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert len(stacks) == 2
    assert not any("vmap" in stack for stack in stacks)
    one, three = (np.asarray(traced.tapped([Tap(OUTPUT)], batch=n)(images_for(network, n))[0]) for n in (1, 3))
    np.testing.assert_allclose(three[0], one[0], atol=1e-5)


def test_ordinary_files_run_on_all_images_at_once(tmp_path):
    g = Graph()
    x = g.add("Conv", "image", normal(4, 3, 3, 3))
    x = g.add("Add", g.add("Sigmoid", x), g.add("Mul", x, normal(1, 4, 1, 1)))
    x = g.add("Softmax", g.add("Gemm", g.add("Reshape", x, numbers(1, -1)), normal(192, 5), normal(5)), axis=1)
    network = loaded(g.model(x), tmp_path)
    jaxpr = jax.make_jaxpr(lambda x: network.apply(network.params, x))(images_for(network, 3)).jaxpr
    assert "gather" not in set(equations(jaxpr))
    assert not any("vmap" in str(equation.source_info.name_stack) for equation in jaxpr.eqns)
