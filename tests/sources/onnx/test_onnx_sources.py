"""What CNNscope says of an ONNX file before it runs: sizes, preprocessing, labels, and what of it is a guess."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto

from generator.config.sources import OnnxSource
from generator.errors import NetworkError
from generator.sources import describe
from generator.sources.contract import SourceFacts
from generator.zoo.imagenet import imagenet_labels
from tests.sources.onnx.onnx_files import Graph, normal, write


def facts(
    folder: Path,
    *,
    shape=(1, 3, 8, 10),
    outputs=(1, 5),
    metadata=None,
    producer="test",
    kind=TensorProto.FLOAT,
    first="",
    **settings,
) -> SourceFacts:
    g = Graph(shape, kind=kind)
    x = g.add("Cast", "image", to=1)
    x = g.add(first, x, normal(1, 3, 1, 1)) if first else x
    x = g.add("Flatten", g.add("GlobalAveragePool", x))
    model = g.model(x, metadata=metadata, shapes={x: outputs})
    model.producer_name, model.producer_version = producer, "2.1"
    path = write(model, folder, "my_net.onnx")
    return describe(OnnxSource(kind="onnx", path=str(path), **settings), Path("/"))


def test_what_the_file_says(tmp_path):
    found = facts(tmp_path)
    assert found.title == "my_net"
    assert found.input_shape == (8, 10, 3)
    assert found.weights.format == "onnx"
    assert len(found.weights.digest) == 64
    assert found.libraries == ("onnx",)
    assert ("Exported by", "test 2.1") in found.facts
    assert ("File", "my_net.onnx, 3 nodes, opset 17") in found.facts
    assert found.labels is None
    assert found.guesses == ("pixels in 0-1 without further normalisation; the file does not say",)


@pytest.mark.parametrize(
    ("shape", "stated", "expected"),
    [
        (("n", 3, 8, 10), None, (8, 10, 3)),
        ((1, 8, 10, 3), None, (8, 10, 3)),
        (("n", "h", "w", 1), (6, 7, 1), (6, 7, 1)),
        (("n", 1, "h", "w"), (6, 7, 1), (6, 7, 1)),
        ((None, 3, 8, "w"), (8, 7, 3), (8, 7, 3)),
        (("n", 3, "h", "w"), None, r"is open: 'image' is \(n, 3, h, w\); state it: `input_shape: \[224, 224, 3\]`"),
        ((1, 3, 8, 10), (9, 10, 3), r"\[9, 10, 3\] does not fit its input 'image' \(1, 3, 8, 10\)"),
        ((1, 1, 8, 10), (8, 10, 3), "does not fit"),
    ],
)
def test_sizes_and_layouts(shape, stated, expected, tmp_path):
    if isinstance(expected, tuple):
        assert facts(tmp_path, shape=shape, input_shape=stated).input_shape == expected
    else:
        with pytest.raises(NetworkError, match=expected):
            facts(tmp_path, shape=shape, input_shape=stated)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"mean": "[0.5, 0.4, 0.3]", "std": "0.2"}, {"range": (0.0, 1.0), "mean": (0.5, 0.4, 0.3), "std": (0.2,)}),
        ({"Mean": "(104, 117, 123)"}, {"range": (0.0, 255.0), "mean": (104.0, 117.0, 123.0), "std": (1.0,)}),
        ({"Image.NominalPixelRange": "Normalized_1_1"}, {"range": (-1.0, 1.0)}),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, {"range": (0.0, 255.0), "channels": "rgb"}),
        ({"Image.NominalPixelRange": "Normalized_0_1", "Image.BitmapPixelFormat": "Bgr8"}, {"channels": "bgr"}),
        ({"stride": "32", "names": "{0: 'a'}"}, {"range": (0.0, 1.0)}),
    ],
)
def test_notes_of_the_exporter_are_believed_and_no_guess(metadata, expected, tmp_path):
    found = facts(tmp_path, metadata=metadata, producer="pytorch")
    assert found.guesses == ()
    assert found.preprocessing.model_dump(include=expected.keys()) == expected


@pytest.mark.parametrize("mean", ["[0.5, 0.5]", "[1e999]", "__import__('os')", "[" * 3000, "['a']", "0.5, 0.5, 0.5, 0.5", "\0"])
def test_notes_that_make_no_sense_are_left_out(mean, tmp_path):
    assert facts(tmp_path, metadata={"mean": mean, "std": "0"}).preprocessing.mean == (0.0,)


def test_what_has_to_be_guessed_is_said(tmp_path):
    found = facts(tmp_path, producer="pytorch")
    assert found.preprocessing.mean == (0.485, 0.456, 0.406)
    assert found.preprocessing.size_px == (8, 10)
    assert "ImageNet's mean" in found.guesses[0]
    found = facts(tmp_path, producer="pytorch", first="Sub")
    assert found.preprocessing.range == (0.0, 255.0)
    assert "first node (Sub)" in found.guesses[0]
    found = facts(tmp_path, kind=TensorProto.UINT8)
    assert found.preprocessing.range == (0.0, 255.0)
    assert "whole numbers" in found.guesses[0]


@pytest.mark.parametrize(
    "noted",
    [
        {"labels": "ant, bee,cat,dog,elk"},
        {"classes": json.dumps(["ant", "bee", "cat", "dog", "elk"])},
        {"names": "{0: 'ant', 1: 'bee', 2: 'cat', 4: 'elk', 3: 'dog'}"},
        {"id2label": json.dumps({str(number): name for number, name in enumerate(("ant", "bee", "cat", "dog", "elk"))})},
    ],
    ids=lambda noted: next(iter(noted)),
)
def test_labels_are_read_where_their_number_fits(noted, tmp_path):
    assert facts(tmp_path, metadata=noted).labels == ("ant", "bee", "cat", "dog", "elk")
    assert facts(tmp_path, metadata=noted, outputs=(1, 6)).labels is None
    assert facts(tmp_path, metadata=noted, outputs=None).labels == ("ant", "bee", "cat", "dog", "elk")


@pytest.mark.parametrize("text", ["{'²': 'a', '1': 'b'}", "{" * 2000, "[1, 2, 3, 4, 5]", "ant", "{'a': 1}", "9" * 9000])
def test_labels_that_make_no_sense_are_left_out(text, tmp_path):
    assert facts(tmp_path, metadata={"labels": text}).labels is None


def test_a_thousand_outputs_are_taken_for_imagenets_classes(tmp_path):
    found = facts(tmp_path, outputs=("n", 1000))
    assert found.labels == imagenet_labels()
    assert "ImageNet" in found.guesses[-1]


def test_describing_imports_no_jax(tmp_path):
    facts(tmp_path)
    code = (
        "import sys; from pathlib import Path; from generator.config.sources import OnnxSource\n"
        "from generator.sources import describe\n"
        "describe(OnnxSource(kind='onnx', path=sys.argv[1]), Path('/')); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "my_net.onnx")], check=True)  # noqa: S603
