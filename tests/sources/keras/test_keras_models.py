"""Keras models made here, saved in every format, against Keras's own values of every layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import h5py
import jax
import numpy as np
import pytest

from generator.config.sources import KerasSource
from generator.errors import ConfigError, WeightsError
from generator.network.execute import OUTPUT, Network, Tap
from generator.sources import describe, load
from tests.conformance.keras_applications import layer_errors, values_of_keras

os.environ["KERAS_BACKEND"] = "jax"
import keras
from keras import layers

# Keras's own way of saving and converting its variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SIZE = (12, 10, 3)


def plain():
    inputs = keras.Input(SIZE, name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(inputs)
    x = layers.BatchNormalization(name="first_bn")(x)
    x = layers.Activation("relu6", name="first_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", strides=2, name="depthwise", activation="silu")(x)
    y = layers.SeparableConv2D(8, 3, padding="same", name="separable")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="classes")(x), name="plain")


def norms():
    inputs = keras.Input(SIZE)
    x = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    x = layers.GroupNormalization(4, name="group")(x)
    x = layers.Conv2D(8, 1, name="conv2")(x)
    x = layers.LayerNormalization(name="layer")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="gelu", name="up")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.UpSampling2D(2, name="nearest")(x)
    x = layers.Concatenate(name="concat")([x, layers.LeakyReLU(name="leaky")(x)])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(4, name="classes")(x))


def sequential():
    return keras.Sequential(
        [
            keras.Input(SIZE),
            layers.Rescaling(1 / 255, name="rescaling"),
            layers.RandomFlip("horizontal", name="flip"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.GlobalMaxPooling2D(name="most"),
            layers.Dense(3, name="classes"),
        ]
    )


def nested():
    """Two models with layers of the same names."""

    def base(name):
        inner = keras.Input((None, None, 3))
        x = layers.Conv2D(3, 3, padding="same", name="conv")(inner)
        return keras.Model(inner, layers.BatchNormalization(name="norm")(layers.ReLU(name="relu")(x)), name=name)

    inputs = keras.Input(SIZE)
    x = keras.Sequential([layers.RandomRotation(0.1), layers.Rescaling(2.0, name="double")], name="augment")(inputs)
    x = base("right")(base("left")(x))
    return keras.Model(inputs, layers.Dense(3, name="classes")(layers.GlobalAveragePooling2D(name="mean")(x)))


def adapted():
    normalise = layers.Normalization(name="normalise")
    normalise.adapt(np.random.default_rng(3).uniform(0, 255, (16, *SIZE)).astype(np.float32))
    inputs = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, name="conv")(normalise(inputs))
    x = layers.ZeroPadding2D(1, name="pad")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(x))


def mixed():
    inputs = keras.Input(SIZE, dtype="float32")
    x = layers.Conv2D(4, 3, dtype="mixed_float16", name="conv")(inputs)
    x = layers.BatchNormalization(dtype="mixed_float16", name="norm")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(dtype="mixed_float16", name="mean")(x))


MODELS = [plain, norms, sequential, nested, adapted]


@pytest.fixture(autouse=True)
def own_names():
    keras.utils.clear_session(free_memory=False)


def filled(model, seed=0):
    """Weights that make every layer count."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if not variable.path.startswith("normalise/"):
            low = 0.5 if variable.name in ("gamma", "moving_variance") else -0.5
            variable.assign(random.uniform(low, 1.0 if low > 0 else 0.5, variable.shape))
    return model


def some_images(seed=1, batch=2):
    return np.random.default_rng(seed).uniform(0, 1, (batch, *SIZE)).astype(np.float32)


def inbound(tensor):
    return tensor._keras_history.operation


def loaded_from(path, **more):
    return load(KerasSource(kind="keras", model=path.name, **more), path.parent)


def network_of(loaded):
    return Network(loaded.apply, loaded.params, loaded.input_shape)


def outputs(loaded, images, batch=2):
    return np.asarray(network_of(loaded).tapped([Tap(OUTPUT)], batch=batch)(images)[0])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("build", MODELS)
