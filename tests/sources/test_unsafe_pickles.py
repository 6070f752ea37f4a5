"""Pickles with code in them are refused by name and never run."""

from __future__ import annotations

import builtins
import os
import pickle
import zipfile

import numpy as np
import pytest

from generator.errors import WeightsError
from generator.sources.weights import read_checkpoint

BOTH = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


class Payload:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def body_of(value, protocol=2):
    """The instructions of a pickle, without its head and its end."""
    return pickle.dumps(value, protocol)[2:-1]


@BOTH
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, os.mkdir])
def test_a_live_payload_never_runs(torch_files, tmp_path, legacy, protocol, function):
    canary = tmp_path / "canary"
    body = body_of(Payload(function, f"touch {canary}" if function is os.system else str(canary)), protocol)
    pickle.loads(torch_files.pickled(body))  # noqa: S301 - proves that the payload works
    assert canary.exists()
    canary.unlink() if canary.is_file() else canary.rmdir()
    path = torch_files.write(tmp_path / "evil.pth", legacy, body, {"0": np.zeros(4, np.float32)})
    with pytest.raises(WeightsError, match=rf"refers to {function.__module__}\.{function.__name__}.*nothing was run"):
        read_checkpoint(path)
    assert not canary.exists()


@BOTH
@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "builtins.getattr",
        "__builtin__.eval",
        "torch.hub.load",
        "torch.load",
        "torch._utils._rebuild_qtensor",
        "torch.nn.modules.conv.Conv2d",
        "collections.defaultdict",
        "numpy.core.multiarray._reconstruct",
        "torch.FloatStorage.__class__",
        "collections.OrderedDict.__init__",
    ],
)
def test_names_off_the_list_are_refused(torch_files, tmp_path, legacy, name):
    body = torch_files.mapping([("w", torch_files.find(name) + b")R")])
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(torch_files.write(tmp_path / "evil.pth", legacy, body, {}))
    assert f"refers to {name}, " in str(caught.value)
    assert "torch.save(model.state_dict(), path)" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"(S'echo'\nios\nsystem\n",
        b"(cos\nsystem\nS'echo'\no",
        b"cos\nsystem\n)\x81",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R",
        b"\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93)R",
    ],
    ids=["INST", "OBJ", "NEWOBJ", "STACK_GLOBAL", "dotted STACK_GLOBAL"],
)
def test_every_way_to_call_is_closed(torch_files, tmp_path, monkeypatch, body):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("the payload ran"))
    with pytest.raises(WeightsError, match="nothing was run"):
        read_checkpoint(torch_files.write(tmp_path / "evil.pth", False, body, {}))


STORAGE = b"ctorch\nFloatStorage\n"
ORDERED = b"ccollections\nOrderedDict\n"


@BOTH
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (STORAGE + b"}N}b", "attributes are set on something that has none"),
        (STORAGE + b")R", "something is called that is not a function"),
        (b"U\x01x)R", "something is called that is not a function"),
        (ORDERED + b"NR", "something is called that is not a function"),
        (ORDERED + b"(U\x02abtR", "an OrderedDict is not made of keys and values"),
        (b"]U\x01kNs", "keys and values do not go into a dictionary"),
        (b"})" + b"q\x00h\x00\x86" * 60 + b"Ns", "key is neither text nor number"),
        (b"2", "the instruction DUP does not occur"),
        (b"t", "a mark that does not exist"),
        (b"\x87", "the stack is empty"),
        (b"h\x07", "cannot be read"),
        (b"I" + b"9" * 10_000 + b"\n", "cannot be read"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_listed_names_and_plain_data_cannot_be_misused(torch_files, tmp_path, legacy, body, message):
    """The nested tuple, as a key, would take 2 ** 60 steps to hash."""
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(torch_files.write(tmp_path / "evil.pth", legacy, body, {}))


def test_a_bare_pickle_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"w": [1.0]}, 4))
    with pytest.raises(WeightsError, match="it is a pickle, but not a PyTorch checkpoint"):
        read_checkpoint(path)


def test_an_evil_pickle_in_front_of_a_legacy_file(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Payload(builtins.exec, "raise SystemExit"), 2))
    with pytest.raises(WeightsError, match=r"refers to __builtin__\.exec"):
        read_checkpoint(path)


def test_objects_in_an_npz_are_refused(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, w=np.array([Payload(os.system, "echo")], dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match=r"'w\.npy' holds Python objects, which could run code"):
        read_checkpoint(path)


def test_a_storage_name_cannot_leave_the_archive(torch_files, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    path = tmp_path / "evil.pth"
    with zipfile.ZipFile(path, "w") as archive:
        tensor = torch_files.tensor("../../secret", np.float32, 4, (4,))
        archive.writestr("archive/data.pkl", torch_files.pickled(torch_files.mapping([("w", tensor)])))
    with pytest.raises(WeightsError, match="is missing"):
        read_checkpoint(path)
