"""Published datasets, from folders in their forms and from their own server, with small stand-ins for the files."""

import gzip
import hashlib
import io
import pickle
import tarfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from generator.config.datasets import PublishedDataset
from generator.config.schema import PublishedProbes
from generator.errors import ProbeError
from generator.probes import list_probes, published
from generator.probes.datasets import open_dataset
from generator.probes.idx import encode_idx
from generator.probes.published import PUBLISHED, read_split

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def idx_files(num=12, sides=(28, 28)):
    """What MNIST's four files hold, small."""
    random = np.random.default_rng(0)
    arrays = {}
    for start, count in (("train", num), ("t10k", num // 2)):
        arrays[f"{start}-images-idx3-ubyte"] = random.integers(0, 256, (count, *sides), np.uint8)
        arrays[f"{start}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    return arrays


def batch(seed, num=7, kind="labels", classes=10):
    random = np.random.default_rng(seed)
    return {"data": random.integers(0, 256, (num, 3072), np.uint8), kind: [int(n) for n in random.integers(0, classes, num)]}


def upright(rows):
    """The images of CIFAR's rows, pixel by pixel as its authors describe them."""
    images = np.zeros((len(rows), 32, 32, 3), np.uint8)
    for n, row in enumerate(rows):
        for channel in range(3):
            for y in range(32):
                images[n, y, :, channel] = row[channel * 1024 + y * 32 : channel * 1024 + (y + 1) * 32]
    return images


def python2(batch_):
    """As Python 2 pickled it, with texts that are bytes and an array's contents in a text."""
    data = batch_["data"]
    out = [
        b"\x80\x02}q\x00(U\x04dataq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
    ]
    out += [b"(K\x01M", len(data).to_bytes(2, "little"), b"M\x00\x0c\x86cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06"]
    out += [b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", data.size.to_bytes(4, "little"), data.tobytes()]
    out += [b"tbU\x06labelsq\x07](", b"".join(b"K" + bytes([label]) for label in batch_["labels"]), b"eu."]
    return b"".join(out)


def write(folder: Path, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def cifar10_python(dump):
    files = {f"data_batch_{i}": dump(batch(i)) for i in range(1, 6)} | {"test_batch": dump(batch(6))}
    return files | {"batches.meta": pickle.dumps({"label_names": list(CIFAR10), "num_vis": 3072}, 2)}


def cifar10_binary():
    def records(one):
        return b"".join(bytes([label]) + row.tobytes() for label, row in zip(one["labels"], one["data"], strict=True))

    files = {f"data_batch_{i}.bin": records(batch(i)) for i in range(1, 6)} | {"test_batch.bin": records(batch(6))}
    return files | {"batches.meta.txt": "\n".join(CIFAR10).encode() + b"\n\n"}


def packed(files, folder):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


FORMS = {
    "python 2": lambda: cifar10_python(python2),
    "python 3": lambda: cifar10_python(partial(pickle.dumps, protocol=2)),
    "protocol 4": lambda: cifar10_python(partial(pickle.dumps, protocol=4)),
    "bytes keys": lambda: cifar10_python(lambda one: pickle.dumps({k.encode(): v for k, v in one.items()}, 2)),
    "binary": cifar10_binary,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["folder", "below", "archive", "folder of the archive"])
def test_cifar_10_in_every_form(tmp_path, form, where):
    files, inner = FORMS[form](), "cifar-10-batches-bin" if form == "binary" else "cifar-10-batches-py"
    path = tmp_path
    if where == "folder":
        write(tmp_path, files)
    elif where == "below":
        write(tmp_path / inner, files)
    else:
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(packed(files, inner))
        path = tmp_path / "cifar-10-python.tar.gz" if where == "archive" else tmp_path
    train, test = read_split("cifar10", "train", path), read_split("cifar10", "test", path)
    np.testing.assert_array_equal(train.images, upright(np.concatenate([batch(i)["data"] for i in range(1, 6)])))
    assert train.labels.tolist() == [label for i in range(1, 6) for label in batch(i)["labels"]]
    np.testing.assert_array_equal(test.images, upright(batch(6)["data"]))
    assert test.labels.tolist() == batch(6)["labels"]
    assert train.label_names == test.label_names == CIFAR10
    assert test.provenance.startswith("local files in the form of the CIFAR-10 test set")


@pytest.mark.parametrize("labels", ["fine", "coarse"])
@pytest.mark.parametrize("binary", [False, True])
def test_cifar_100_has_two_kinds_of_labels(tmp_path, labels, binary):
    fine, coarse = batch(1, 9, classes=100), [int(n) for n in np.random.default_rng(5).integers(0, 20, 9)]
    names = {"fine": [f"fine {n}" for n in range(100)], "coarse": [f"coarse {n}" for n in range(20)]}
    if binary:
        rows = zip(coarse, fine["labels"], fine["data"], strict=True)
        files = {"test.bin": b"".join(bytes([c, f]) + row.tobytes() for c, f, row in rows)}
        files |= {f"{kind}_label_names.txt": "\n".join(texts).encode() for kind, texts in names.items()}
    else:
        both = {"data": fine["data"], "fine_labels": fine["labels"], "coarse_labels": coarse}
        meta = {f"{kind}_label_names": texts for kind, texts in names.items()}
        files = {"test": pickle.dumps(both, 2), "meta": pickle.dumps(meta, 2)}
    found = read_split("cifar100", "test", write(tmp_path / "here", files), labels=labels)
    assert found.labels.tolist() == (fine["labels"] if labels == "fine" else coarse)
    assert found.label_names == tuple(names[labels])
    np.testing.assert_array_equal(found.images, upright(fine["data"]))


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def problems_of(call, *arguments, **rest):
    with pytest.raises(ProbeError) as caught:
        call(*arguments, **rest)
    return [str(problem) for problem in caught.value.problems]


def test_code_in_a_batch_is_named_and_never_run(tmp_path):
    files = cifar10_python(partial(pickle.dumps, protocol=2))
    files["test_batch"] = pickle.dumps({**batch(6), "trap": Trap()}, 2)
    (text,) = problems_of(read_split, "cifar10", "test", write(tmp_path, files))
    assert "test_batch: the pickle in it refers to builtins.setattr" in text.replace("__builtin__", "builtins")
    assert not Trap.sprung


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"data": np.zeros((7, 3071), np.uint8)}, "no uint8 array (n, 3072)"),
        ({"data": np.zeros((7, 3072), np.float32)}, "does not hold bytes"),
        ({"data": [1, 2]}, "no uint8 array"),
        ({"labels": [0] * 6}, "no list of one label for each of 7 images"),
        ({"labels": [-1] * 7}, "no whole number from 0"),
        ({"labels": ["a"] * 7}, "no whole number from 0"),
        ({"labels": [10] * 7}, "labels go from 10 to 10, and there are 10 names"),
    ],
)
def test_what_is_wrong_with_a_batch(tmp_path, changed, expected):
    files = cifar10_python(partial(pickle.dumps, protocol=2))
    files["test_batch"] = pickle.dumps({**batch(6), **changed}, 2)
    (text,) = problems_of(read_split, "cifar10", "test", write(tmp_path, files))
    assert expected in text


def test_text_that_is_no_bytes_is_refused(tmp_path):
    files = cifar10_python(python2)
    content = batch(6)["data"].tobytes()
    text = ("\u20ac" * len(content)).encode()
    at = files["test_batch"].index(b"T" + len(content).to_bytes(4, "little"))
    rest = files["test_batch"][at + 5 + len(content) :]
    files["test_batch"] = files["test_batch"][:at] + b"X" + len(text).to_bytes(4, "little") + text + rest
    (problem,) = problems_of(read_split, "cifar10", "test", write(tmp_path, files))
    assert "does not hold bytes" in problem


def test_what_is_missing_is_said_of_the_nearest_format(tmp_path):
    files = cifar10_binary()
    del files["data_batch_4.bin"]
    (text,) = problems_of(read_split, "cifar10", "train", write(tmp_path, files))
    assert "no data_batch_4.bin in it; name what holds cifar-10-batches-py or cifar-10-batches-bin" in text
    (text,) = problems_of(read_split, "cifar10", "train", tmp_path / "nowhere")
    assert "No such file" in text


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("generator.probes.cifar.MAX_UNPACKED", 1 << 20)
    path = tmp_path / "cifar-10-python.tar.gz"
    files = {"padding": bytes(2 << 20), **cifar10_python(python2)}
    path.write_bytes(packed(files, "cifar-10-batches-py"))
    assert path.stat().st_size < 1 << 20
    assert "unpacked it has more than 1 MiB" in problems_of(read_split, "cifar10", "test", path)[0]


@pytest.mark.parametrize("below", ["", "MNIST/raw"])
@pytest.mark.parametrize("ending", [".gz", "", "kaggle"])
def test_mnist_files_wherever_and_however_packed(tmp_path, below, ending):
    arrays = idx_files()
    files = {}
    for name, array in arrays.items():
        shown = name.replace("-idx", ".idx") if ending == "kaggle" else name
        files[shown + ending.replace("kaggle", "")] = gzip.compress(encode_idx(array)) if ending == ".gz" else encode_idx(array)
    write(tmp_path / below, files)
    found = read_split("mnist", "test", tmp_path)
    np.testing.assert_array_equal(found.images[..., 0], arrays["t10k-images-idx3-ubyte"])
    assert found.labels.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()
    assert found.label_names == tuple("0123456789")
    assert found.licence == "CC BY-SA 3.0"
    assert len(read_split("mnist", "train", tmp_path).images) == 12


def test_what_is_wrong_with_mnist_files(tmp_path):
    arrays = idx_files()
    write(tmp_path, {name: encode_idx(array) for name, array in arrays.items()})
    images, labels = tmp_path / "t10k-images-idx3-ubyte", tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(encode_idx(np.full(6, 11, np.uint8)))
    assert "labels go from 11 to 11, and MNIST has 10 classes" in problems_of(read_split, "mnist", "test", tmp_path)[0]
    labels.write_bytes(encode_idx(np.zeros(5, np.uint8)))
    assert "not one label for each of 6 images" in problems_of(read_split, "mnist", "test", tmp_path)[0]
    images.write_bytes(b"cut")
    labels.write_bytes(b"no")
    assert len(problems_of(read_split, "mnist", "test", tmp_path)) == 2
    images.unlink()
    (text,) = problems_of(read_split, "mnist", "test", tmp_path)
    assert "no t10k-images-idx3-ubyte here (with or without .gz)" in text
    assert PUBLISHED["mnist"].urls[0] in text


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server with stand-ins for MNIST and CIFAR-10, which the tables of the two then describe; the cache is empty."""
    archives = {f"{name}.gz": gzip.compress(encode_idx(array), mtime=0) for name, array in idx_files().items()}
    archives["cifar-10-python.tar.gz"] = packed(cifar10_python(python2), "cifar-10-batches-py")
    folder = write(tmp_path / "server", archives)

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        for name in ("mnist", "cifar10"):
            sums = {
                split: {file: hashlib.md5(archives[file]).hexdigest() for file in files}  # noqa: S324
                for split, files in PUBLISHED[name].files.items()
            }
            stand_in = replace(PUBLISHED[name], urls=("http://127.0.0.1:9/", url), files=sums)
            monkeypatch.setitem(published.PUBLISHED, name, stand_in)
        yield folder
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_split_is_fetched_once_from_the_first_mirror_that_answers(served, name):
    calls = []
    found = read_split(name, "test", report=lambda *call: calls.append(call))
    files = list(PUBLISHED[name].files["test"])
    assert [call[0] for call in calls if call[1] == call[2]] == files
    assert found.provenance.endswith("checksums as published")
    assert sorted(path.name for path in found.files[0].parent.iterdir()) == sorted(files)
    again = read_split(name, "test", report=lambda *_: pytest.fail("fetched again"))
    np.testing.assert_array_equal(again.images, found.images)


def test_what_comes_damaged_is_not_kept(served, tmp_path):
    path = served / "cifar-10-python.tar.gz"
    path.write_bytes(path.read_bytes()[:-1])
    text = problems_of(read_split, "cifar10", "test")[-1]
    assert "it came damaged: its MD5 is" in text
    assert "put cifar-10-python.tar.gz from" in text
    assert str(tmp_path / "cache" / "cnnscope" / "cifar10") in text
    assert not list((tmp_path / "cache" / "cnnscope" / "cifar10").iterdir())


def test_offline_and_a_cache_that_cannot_be_written(served, tmp_path, monkeypatch):
    monkeypatch.setitem(published.PUBLISHED, "mnist", replace(PUBLISHED["mnist"], urls=("http://127.0.0.1:9/",)))
    (text,) = problems_of(read_split, "mnist", "train")
    assert "download failed" in text
    assert "put train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz from http://127.0.0.1:9/ into" in text
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "cannot be written" in problems_of(read_split, "cifar10", "train")[-1]


def test_as_a_dataset_and_as_probes(tmp_path):
    write(tmp_path / "m", {name: encode_idx(array) for name, array in idx_files(40).items()})
    config = PublishedDataset(name="d", kind="published", dataset="mnist", path="m", limit=10)
    dataset = open_dataset(config, tmp_path, {})
    assert (len(dataset), dataset.read(3).shape, dataset.label(3)) == (10, (28, 28, 1), 3)
    assert dataset.info.labels == tuple("0123456789")
    assert dataset.title(0) == "test image 10"
    before = dataset.fingerprint
    labels = idx_files(40)["t10k-labels-idx1-ubyte"]
    (tmp_path / "m" / "t10k-labels-idx1-ubyte").write_bytes(encode_idx(labels[::-1].copy()))
    assert open_dataset(config, tmp_path, {}).fingerprint != before
    probes = list_probes(PublishedProbes(name="p", kind="published", dataset="mnist", path="m", per_class=1), tmp_path)
    assert [probe.info.name for probe in probes] == [f"{n}-0" for n in range(10)]
    assert [probe.info.label for probe in probes] == list("0123456789")
    np.testing.assert_array_equal(probes[0].read()[..., 0], idx_files(40)["t10k-images-idx3-ubyte"][9])


@pytest.mark.skipif(
    not (PUBLISHED["fashion_mnist"].system / "t10k-labels-idx1-ubyte.gz").is_file(), reason="not on this machine"
)
def test_the_real_fashion_mnist_is_recognised():
    found = read_split("fashion_mnist", "test")
    assert found.provenance == "Fashion-MNIST test set (Xiao, Rasul and Vollgraf 2017), checksums as published"
    assert np.bincount(found.labels).tolist() == [1000] * 10
