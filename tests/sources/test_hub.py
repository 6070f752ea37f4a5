"""Weights from the hub: through the hub's own library, from a server on this machine and from caches written by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from generator import sources
from generator.config.sources import ZooSource
from generator.errors import ConfigError, UserError, WeightsError
from generator.records import Preprocessing
from generator.sources.hub import hub_model
from generator.sources.hub_config import read_config
from generator.zoo.registry import entry

REPOSITORY = "timm/tf_efficientnet_lite0.in1k"
COMMIT, NEXT_COMMIT = "0123456789abcdef" * 2 + "01234567", "89abcdef" * 5
WEIGHTS = save({"classifier.weight": np.zeros((2, 3), np.float32)})

#: As timm 1.0.31 writes them (`save_config_for_hf`), and what its `resolve_data_config` makes of them.
PRETRAINED = {
    "tag": "in1k",
    "custom_load": False,
    "input_size": [3, 224, 224],
    "fixed_input_size": False,
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "num_classes": 1000,
    "pool_size": [7, 7],
    "first_conv": "conv_stem",
    "classifier": "classifier",
    "license": "apache-2.0",
}
CONFIG = {
    "architecture": "tf_efficientnet_lite0",
    "num_classes": 1000,
    "num_features": 1280,
    "global_pool": "avg",
    "model_args": {"in_chans": 3, "num_classes": 1000, "global_pool": "avg"},
    "pretrained_cfg": PRETRAINED,
}
RESNET50 = {
    "architecture": "resnet50",
    "num_classes": 1000,
    "num_features": 2048,
    "global_pool": "avg",
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "test_crop_pct": 1.0,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "first_conv": "conv1",
        "license": "apache-2.0",
    },
}


class Hub:
    """A hub with one repository. error: status and `X-Error-Code` of every answer. requests: the paths asked for."""

    def __init__(self, cache: Path):
        self.cache = cache
        self.commits = {COMMIT: {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": WEIGHTS}}
        self.branches = {"main": COMMIT, "v1": COMMIT}
        self.error: tuple[int, str] | None = None
        self.requests: list[str] = []

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(path)
        owner, name, _, revision, file = path.strip("/").split("/", 4)
        commit = self.branches.get(revision, revision)
        if self.error is not None:
            return self.error[0], {"X-Error-Code": self.error[1]}, b""
        if f"{owner}/{name}" != REPOSITORY:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        if commit not in self.commits:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if file not in self.commits[commit]:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        body = self.commits[commit][file]
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{hash(body) & 0xFFFFFFFF:x}"'}, body

    def put_in_cache(self, commit: str = COMMIT, branch: str | None = "main") -> None:
        """The files of a commit, in the layout that the library documents."""
        folder = self.cache / f"models--{REPOSITORY.replace('/', '--')}"
        for name, body in self.commits[commit].items():
            blob, link = folder / "blobs" / f"{name}-{commit[:6]}", folder / "snapshots" / commit / name
            for path in (blob, link):
                path.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(body)
            link.symlink_to(blob)
        if branch is not None:
            (folder / "refs").mkdir(exist_ok=True)
            (folder / "refs" / branch).write_text(commit)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    hub = Hub(tmp_path / "cache")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub.cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub
        server.shutdown()


@pytest.fixture
def offline(hub, monkeypatch) -> Hub:
    """No answer from the hub, whatever is asked."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return hub


def source(**keys: Any) -> ZooSource:
    return ZooSource(**{"kind": "zoo", "name": "efficientnet_lite0", "hub": REPOSITORY, **keys})


def test_what_the_hub_has_is_fetched_once(hub, tmp_path):
    found = hub_model(REPOSITORY, None)
    assert (found.commit, found.weights.name, found.weights.read_bytes()) == (COMMIT, "model.safetensors", WEIGHTS)
    assert found.config.architecture == "tf_efficientnet_lite0"
    asked = len(hub.requests)
    assert hub_model(REPOSITORY, None) == found
    assert hub_model(REPOSITORY, COMMIT) == found
    assert len(hub.requests) == asked


def test_both_files_are_of_one_commit_though_the_branch_moves_on(hub):
    first = hub_model(REPOSITORY, "main")
    hub.commits[NEXT_COMMIT] = {**hub.commits[COMMIT], "model.safetensors": save({"other": np.ones(3, np.float32)})}
    hub.branches["main"] = NEXT_COMMIT
    first.weights.unlink()
    again = hub_model(REPOSITORY, "main")
    assert (again.commit, again.weights.read_bytes()) == (COMMIT, WEIGHTS)
    assert hub_model(REPOSITORY, NEXT_COMMIT).weights.read_bytes() != WEIGHTS


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_the_cache_serves_without_a_network(offline, revision):
    offline.put_in_cache()
    assert hub_model(REPOSITORY, revision).weights.read_bytes() == WEIGHTS
    assert offline.requests == []


