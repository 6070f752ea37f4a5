"""Finding, checking and fetching Fashion-MNIST, with a small stand-in for the data and for its server."""

import gzip
import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from generator.errors import ProbeError
from generator.probes import fashion_mnist
from generator.probes.fashion_mnist import FILES, RemoteFile, download, find, load
from generator.probes.idx import encode_idx


def quiet(*_):
    pass


@pytest.fixture
def packed():
    """Four small files by their names, packed."""
    return {file.name: gzip.compress(encode_idx(np.full((3,), i, np.uint8)), mtime=0) for i, file in enumerate(FILES)}


@pytest.fixture
def stand_ins(packed):
    """The four files as the server would publish these contents."""
    return tuple(
        RemoteFile(name, len(data), hashlib.md5(data).hexdigest(), hashlib.sha256(gzip.decompress(data)).hexdigest())  # noqa: S324
        for name, data in packed.items()
    )


@pytest.fixture
def server(tmp_path, packed):
    folder = tmp_path / "server"
    folder.mkdir()
    for name, data in packed.items():
        (folder / f"{name}.gz").write_bytes(data)

    class Silent(SimpleHTTPRequestHandler):
        log_message = quiet

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def fill(folder, packed, ending=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in packed.items():
        (folder / f"{name}{ending}").write_bytes(data if ending else gzip.decompress(data))
    return folder


@pytest.mark.parametrize("ending", [".gz", ""])
def test_a_named_folder_is_taken_before_the_others(tmp_path, packed, ending):
    system, cache = fill(tmp_path / "system", packed), fill(tmp_path / "cache", packed)
    named = fill(tmp_path / "named", packed, ending)
    assert find(named, system, cache) == named
    assert find(None, system, cache) == system
    assert find(None, tmp_path / "absent", cache) == cache
    assert find(None, tmp_path / "absent", tmp_path / "empty") is None


def test_a_named_folder_that_misses_files_is_an_error_with_three_ways_out(tmp_path, packed):
    named = fill(tmp_path / "named", dict(list(packed.items())[:3]))
    with pytest.raises(ProbeError, match=FILES[3].name) as caught:
        find(named, fill(tmp_path / "system", packed), tmp_path)
    (problem,) = caught.value.problems
    assert problem.place == str(named)
    assert FILES[0].name not in problem.message
    for way in ("--data", fashion_mnist.SYSTEM_PACKAGE, fashion_mnist.BASE_URL):
        assert way in problem.way_out


def test_load_checks_the_digest_of_every_file_and_reports_all(tmp_path, packed):
    folder = fill(tmp_path / "data", packed)
    (folder / f"{FILES[1].name}.gz").write_bytes(b"no IDX file")
    with pytest.raises(ProbeError) as caught:
        load(folder)
    messages = [problem.message for problem in caught.value.problems]
    assert sum("not Fashion-MNIST's" in message for message in messages) == 3
    assert sum("not an IDX file" in message for message in messages) == 1
    assert "--data" in caught.value.problems[-1].way_out


def test_load_gives_arrays_and_digests_in_order(tmp_path, packed, stand_ins, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "FILES", stand_ins)
    data = load(fill(tmp_path / "data", packed, ""))
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    assert [int(array[0]) for array in arrays] == [0, 1, 2, 3]
    assert data.digests == {file.name: file.sha256 for file in stand_ins}


@pytest.mark.skipif(find() is None, reason="Fashion-MNIST is not on this machine")
def test_the_real_labels_are_balanced():
    """The digests in the source are those of the real files."""
    data = load(find())
    assert data.train_images.shape == (60_000, 28, 28)
    assert data.test_images.shape == (10_000, 28, 28)
    assert np.bincount(data.train_labels).tolist() == [6000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    pixels = data.train_images.astype(np.float64) / 255
    assert (round(pixels.mean(), 3), round(pixels.std(), 3)) == (0.286, 0.353)


def test_download_fetches_once_and_reports(tmp_path, server, stand_ins, packed):
    _, url = server
    cache, calls = tmp_path / "a" / "cache", []
    download(cache, lambda *call: calls.append(call), url, stand_ins)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == {f"{name}.gz": data for name, data in packed.items()}
    assert calls == [(f"{file.name}.gz", file.num_bytes, file.num_bytes) for file in stand_ins]
    download(cache, lambda *_: pytest.fail("fetched again"), url, stand_ins)


def test_obtain_downloads_only_what_is_nowhere(tmp_path, packed, stand_ins, server, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "FILES", stand_ins)
    monkeypatch.setattr(fashion_mnist, "find", partial(find, system=tmp_path / "absent"))
    monkeypatch.setattr(fashion_mnist, "download", partial(download, base_url=server[1], files=stand_ins))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fetched = []
    for _ in range(2):
        data = fashion_mnist.obtain(None, lambda name, *_: fetched.append(name))
        assert data.test_labels.tolist() == [3, 3, 3]
    assert fetched == [f"{file.name}.gz" for file in stand_ins]
    fashion_mnist.obtain(fill(tmp_path / "named", packed), lambda *_: pytest.fail("a folder was named"))


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:-1] + b"\7"])
def test_a_damaged_download_is_not_kept(tmp_path, server, stand_ins, damage):
    folder, url = server
    path = folder / f"{FILES[0].name}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ProbeError, match="MD5") as caught:
        download(tmp_path / "cache", quiet, url, stand_ins)
    assert fashion_mnist.SYSTEM_PACKAGE in caught.value.problems[0].way_out
    assert not list((tmp_path / "cache").iterdir())


def test_no_server_and_no_such_file(tmp_path, server, stand_ins):
    folder, url = server
    (folder / f"{FILES[0].name}.gz").unlink()
    with pytest.raises(ProbeError, match="404"):
        download(tmp_path / "cache", quiet, url, stand_ins)
    with pytest.raises(ProbeError, match="download failed"):
        download(tmp_path / "cache", quiet, "http://127.0.0.1:9/", stand_ins)


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fashion_mnist.default_cache() == tmp_path / "cnnscope" / "fashion-mnist"
