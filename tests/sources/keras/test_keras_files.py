"""What comes in as a Keras file: facts, guesses, and what is refused."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from generator.config.sources import KerasSource
from generator.errors import ConfigError, NetworkError, UserError, WeightsError
from generator.sources import describe, load
from generator.zoo.imagenet import imagenet_labels
from tests.sources.keras.keras_saved import config_of, conv_of, facts_of, keras, loaded, saved, with_config

layers = keras.layers

# Keras's own way of saving its variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_facts(good, suffix):
    facts = facts_of(good / f"model{suffix}")
    assert (facts.title, facts.input_shape, facts.labels) == ("net", (8, 8, 3), None)
    assert facts.weights.format == f"{suffix} (Keras {keras.__version__})"
    assert facts.weights.num_bytes == (good / f"model{suffix}").stat().st_size
    assert facts.libraries == ("keras",)
    assert facts.preprocessing.range == (0.0, 1.0)
    assert facts.guesses == ("pixels in 0-1, as the file does not say",)


def test_a_model_that_nobody_named_is_called_after_its_file(tmp_path):
    for name, title in (("sequential_3", "flowers"), ("model", "flowers"), ("roses", "roses")):
        assert facts_of(saved(tmp_path / "flowers.keras", layers.Conv2D(2, 3), name=name)).title == title


def test_preprocessing_is_guessed_from_the_config(tmp_path):
    conv = lambda: (layers.Conv2D(2, 3), layers.GlobalMaxPooling2D(), layers.Dense(1000))  # noqa: E731
    rescaled = facts_of(saved(tmp_path / "a.keras", layers.RandomFlip(), layers.Rescaling(1 / 255), *conv(), name="vgg16"))
    assert rescaled.preprocessing.range == (0.0, 255.0)
    assert rescaled.guesses[0] == "pixels in 0-255, rescaled by the model itself, as it begins with a layer that does so"
    assert rescaled.labels == imagenet_labels()
    named = facts_of(saved(tmp_path / "b.h5", *conv(), name="mobilenetv2_1.00_224"))
    assert (named.preprocessing.range, named.preprocessing.channels) == ((-1.0, 1.0), "rgb")
    assert "mobilenetv2_1.00_224" in named.guesses[0]
    bgr = facts_of(saved(tmp_path / "c.keras", *conv(), name="resnet50"))
    assert (bgr.preprocessing.channels, bgr.preprocessing.mean) == ("bgr", (103.939, 116.779, 123.68))
    newer = facts_of(saved(tmp_path / "d.keras", *conv(), name="resnet50v2"))
    assert (newer.preprocessing.channels, newer.preprocessing.range) == ("rgb", (-1.0, 1.0))
    grey = facts_of(saved(tmp_path / "e.keras", *conv(), shape=(8, 8, 1), name="resnet50"))
    assert (grey.preprocessing.channels, grey.preprocessing.mean) == ("grey", (0.0,))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_is_refused_by_name(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", layers.Lambda(lambda x: x * 2, name="twice"), layers.Conv2D(2, 3))
    with pytest.raises(NetworkError, match=r"'Lambda' \(twice\) holds Python code, which is not run; .*ONNX"):
        loaded(path)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"class_name": "TFSMLayer"}, "SavedModel"),
        ({"class_name": "TorchModuleWrapper"}, "pickled PyTorch module"),
        ({"class_name": "JaxLayer"}, "kind: function"),
        ({"class_name": "TextVectorization"}, "is for text"),
        ({"module": "os", "class_name": "system"}, r"'system' .* of os is a class of somebody's own"),
        ({"module": "keras.src.utils.file_utils", "class_name": "get_file"}, "is a class of somebody's own"),
        ({"module": "nets", "class_name": "Swish", "registered_name": "nets>Swish"}, r"of nets .*kind: onnx"),
        ({"module": None, "class_name": "nets>Swish"}, "somebody's own"),
        ({"class_name": "Konv2D"}, "'Konv2D' is no layer of Keras's own"),
        ({"module": ["x"]}, "somebody's own"),
        ({"class_name": ["x"]}, "a class is named"),
    ],
)
def test_foreign_classes_are_refused(good, tmp_path, change, rule):
    config = config_of(good / "model.keras")
    conv_of(config).update(change)
    path = with_config(good / "model.keras", config, tmp_path / "a.keras")
    with pytest.raises(NetworkError, match=rule):
        loaded(path)


def test_bare_tensorflow_functions_are_named(good, tmp_path):
    config = config_of(good / "model.h5")
    conv_of(config).update({"class_name": "TFOpLambda"})
    with pytest.raises(NetworkError, match="TensorFlow function, which Keras 3 does not know"):
        facts_of(with_config(good / "model.h5", config, tmp_path / "a.h5"))


def test_lambdas_anywhere_are_refused(good, tmp_path):
    for suffix in (".keras", ".h5"):
        config = config_of(good / f"model{suffix}")
        conv_of(config)["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": "eA=="}}
        with pytest.raises(NetworkError, match="'__lambda__' holds Python code"):
            loaded(with_config(good / f"model{suffix}", config, tmp_path / f"a{suffix}"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"filters": 10**9}, "do not fit|cannot rebuild|more than"),
        ({"kernel_size": [10**6, 10**6], "padding": "same"}, "do not fit|cannot rebuild|more than"),
        ({"filters": -1}, "cannot rebuild"),
        ({"filters": "many"}, "cannot rebuild"),
        ({"strides": [0, 0]}, "cannot rebuild"),
        ({"data_format": "sideways"}, "cannot rebuild"),
        ({"kernel_initializer": {"class_name": "Identity", "config": {}}}, ""),
    ],
)
def test_absurd_settings(good, tmp_path, suffix, settings, rule):
    config = config_of(good / f"model{suffix}")
    conv_of(config)["config"].update(settings)
    path = with_config(good / f"model{suffix}", config, tmp_path / f"a{suffix}")
    if rule:
        with pytest.raises(UserError, match=rule):
            loaded(path)
    else:
        loaded(path)


def test_absurd_maps(tmp_path):
    path = saved(tmp_path / "a.keras", layers.Conv2D(2, 3), layers.UpSampling2D(10**5, name="huge"))
    with pytest.raises(NetworkError, match=r"layer 'huge' gives 720,000,000,000 values for one image"):
        loaded(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", '"a"', "{}", '{"class_name": "Sequential", "config": 3}', "[" * 100_000, "NaN", "\x00"]
)
def test_configs_that_are_none(good, tmp_path, text):
    with pytest.raises((WeightsError, NetworkError), match=r"a\.keras: "):
        loaded(with_config(good / "model.keras", text, tmp_path / "a.keras"))


def test_deeply_nested_models(good, tmp_path):
    inner = config_of(good / "model.keras")
    for _ in range(300):
        inner = {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [inner]}}
    with pytest.raises(UserError):
        loaded(with_config(good / "model.keras", inner, tmp_path / "a.keras"))


def test_several_inputs_are_named(tmp_path):
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    for suffix in (".keras", ".h5"):
        keras.Model([left, right], layers.Add()([left, right])).save(tmp_path / f"a{suffix}")
        with pytest.raises(ConfigError, match=r"it has 2 inputs \(left, right\), but a CNN for images has one"):
            facts_of(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("shape", [(8, 8, 4), (8, 3), (5000, 8, 3)])
def test_inputs_that_are_no_images(tmp_path, shape):
    with pytest.raises(ConfigError, match="its input"):
        facts_of(saved(tmp_path / "a.keras", layers.Flatten(), shape=shape))


def test_files_of_another_kind(good, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.keras").touch()
    (tmp_path / "text.keras").write_text("<html>")
    (tmp_path / "named.h5").write_bytes((good / "model.keras").read_bytes())
    (tmp_path / "named.keras").write_bytes((good / "model.h5").read_bytes())
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("a.txt", "a")
    keras.saving.load_model(good / "model.keras").save_weights(tmp_path / "a.weights.h5")
    for name, rule in {
        "folder": "SavedModel",
        "missing.keras": "there is no such file",
        "empty.keras": "is empty",
        "text.keras": "neither a `.keras` archive nor an HDF5 file",
        "named.h5": "rename it to end in .keras",
        "named.keras": "rename it to end in .h5",
        "other.keras": "no `config.json`",
        "a.weights.h5": "weights alone, without the model",
    }.items():
        with pytest.raises(WeightsError, match=rule):
            facts_of(tmp_path / name)


@pytest.mark.parametrize("units", [5, 10**8])
def test_weights_that_do_not_fit(good, tmp_path, units):
    config = config_of(good / "model.keras")
    config["config"]["layers"][-1]["config"]["units"] = units
    with pytest.raises(WeightsError, match=rf"do not fit the model: .*classes.*\(2, {units}\).*\(2, 3\)"):
        loaded(with_config(good / "model.keras", config, tmp_path / "a.keras"))


def test_weights_that_are_not_finite(tmp_path):
    path = saved(tmp_path / "a.keras", layers.Conv2D(2, 3, name="conv", bias_initializer=keras.initializers.Constant(np.nan)))
    with pytest.raises(WeightsError, match=r"'conv/bias' holds 2 NaN"):
        loaded(path)


def test_applications_by_name(tmp_path):
    facts = describe(KerasSource(kind="keras", model="keras.applications.vgg16", weights="random"), tmp_path)
    assert (facts.title, facts.input_shape, facts.weights_path) == ("VGG16", (224, 224, 3), None)
    assert facts.labels == imagenet_labels()
    assert facts.preprocessing.channels == "bgr"
    other = describe(KerasSource(kind="keras", model="keras.applications.VGG19", weights="random"), tmp_path)
    assert facts.weights.digest != other.weights.digest
    with pytest.raises(ConfigError, match="did you mean 'ResNet50'"):
        describe(KerasSource(kind="keras", model="keras.applications.ResNet5O"), tmp_path)
    with pytest.raises(ConfigError, match="does not suit its weights 'imagenet'"):
        describe(KerasSource(kind="keras", model="keras.applications.VGG16", input_shape=(96, 96, 3)), tmp_path)
    with pytest.raises(WeightsError, match="there is no such file"):
        describe(KerasSource(kind="keras", model="keras.applications.VGG16", weights="none.h5"), tmp_path)


def test_every_application_and_its_size():
    from generator.sources.keras_applications import APPLICATIONS

    own = {name for name, value in vars(keras.applications).items() if callable(value) and name[0].isupper()}
    assert {application.name for application in APPLICATIONS.values()} == own


def test_imagenet_weights_without_network(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("URL fetch failure")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    with pytest.raises(NetworkError, match=r"URL fetch failure.*needs the network once.*`weights: random`"):
        load(KerasSource(kind="keras", model="keras.applications.MobileNet"), tmp_path)


def test_another_backend_is_refused(good, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ConfigError, match=r"imported with the backend 'torch'.*KERAS_BACKEND=jax"):
        loaded(good / "model.keras")