def test_every_layer_as_in_keras(build, suffix, tmp_path):
    model = filled(build())
    path = tmp_path / f"model{suffix}"
    model.save(path)
    images = some_images()
    values, sources = values_of_keras(model, images)
    loaded = loaded_from(path)
    errors, kinds = layer_errors(network_of(loaded), loaded, images, values, sources)
    assert max(errors.values()) < 1e-4, errors
    assert kinds["activation"] >= 2
    np.testing.assert_allclose(outputs(loaded, images), model.predict(images, verbose=0), rtol=1e-4, atol=1e-5)


def test_names_kinds_and_activations(tmp_path):
    model = filled(plain())
    model.save(tmp_path / "model.keras")
    graph = network_of(loaded_from(tmp_path / "model.keras")).graph
    assert [(layer.name, layer.kind, layer.activation) for layer in graph.layers] == [
        ("first", "conv", "ReLU6"),
        ("depthwise", "depthwise_conv", "SiLU"),
        ("separable", "depthwise_conv", None),
        ("separable@2", "conv", None),
        ("sum", "add", None),
        ("pool", "max_pool", None),
        ("classes", "dense", "softmax"),
    ]


def test_same_names_inside_two_models_do_not_collide(tmp_path):
    model = filled(nested())
    model.save(tmp_path / "model.keras")
    loaded = loaded_from(tmp_path / "model.keras")
    assert set(loaded.params["left"]) == set(loaded.params["right"]) == {"conv", "norm"}
    for side in ("left", "right"):
        own = model.get_layer(side).get_layer("conv").kernel
        np.testing.assert_array_equal(loaded.params[side]["conv"]["kernel"], own)
    assert {"left/conv", "right/conv", "classes"} <= {layer.name for layer in network_of(loaded).graph.layers}


def test_a_layer_that_is_applied_twice(tmp_path):
    inputs = keras.Input(SIZE)
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    once = conv(inputs)
    model = filled(keras.Model(inputs, [conv(once), once]))
    model.save(tmp_path / "model.keras")
    images = some_images()
    twice, first = model(images)
    network = network_of(loaded_from(tmp_path / "model.keras"))
    found = network.tapped([Tap("conv"), Tap("conv@2"), Tap(OUTPUT)], batch=2)(images)
    for ours, own in zip(found, (first, twice, twice), strict=True):
        np.testing.assert_allclose(ours, own, rtol=1e-4, atol=1e-5)


def test_several_outputs_begin_with_the_classes(tmp_path):
    inputs = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    mean = layers.GlobalAveragePooling2D()(x)
    outputs_of = {"zebra": layers.Dense(3, name="zebra")(mean), "angle": layers.Dense(1, name="angle")(mean)}
    model = filled(keras.Model(inputs, outputs_of))
    model.save(tmp_path / "model.keras")
    images = some_images()
    np.testing.assert_allclose(
        outputs(loaded_from(tmp_path / "model.keras"), images), model(images)["zebra"], rtol=1e-4, atol=1e-5
    )


def test_images_under_a_name(tmp_path):
    inputs = {"photo": keras.Input(SIZE, name="photo")}
    x = layers.Conv2D(4, 3, name="conv")(inputs["photo"])
    model = filled(keras.Model(inputs, layers.GlobalAveragePooling2D()(x)))
    model.save(tmp_path / "model.keras")
    images = some_images()
    np.testing.assert_allclose(
        outputs(loaded_from(tmp_path / "model.keras"), images), model({"photo": images}), rtol=1e-4, atol=1e-5
    )


