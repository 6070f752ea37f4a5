"""The graph read out of a network is the one a person would draw."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from generator.errors import NetworkError
from generator.network.execute import Network, Tap


def network(module: nn.Module, shape=(16, 16, 3)) -> Network:
    variables = module.init(jax.random.key(0), jnp.zeros((1, *shape)))
    return Network(module.apply, variables, shape)


class Everyday(nn.Module):
    """What CNNs are made of: normalisation, residuals, gates, pooling, concatenation."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(8, (3, 3), strides=2, name="stem")(x)))
        y = nn.Conv(8, (5, 5), feature_group_count=8, name="depthwise")(x)
        x = nn.relu6(x + y)
        squeeze = nn.silu(nn.Dense(4, name="squeeze")(x.mean((1, 2))))
        x = x * nn.sigmoid(nn.Dense(8, name="excite")(squeeze))[:, None, None]
        x = nn.gelu(nn.GroupNorm(4)(x))
        x = jnp.concatenate([x, nn.Conv(4, (1, 1), name="branch")(x)], -1)
        x = nn.avg_pool(nn.max_pool(x, (2, 2), (2, 2)), (2, 2), (1, 1))
        return nn.softmax(nn.Dense(10, name="classifier")(x.mean((1, 2))))


def test_everyday_network_is_found_whole():
    graph = network(Everyday()).graph
    assert [(layer.name, layer.kind, layer.inputs, layer.shape) for layer in graph.layers] == [
        ("stem", "conv", ("input",), (8, 8, 8)),
        ("depthwise", "depthwise_conv", ("stem",), (8, 8, 8)),
        ("add_1", "add", ("stem", "depthwise"), (8, 8, 8)),
        ("mean_1", "mean", ("add_1",), (8,)),
        ("squeeze", "dense", ("mean_1",), (4,)),
        ("excite", "dense", ("squeeze",), (8,)),
        ("gate_1", "gate", ("add_1", "excite"), (8, 8, 8)),
        ("branch", "conv", ("gate_1",), (8, 8, 4)),
        ("concat_1", "concat", ("gate_1", "branch"), (8, 8, 12)),
        ("max_pool_1", "max_pool", ("concat_1",), (4, 4, 12)),
        ("avg_pool_1", "avg_pool", ("max_pool_1",), (3, 3, 12)),
        ("mean_2", "mean", ("avg_pool_1",), (12,)),
        ("classifier", "dense", ("mean_2",), (10,)),
    ]
    assert graph.outputs == ("classifier",)


def test_activations_are_named():
    graph = network(Everyday()).graph
    named = {layer.name: layer.activation for layer in graph.layers if layer.activation}
    assert named == {
        "stem": "ReLU",
        "add_1": "ReLU6",
        "squeeze": "SiLU",
        "excite": "sigmoid",
        "gate_1": "GELU",
        "classifier": "softmax",
    }


def test_parameters_and_operations_are_counted():
    layers = network(Everyday()).graph.by_name
    assert layers["stem"].num_params == 3 * 3 * 3 * 8 + 8 + 4 * 8  # kernel, bias, and normalisation's four vectors
    assert layers["stem"].flops == 2 * (3 * 3 * 3) * (8 * 8 * 8)
    assert layers["depthwise"].kernel_shape == (5, 5, 1, 8)
    assert layers["depthwise"].flops == 2 * (5 * 5) * (8 * 8 * 8)
    assert layers["classifier"].flops == 2 * 12 * 10
    assert layers["gate_1"].num_params == 16  # group normalisation follows the gate


def test_channels_are_followed_through_concatenation():
    graph = network(Everyday()).graph
    sources = [graph.channel_source("max_pool_1", channel) for channel in (0, 7, 8, 11)]
    assert [(source.layer, source.channel) for source in sources] == [
        ("gate_1", 0),
        ("gate_1", 7),
        ("branch", 0),
        ("branch", 3),
    ]


def test_nnx_and_plain_functions_are_traced_alike():
    class Small(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
            self.head = nnx.Linear(4, 2, rngs=rngs)

        def __call__(self, x):
            return self.head(nnx.relu(self.conv(x)).mean((1, 2)))

    graphdef, state = nnx.split(Small(nnx.Rngs(0)))
    pure = nnx.to_pure_dict(state)

    def apply(params, images):
        merged = nnx.State(state)
        nnx.replace_by_pure_dict(merged, params)
        return nnx.merge(graphdef, merged)(images)

    def by_hand(params, images):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(images, params["conv"]["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        x = jnp.maximum(x + params["conv"]["bias"], 0).mean((1, 2))
        return x @ params["head"]["kernel"] + params["head"]["bias"]

    found = [Network(function, pure, (8, 8, 3)).graph for function in (apply, by_hand)]
    assert found[0] == found[1]
    assert [layer.name for layer in found[0].layers] == ["conv", "mean_1", "head"]


def test_channels_first_maps_are_shown_as_rows_columns_channels():
    def apply(params, images):
        x = jnp.transpose(images, (0, 3, 1, 2))
        numbers = ("NCHW", "OIHW", "NCHW")
        return jax.nn.relu(jax.lax.conv_general_dilated(x, params["w"], (2, 1), "VALID", dimension_numbers=numbers))

    params = {"w": jax.random.normal(jax.random.key(0), (5, 3, 3, 2))}
    net = Network(apply, params, (9, 8, 3))
    assert net.graph.layers[0].shape == (4, 7, 5)
    assert net.graph.layers[0].kernel_shape == (3, 2, 3, 5)
    images = jax.random.normal(jax.random.key(1), (2, 9, 8, 3))
    (maps,) = net.tapped([Tap("w")], batch=2)(images)
    assert jnp.allclose(jnp.transpose(maps, (0, 3, 1, 2)), apply(params, images), atol=1e-5)


def test_a_layer_applied_twice_keeps_its_name_and_gets_a_number():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            conv = nn.Conv(3, (3, 3), name="shared")
            return conv(nn.relu(conv(x)))

    assert [layer.name for layer in network(Twice()).graph.layers] == ["shared", "shared@2"]


def test_slicing_channels_begins_a_node():
    def apply(params, images):
        left, right = jnp.split(images @ params["k"], 2, axis=-1)
        return jnp.concatenate([jnp.tanh(left), right], -1)

    graph = Network(apply, {"k": jnp.ones((3, 4))}, (4, 4, 3)).graph
    assert [layer.kind for layer in graph.layers][:1] == ["dense"]
    assert graph.layers[-1].kind == "concat"
    assert [layer.name for layer in graph.layers[1:]] == ["slice_1", "slice_2", "concat_1"]
    assert graph.layers[-1].inputs == ("slice_1", "slice_2")


def test_output_that_ignores_the_image_is_an_error():
    with pytest.raises(NetworkError, match="does not depend on the image"):
        _ = Network(lambda params, images: params["w"] * 2, {"w": jnp.ones(3)}, (4, 4, 3)).graph


def test_unknown_layer_names_the_nearest():
    with pytest.raises(NetworkError, match="did you mean 'stem'"):
        network(Everyday()).tapped([Tap("stm")])