def test_pickled_weights_serve_where_there_are_no_others(hub):
    hub.commits[COMMIT]["pytorch_model.bin"] = hub.commits[COMMIT].pop("model.safetensors")
    assert hub_model(REPOSITORY, "v1").weights.name == "pytorch_model.bin"


def test_a_repository_without_weights_is_refused(hub):
    del hub.commits[COMMIT]["model.safetensors"]
    with pytest.raises(WeightsError, match=r"the repository has no model.safetensors and no pytorch_model.bin; .*`weights:`"):
        hub_model(REPOSITORY, None)


def test_a_repository_that_is_not_timms_is_refused(hub):
    del hub.commits[COMMIT]["config.json"]
    with pytest.raises(WeightsError, match=r"the repository has no config.json; name one in timm's form"):
        hub_model(REPOSITORY, None)


@pytest.mark.parametrize(
    ("repository", "revision", "message"),
    [
        ("timm/nothing", None, r"no such repository, or it is private; check the spelling, or log in"),
        (REPOSITORY, "v9", r"at v9: the repository has no such revision; name one of its commits, branches or tags"),
        ("timm/a..b", None, r"cannot be had from the hub: HFValidationError"),
        (REPOSITORY, "../../a\0b", r"the repository has no such revision"),
    ],
)
def test_what_is_not_there_is_named(hub, repository, revision, message):
    with pytest.raises(WeightsError, match=message):
        hub_model(repository, revision)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "GatedRepo", r"open only to those who accepted its terms; accept them on the hub's page of timm/"),
        (403, "", r"the hub does not give it: HfHubHTTPError"),
        (451, "", r"the hub does not give it: HfHubHTTPError"),
    ],
)
def test_what_the_hub_refuses_is_named(hub, status, code, message):
    hub.error = (status, code)
    with pytest.raises(WeightsError, match=message):
        hub_model(REPOSITORY, None)


def test_offline_and_not_in_the_cache(offline):
    with pytest.raises(WeightsError) as caught:
        hub_model(REPOSITORY, None)
    assert "config.json is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it" in str(caught.value)
    assert "unset HF_HUB_OFFLINE once, or download the repository's model.safetensors or pytorch" in str(caught.value)


def test_a_hub_out_of_reach(hub, monkeypatch):
    from huggingface_hub import file_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(*_: Any, **__: Any) -> str:  # the library itself tries six times, which takes 23 seconds
        raise LocalEntryNotFoundError("An error happened") from OSError("[Errno 111] Connection refused")

    monkeypatch.setattr(file_download, "hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(WeightsError, match=r"the hub does not give it: OSError: .*refused; try again with a network"):
        hub_model(REPOSITORY, None)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sources.extras.MODULES, "hub", ("no_such_module",))
    with pytest.raises(
        ConfigError, match=r"tf_efficientnet_lite0.in1k: this needs no_such_module, which is not installed; run `"
    ):
        hub_model(REPOSITORY, None)


def test_a_network_is_described_by_its_repository(offline):
    offline.put_in_cache()
    facts = sources.describe(source(revision=COMMIT), Path())
    zoo = entry("efficientnet_lite0")
    assert facts.preprocessing == Preprocessing(
        size_px=(224, 224), crop_fraction=0.875, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert (facts.input_shape, facts.labels, facts.title) == ((224, 224, 3), zoo.labels(), zoo.title)
    assert (facts.weights.file, facts.weights.num_bytes, facts.weights.licence) == (
        "model.safetensors",
        len(WEIGHTS),
        "apache-2.0",
    )
    assert facts.weights.provenance == f"Hugging Face hub, {REPOSITORY}, commit {COMMIT}"
    assert facts.facts == [("Repository", REPOSITORY), ("Commit", COMMIT)]


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"num_classes": 3}, None),
        ({"num_classes": 2, "label_names": ["cat", "dog"]}, ("cat", "dog")),
        ({"num_classes": 2, "label_names": ["n01", "n02"], "label_descriptions": {"n01": "a cat"}}, ("a cat", "n02")),
        ({"num_classes": 2, "label_names": {"0": "cat", "1": "dog"}}, ("cat", "dog")),
        ({"num_classes": 2, "label_names": {"0": "cat", "5": "dog"}}, None),
        ({"num_classes": 3, "label_names": ["cat", "dog"]}, None),
    ],
)
def test_classes_are_the_repositorys_own(offline, config, labels):
    offline.commits[COMMIT]["config.json"] = json.dumps({**CONFIG, **config}).encode()
    offline.put_in_cache()
    assert sources.describe(source(), Path()).labels == labels


def test_another_architecture_is_refused(offline):
    offline.commits[COMMIT]["config.json"] = json.dumps({**CONFIG, "architecture": "vit_tiny_patch16_224"}).encode()
    offline.put_in_cache()
    with pytest.raises(ConfigError, match=r"'vit_tiny_patch16_224', but `name:` says 'efficientnet_lite0'; the zoo has no"):
        sources.describe(source(), Path())