def test_channels_first(tmp_path):
    inputs = keras.Input((3, *SIZE[:2]))
    x = layers.Conv2D(4, 3, data_format="channels_first", activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    model = filled(keras.Model(inputs, x))
    model.save(tmp_path / "model.keras")
    images = some_images()
    loaded = loaded_from(tmp_path / "model.keras")
    assert loaded.input_shape == SIZE
    map_, output = network_of(loaded).tapped([Tap("conv"), Tap(OUTPUT)], batch=2)(images)
    assert map_.shape == (2, 10, 8, 4)
    np.testing.assert_allclose(output, model(images.transpose(0, 3, 1, 2)), rtol=1e-4, atol=1e-5)


def test_grey_images(tmp_path):
    model = filled(keras.Sequential([keras.Input((9, 7, 1)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()]))
    model.save(tmp_path / "model.h5")
    images = np.random.default_rng(0).uniform(size=(2, 9, 7, 1)).astype(np.float32)
    loaded = loaded_from(tmp_path / "model.h5")
    assert loaded.input_shape == (9, 7, 1)
    np.testing.assert_allclose(outputs(loaded, images), model(images), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_trained_models(suffix, tmp_path):
    """Optimizer, loss and metrics are of no concern, be they somebody's own."""
    model = filled(norms())

    def loss(truth, found):
        return keras.ops.mean(keras.ops.square(truth - found))

    model.compile(optimizer=keras.optimizers.AdamW(1e-2), loss=loss, metrics=["accuracy", keras.metrics.AUC()])
    model.fit(some_images(), np.ones((2, 4), np.float32), epochs=1, verbose=0)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    images = some_images(seed=2)
    np.testing.assert_allclose(outputs(loaded_from(path), images), model(images), rtol=1e-4, atol=1e-5)


def test_mixed_precision_runs_in_float32(tmp_path):
    model = filled(mixed())
    model.save(tmp_path / "model.keras")
    exact = keras.Model.from_config(json.loads(json.dumps(model.get_config()).replace("mixed_float16", "float32")))
    exact.set_weights(model.get_weights())
    images = some_images()
    values = outputs(loaded_from(tmp_path / "model.keras"), images)
    np.testing.assert_allclose(values, exact(images), rtol=1e-5, atol=1e-6)
    assert np.abs(values - np.asarray(model(images), np.float32)).max() > 1e-5  # which half precision would not reach


def test_sizes_left_open(tmp_path):
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    model = filled(keras.Model(inputs, layers.GlobalAveragePooling2D()(x)))
    path = tmp_path / "model.keras"
    model.save(path)
    with pytest.raises(ConfigError, match=r"leaves the size of images open.*give `input_shape"):
        loaded_from(path)
    loaded = loaded_from(path, input_shape=SIZE)
    np.testing.assert_allclose(outputs(loaded, some_images()), model(some_images()), rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match=r"input_shape is \[9, 9, 1\], but the file says \[9, 9, 3\]"):
        loaded_from(path, input_shape=(9, 9, 1))


def test_whole_programs_compile_and_are_differentiable(tmp_path):
    model = filled(plain())
    model.save(tmp_path / "model.keras")
    loaded = loaded_from(tmp_path / "model.keras")
    gradient = jax.jit(jax.grad(lambda images: loaded.apply(loaded.params, images)[:, 0].sum()))(some_images())
    assert np.abs(gradient).max() > 0


def as_keras_2(model, path):
    """What `model.save('x.h5')` of TensorFlow 2.15 wrote, as far as it differs."""

    def old(config):
        text = json.dumps(config)
        return json.loads(text.replace('"batch_shape"', '"batch_input_shape"').replace('"optional": false', '"ragged": false'))

    layer_configs = []
    for layer in model.layers:
        config = old(layer.get_config())
        config.pop("optional", None)
        for key, value in config.items():
            if isinstance(value, dict) and "module" in value:
                kept = {name: value[name] for name in ("class_name", "config")}
                config[key] = "float32" if key == "dtype" else kept
        if isinstance(layer, layers.DepthwiseConv2D):
            config["groups"] = 1
        if isinstance(layer, layers.BatchNormalization):
            config["axis"] = [3]
        config["name"] = layer.name.replace("first_", "first/")
        nodes = []
        if not isinstance(layer, layers.InputLayer):
            inputs = keras.tree.flatten(layer.input)
            nodes = [[[inbound(tensor).name.replace("first_", "first/"), 0, 0, {}] for tensor in inputs]]
        layer_configs.append(
            {"class_name": type(layer).__name__, "config": config, "name": config["name"], "inbound_nodes": nodes}
        )
    config = {
        "name": model.name,
        "trainable": True,
        "layers": layer_configs,
        "input_layers": [[model.layers[0].name, 0, 0]],
        "output_layers": [[model.layers[-1].name, 0, 0]],
    }
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer["name"].encode() for layer in layer_configs]
        weights.attrs["keras_version"], weights.attrs["backend"] = b"2.15.0", b"tensorflow"
        for layer, old_layer in zip(model.layers, layer_configs, strict=True):
            group = weights.create_group(old_layer["name"])
            names = [f"{old_layer['name']}/{v.name}:0" for v in layer.trainable_weights + layer.non_trainable_weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.trainable_weights + layer.non_trainable_weights, strict=True):
                group[name] = np.asarray(variable)


def test_h5_as_keras_2_wrote_it(tmp_path):
    model = filled(plain())
    path = tmp_path / "old.h5"
    as_keras_2(model, path)
    facts = describe(KerasSource(kind="keras", model="old.h5"), tmp_path)
    assert facts.weights.format == ".h5 (Keras 2.15.0)"
    assert facts.input_shape == SIZE
    values, sources = values_of_keras(model, some_images())
    loaded = loaded_from(path)
    errors, _ = layer_errors(network_of(loaded), loaded, some_images(), values, sources)
    assert max(errors.values()) < 1e-4, errors
    with h5py.File(path, "a") as file:
        del file["model_weights/classes/classes/kernel:0"]
        file["model_weights/classes/classes/kernel:0"] = np.zeros((48, 7), np.float32)
    with pytest.raises(WeightsError, match="do not fit the model"):
        loaded_from(path)


def test_archive_as_keras_2_wrote_it(tmp_path):
    model = filled(plain())
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for entry in new.namelist():
            content = new.read(entry)
            if entry == "config.json":
                content = content.replace(b"keras.src.models.functional", b"keras.src.engine.functional")
                content = content.replace(b'"batch_shape"', b'"batch_input_shape"')
            old.writestr(entry, content)
    found = outputs(loaded_from(tmp_path / "old.keras"), some_images())
    np.testing.assert_allclose(found, model(some_images()), rtol=1e-4, atol=1e-6)


def test_automatic_names_do_not_depend_on_what_was_loaded_before(tmp_path):
    with keras.StatelessScope(initialize_variables=False):
        model = keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3))
    keras.utils.clear_session(free_memory=False)
    filled(model).save_weights(tmp_path / "own.weights.h5")
    source = KerasSource(
        kind="keras", model="keras.applications.mobilenetv3small", weights="own.weights.h5", input_shape=(32, 32, 3)
    )
    first, second = load(source, tmp_path), load(source, tmp_path)
    assert jax.tree.structure(first.params) == jax.tree.structure(second.params)
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    named = {f"{layer.name}/{weight.name}": weight for layer in model.layers for weight in layer.weights}
    for path, value in jax.tree_util.tree_leaves_with_path(first.params):
        np.testing.assert_array_equal(value, named.pop(jax.tree_util.keystr(path, simple=True, separator="/")))
    assert not named


def test_description_imports_neither_keras_nor_jax(tmp_path):
    filled(plain()).save(tmp_path / "model.keras")
    filled(plain()).save(tmp_path / "model.h5")
    code = """
import sys
from pathlib import Path
from generator.config.sources import KerasSource
from generator.sources import describe
for model in ("model.keras", "model.h5", "keras.applications.vgg16"):
    describe(KerasSource(kind="keras", model=model), Path(sys.argv[1]))
print([name for name in ("keras", "jax", "tensorflow") if name in sys.modules])
"""
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_layers_that_only_applications_define(tmp_path, suffix):
    from keras.src.applications.convnext import LayerScale

    inputs = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = LayerScale(1e-6, 4, name="scale")(x)
    model = filled(keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(x)))
    model.save(tmp_path / f"model{suffix}")
    np.testing.assert_allclose(
        outputs(loaded_from(tmp_path / f"model{suffix}"), some_images()), model(some_images()), rtol=1e-4, atol=1e-6
    )
