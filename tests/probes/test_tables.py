"""CSV files that list images."""

import numpy as np
import pytest
from PIL import Image

from generator.config.datasets import CsvDataset
from generator.config.schema import CsvProbes
from generator.errors import ProbeError
from generator.probes import list_probes
from generator.probes.datasets import open_dataset

LABELLED = [("pictures/a.png", "dog"), ("pictures/b, c.png", "cat/kitten"), ("é.png", "dog")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lists" / "pictures").mkdir(parents=True)
    for number, (name, _) in enumerate(LABELLED):
        Image.fromarray(np.full((4, 5 + number), number * 60, np.uint8)).save(tmp_path / "lists" / name)
    return tmp_path


def dataset(folder, text, encoding="utf-8", **rest):
    (folder / "lists" / "list.csv").write_bytes(text.encode(encoding))
    return open_dataset(CsvDataset(name="d", kind="csv", path="lists/list.csv", **rest), folder, {})


def quoted(field, delimiter):
    return f'"{field}"' if delimiter in field else field


def problems_of(call, *arguments, **rest):
    with pytest.raises(ProbeError) as caught:
        call(*arguments, **rest)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [None, ("path", "label"), ("Filename", "Class")])
@pytest.mark.parametrize(("end", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8-sig")])
def test_paths_and_labels(folder, delimiter, header, end, encoding):
    rows = [*([header] if header else []), *LABELLED]
    text = end.join(delimiter.join(quoted(field, delimiter) for field in row) for row in rows) + end
    found = dataset(folder, text, encoding)
    assert found.info.labels == ("cat/kitten", "dog")
    assert [found.label(i) for i in range(3)] == [1, 0, 1]
    assert [found.read(i).shape for i in range(3)] == [(4, 5, 1), (4, 6, 1), (4, 7, 1)]
    assert [found.title(i) for i in range(3)] == ["a", "b, c", "é"]
    assert found.info.provenance == "list.csv"


def test_columns_are_found_by_name_and_others_ignored(folder):
    found = dataset(folder, "id,label,split,image\n1,x,train,é.png\n\n2,y,test,pictures/a.png\n")
    assert [(found.title(i), found.info.labels[found.label(i)]) for i in range(2)] == [("é", "x"), ("a", "y")]


def test_paths_alone_and_absolute_ones(folder):
    absolute = folder / "lists" / "é.png"
    found = dataset(folder, f"{absolute}\npictures/a.png\n", provenance="mine")
    assert (len(found), found.info.labels, found.label(0), found.info.provenance) == (2, None, None, "mine")
    assert found.read(0)[0, 0, 0] == 120
    assert len(dataset(folder, f"{absolute}\npictures/a.png\n", limit=1)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["the file lists nothing; write one row for each image: path,label"]),
        (" \n,\n", ["the file lists nothing"]),
        ("path,label\n", ["there is a header and no row below it"]),
        ("picture,label\né.png,dog\n", ["list.csv:1: no column is named as paths are (found: picture, label); name it one of"]),
        ("picture,kind\né.png,dog\n", ["list.csv:1: no column is named as paths are"]),
        ("é.png,dog\nx.png,cat\ny.png,dog\n", ["list.csv:2: no file 'x.png'", "list.csv:3: no file 'y.png'", "own folder"]),
        (
            "é.png,dog\né.png\né.png,\n",
            ["list.csv:2: 1 fields, where at least 2 are needed", "list.csv:3: 'é.png' has no label"],
        ),
        ('é.png,"dog\n', ["list.csv:1: this cannot be read as CSV (unexpected end of data)"]),
        (
            "é.png,dog\n" + "x.png,dog\n" * 25,
            ["no file"] * 20
            + ["and 5 more problems like these", "25 of 26 files are missing; paths in it start from its own folder"],
        ),
        (f"{'x' * 5000}.png,dog\n", ["no file 'xxx", "own folder"]),
    ],
)
def test_everything_that_is_wrong_is_said_with_its_line(folder, text, expected):
    found = problems_of(dataset, folder, text)
    assert len(found) == len(expected), found
    for problem, part in zip(found, expected, strict=True):
        assert part in problem


def test_other_encodings_are_named(folder):
    (text,) = problems_of(dataset, folder, "path,label\né.png,dog\n", "latin-1")
    assert "list.csv:2: this is not UTF-8; save it as UTF-8" in text
    problems_of(dataset, folder, "path,label\n", "utf-16")


def test_as_probes(folder):
    (folder / "lists" / "list.csv").write_text("\n".join(f'"{path}",{label}' for path, label in LABELLED), encoding="utf-8")
    section = CsvProbes(name="p", kind="csv", path="lists/list.csv", per_class=1)
    probes = list_probes(section, folder)
    assert [(probe.info.label, probe.info.name) for probe in probes] == [("dog", "dog-a"), ("cat/kitten", "cat-kitten-b-c")]
    assert [probe.read().shape for probe in probes] == [(4, 5, 1), (4, 6, 1)]
    assert len(list_probes(section.model_copy(update={"per_class": None}), folder)) == 3
    (folder / "lists" / "list.csv").write_text("é.png\n", encoding="utf-8")
    assert "add a column `label`" in problems_of(list_probes, section, folder)[0]