def test_on_the_command_line_the_repository_says_which_architecture_it_is(offline, tmp_path):
    from generator.starting.networks import Named, source_of

    offline.put_in_cache()
    expected = {"kind": "zoo", "name": "efficientnet_lite0", "hub": REPOSITORY}
    assert source_of(Named(f"hub:{REPOSITORY}"), tmp_path) == (expected, [])
    assert source_of(Named(f"hub:{REPOSITORY}@main"), tmp_path) == ({**expected, "revision": "main"}, [])
    with pytest.raises(ConfigError, match="the repository has its own weights"):
        source_of(Named(f"hub:{REPOSITORY}", "w.pth"), tmp_path)
    for name in ("", "timm", "a/b/c"):
        with pytest.raises(ConfigError, match=f"hub:{name}: .*owner/model"):
            source_of(Named(f"hub:{name}"), tmp_path)


def test_on_the_command_line_an_unknown_architecture_is_refused(offline, tmp_path):
    from generator.starting.networks import Named, source_of

    offline.commits[COMMIT]["config.json"] = json.dumps({**CONFIG, "architecture": "coatnet_0"}).encode()
    offline.put_in_cache()
    with pytest.raises(ConfigError, match="the weights there are of timm's 'coatnet_0'; the zoo has no such architecture"):
        source_of(Named(f"hub:{REPOSITORY}"), tmp_path)


def test_weights_from_the_hub_are_the_networks(offline):
    """The published weights, as they would lie in a repository, give the parameters that the installed package gives."""
    del offline.commits[COMMIT]["model.safetensors"]
    offline.commits[COMMIT]["pytorch_model.bin"] = entry("efficientnet_lite0").weights().read_bytes()
    offline.put_in_cache()
    ours = sources.load(source(), Path())
    packaged = sources.load(ZooSource(kind="zoo", name="efficientnet_lite0"), Path())
    import jax

    assert jax.tree.all(jax.tree.map(np.array_equal, ours.params, packaged.params))


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_sizes_are_those_of_the_training_as_timm_takes_them(tmp_path):
    config = read_config(written(tmp_path, RESNET50), "here")
    assert config.preprocessing == Preprocessing(
        size_px=(224, 224), crop_fraction=0.95, interpolation="bicubic", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )


def test_height_comes_before_width(tmp_path):
    content = {**CONFIG, "pretrained_cfg": {**PRETRAINED, "input_size": [3, 200, 300]}}
    assert read_config(written(tmp_path, content), "here").preprocessing.size_px == (200, 300)


def test_old_files_without_sections_are_read(tmp_path):
    flat = {
        **PRETRAINED,
        "architecture": "resnet18",
        "num_classes": 2,
        "labels": ["cat", "dog"],
        "crop_pct": None,
        "license": None,
    }
    config = read_config(written(tmp_path, flat), "here")
    assert (config.architecture, config.labels, config.licence) == ("resnet18", ("cat", "dog"), "not stated")
    assert config.preprocessing.crop_fraction == 0.875


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"crop_mode": "border"}, r"crop_mode: input should be 'center', got \"border\""),
        ({"interpolation": "hamming"}, r"interpolation: .*got \"hamming\""),
        ({"input_size": [1, 28, 28]}, r"input_size.0: input should be 3, got 1"),
        ({"input_size": [3, 10**9, 1]}, r"input_size.1: .*4096"),
        ({"std": [0.5, 0, 0.5]}, r"std.1: .*greater than 0, got 0"),
        ({"mean": [0.5]}, r"mean.1: field required"),
        ({"mean": [0.5, float("nan"), 0.5]}, r"mean.1: input should be a finite number"),
        ({"crop_pct": 0}, r"crop_pct: .*greater than 0, got 0"),
    ],
)
def test_preprocessing_that_cannot_be_followed_is_refused(tmp_path, changes, rule):
    content = {**CONFIG, "pretrained_cfg": {**PRETRAINED, **changes}}
    with pytest.raises(WeightsError, match=f"^here: config.json cannot be followed: pretrained_cfg.{rule}"):
        read_config(written(tmp_path, content), "here")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe{",
        b"[" * 100_000,
        b'{"architecture": ' + b"9" * 10_000 + b"}",
        b"[1, 2]",
        {"architectures": ["ResNetForImageClassification"], "model_type": "resnet"},
        {"architecture": 7, "pretrained_cfg": PRETRAINED},
        {"architecture": "resnet18", "pretrained_cfg": "tv_in1k"},
        {**CONFIG, "num_classes": 0},
        {**CONFIG, "model_args": {"output_stride": 16}},
        {**CONFIG, "model_args": {"in_chans": 1}},
        {**CONFIG, "global_pool": "max"},
    ],
)
def test_other_files_are_refused_with_a_way_out(tmp_path, content):
    with pytest.raises(UserError, match=r"config.json cannot be followed(.|\n)*; download the weights and name"):
        read_config(written(tmp_path, content), "here")
