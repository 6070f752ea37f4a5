"""What the checks say of `datasets:` and of models that use them."""

from pathlib import Path

import numpy as np
import pytest

from generator.config.load import load
from generator.errors import ConfigError


def config(*datasets: str, model: str = "") -> str:
    """A file with a sound model (line 2, with `model` added to it) and datasets, each a line from 6 on."""
    lines = ["models:", f"  - {{name: net, source: {{kind: zoo, name: n}}, probes: [s]{model}}}", "probes:"]
    lines += ["  - {name: s, kind: synthetic}", "datasets:" if datasets else "", *(f"  - {dataset}" for dataset in datasets)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", images=np.zeros((1, 4, 4), np.uint8))
    Path("i.idx").touch()
    Path("l.csv").write_text("i.idx,a\n")
    Path("mnist").mkdir()
    return tmp_path


def problems(text: str) -> list[str]:
    Path("a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Path("a.yaml"))
    return [str(problem) for problem in caught.value.problems]


def test_every_kind_loads(folder):
    text = config(
        "{name: f, kind: folder, path: '*.idx', class_folders: true, limit: 5, title: Mine}",
        "{name: i, kind: idx, images: i.idx, labels: i.idx, label_names: [a, b]}",
        "{name: n, kind: npz, path: a.npz}",
        "{name: c, kind: crops, probes: [s, s/dots], scales: [0.3, 0.3], seed: 4}",
        "{name: z, kind: zoo, model: fashion_cnn}",
        "{name: l, kind: csv, path: l.csv, limit: 3}",
        "{name: p, kind: published, dataset: mnist, path: mnist}",
        "{name: q, kind: published, dataset: cifar100, labels: coarse, split: train}",
        "{name: k, kind: npz, path: a.npz, split: test, layout: channels_first}",
        model=", dataset: c, views: {exemplars: {highest: 4}}",
    )
    Path("a.yaml").write_text(text)
    loaded = load(Path("a.yaml")).config
    assert [dataset.kind for dataset in loaded.datasets] == [
        *("folder", "idx", "npz", "crops", "zoo", "csv", "published", "published", "npz")
    ]
    assert loaded.datasets[6].split == "test"
    assert loaded.models[0].dataset == "c"
    assert loaded.datasets[3].scales == (0.3, 0.3)


SOUND = "{name: d, kind: zoo, model: fashion_cnn}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (config(SOUND, model=", dataset: dd"), "a.yaml:2: models[0].dataset: no dataset 'dd'; did you mean 'd'? (known: d)"),
        (config(model=", dataset: d"), "models[0].dataset: no dataset 'd'; define one below `datasets:`"),
        (config(SOUND, SOUND.replace("d,", "D,")), "a.yaml:7: datasets[1].name: the name 'D' is taken already; it is also at"),
        (config("{name: c, kind: crops, probes: [s, t]}"), "a.yaml:6: datasets[0].probes[1]: no probe set 't'; (known: s)"),
        (config("{name: c, kind: crops, probes: [s/a/b]}"), "datasets[0].probes[0]: expected `set/probe`, got 's/a/b'"),
        (config("{name: c, kind: crops, probes: [s, s]}"), "datasets[0].probes[1]: 's' is listed twice"),
        (config("{name: c, kind: crops, probes: []}"), "datasets[0].probes: is empty"),
        (config("{name: c, kind: crops, probes: [s], scales: [0.5, 0.2]}"), "scales: must not fall, got [0.5, 0.2]; write"),
        (config("{name: c, kind: crops, probes: [s], scales: [0, 1]}"), "datasets[0].scales[0]: must be above 0, got 0"),
        (config("{name: f, kind: folder, path: 'x/*.png'}"), "datasets[0].path: nothing matches 'x/*.png'"),
        (config("{name: n, kind: npz, path: b.npz}"), "a.yaml:6: datasets[0].path: no file 'b.npz'; did you mean 'a.npz'?"),
        (config("{name: i, kind: idx, images: no.idx}"), "datasets[0].images: no file 'no.idx'"),
        (config("{name: i, kind: idx, images: i.idx, labels: no.idx}"), "datasets[0].labels: no file 'no.idx'"),
        (config("{name: i, kind: idx, images: i.idx, label_names: [a]}"), "label_names: names of classes, but no `labels`"),
        (config("{name: n, kind: npz, path: a.npz, limit: 0}"), "datasets[0].limit: must be above 0, got 0"),
        (config("{name: a/b, kind: npz, path: a.npz}"), "datasets[0].name: a name becomes part of a URL"),
        (config("{name: l, kind: csv, path: k.csv}"), "a.yaml:6: datasets[0].path: no file 'k.csv'; did you mean 'l.csv'?"),
        (config("{name: p, kind: published}"), "datasets[0].dataset: this key is missing"),
        (config("{name: p, kind: published, dataset: emnist}"), "datasets[0].dataset: "),
        (
            config("{name: p, kind: published, dataset: mnist, path: minst}"),
            "a.yaml:6: datasets[0].path: no folder or file 'minst'; leave it out to have it fetched",
        ),
        (
            config("{name: p, kind: published, dataset: mnist, labels: coarse}"),
            "datasets[0].labels: only cifar100 has coarse labels; leave `labels` out",
        ),
        (config("{name: n, kind: npz, path: a.npz, layout: nchw}"), "datasets[0].layout: "),
        (config("{name: n, kind: npz, path: a.npz, split: val}"), "datasets[0].split: "),
        (config("{name: n, kind: tar}"), "datasets[0].kind: unknown kind 'tar'"),
        (config(model=", views: {exemplars: {}}"), "models[0].views.exemplars: exemplars are drawn from a dataset"),
        (
            config(model=", views: {feature_vis: {select: [{units: {top: 3, by: exemplars}}]}}"),
            "models[0].views.feature_vis.select[0].units.by: units are ranked by the exemplars of a dataset",
        ),
    ],
)
def test_faults(folder, text, expected):
    assert [problem for problem in problems(text) if expected in problem] != [], problems(text)


def test_exemplars_are_left_out_in_silence_where_nothing_is_said_of_them(folder):
    Path("a.yaml").write_text(config(model=", views: {exemplars: false, filters: {}}"))
    assert load(Path("a.yaml")).config.models[0].dataset is None


def test_every_fault_is_reported_at_once(folder):
    text = config("{name: i, kind: idx, images: x}", "{name: c, kind: crops, probes: [t]}", model=", dataset: q")
    assert len(problems(text)) == 3


PROBES = """models:
  - {name: net, source: {kind: zoo, name: n}, probes: [i, l, p, k]}
probes:
"""


def test_probe_sets_of_the_same_kinds(folder):
    text = PROBES + "".join(
        f"  - {entry}\n"
        for entry in (
            "{name: i, kind: idx, images: i.idx, labels: i.idx, per_class: 1}",
            "{name: l, kind: csv, path: l.csv}",
            "{name: p, kind: published, dataset: cifar10}",
            "{name: k, kind: npz, path: a.npz, split: test}",
        )
    )
    Path("a.yaml").write_text(text)
    loaded = load(Path("a.yaml")).config
    assert [probe_set.kind for probe_set in loaded.probes] == ["idx", "csv", "published", "npz"]
    assert loaded.probes[2].per_class == 2
    for name in ("images: i.idx", "labels: i.idx", "path: l.csv", "path: a.npz"):
        assert any("no file 'none'" in text_ for text_ in problems(text.replace(name, f"{name.split(':')[0]}: none")))
    changed = text.replace("dataset: cifar10", "dataset: cifar10, labels: coarse")
    assert any("a.yaml:6: probes[2].labels: only cifar100" in text_ for text_ in problems(changed))
    changed = text.replace("labels: i.idx, per_class: 1", "label_names: [a]")
    assert any("probes[0].label_names: names of classes, but no `labels`" in text_ for text_ in problems(changed))
