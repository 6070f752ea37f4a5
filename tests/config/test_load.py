"""The whole way from a file to a configuration or to every problem at once."""

from __future__ import annotations

import string
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.config.load import load
from generator.errors import ConfigError

ROOT = Path(__file__).parents[2]

SOUND = """\
title: T
models:
  - name: net
    source: {kind: zoo, name: fashion_cnn}
    probes: [fashion, fashion/boot-1]
probes:
  - {name: fashion, kind: zoo, model: fashion_cnn}
"""


@pytest.fixture
def problems(tmp_path: Path, monkeypatch):
    """The problems of a text, with the file's name for a path."""
    monkeypatch.chdir(tmp_path)

    def _problems(text: str) -> list[str]:
        Path("a.yaml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(Path("a.yaml"))
        return [str(problem) for problem in caught.value.problems]

    return _problems


def model(**parts: str) -> str:
    """A file with one model; the parts replace or add to its lines. The first of the parts given is in line 2."""
    lines = {"name": "net", "source": "{kind: zoo, name: n}", "probes": "[s]"}
    rest = {key: value for key, value in lines.items() if key not in parts}
    rows = [f"{key}: {value}" for key, value in {**parts, **rest}.items() if value != "-"]
    return "models:\n  - " + "\n    ".join(rows) + "\nprobes:\n  - {name: s, kind: synthetic}\n"


def probe_set(text: str) -> str:
    return model().replace("{name: s, kind: synthetic}", text)


def test_the_default_gallery_loads():
    loaded = load(ROOT / "configs" / "default.yaml")
    assert [m.name for m in loaded.config.models] == ["efficientnet-lite0", "fashion-cnn"]
    assert loaded.base == ROOT / "configs"


def test_loading_needs_neither_jax_nor_numpy_and_no_time():
    code = (
        "import sys; from pathlib import Path; from generator.config.load import load; load(Path('configs/default.yaml'));"
        "print(sorted({'jax', 'numpy', 'matplotlib', 'flax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.strip() == "[]"
    start = time.process_time()
    load(ROOT / "configs" / "default.yaml")
    assert time.process_time() - start < 0.3


def test_later_stages_can_name_places(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(SOUND)
    loaded = load(file)
    assert loaded.place("models", 0, "probes", 1) == f"{file}:5: models[0].probes[1]"
    assert loaded.place("models", 0, "layers", 3) == f"{file}:3: models[0].layers[3]"
    assert loaded.lines["probes", 0, "model"] == 7
    with pytest.raises(TypeError):
        loaded.lines["probes",] = 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (model(titel="x"), "a.yaml:2: models[0].titel: unknown key 'titel'; did you mean 'title'? (known: name, title,"),
        (model(source="{kind: zoo}"), "a.yaml:2: models[0].source.name: this key is missing; add `name:` with text"),
        (model(name="-"), "a.yaml:2: models[0].name: this key is missing; add `name:` with text"),
        (model(title="5"), "a.yaml:2: models[0].title: expected text, got 5; put it in quotes to make it text"),
        (model(title="yes"), "a.yaml:2: models[0].title: expected text, got true; put it in quotes to make it text"),
        (model(description=""), "a.yaml:2: models[0].description: expected text, got nothing; give a value"),
        (model(probes="s"), 'a.yaml:2: models[0].probes: expected a list of texts, got "s"; write a list: [s]'),
        (model(probes="[]"), "a.yaml:2: models[0].probes: is empty; give at least one entry"),
        (
            model(layers="al"),
            'a.yaml:2: models[0].layers: expected a list of texts, or "all", "default" or "stages", got "al"',
        ),
        (model(layers="[conv, 2]"), "a.yaml:2: models[0].layers[1]: expected text, got 2"),
        (model(source="5"), "a.yaml:2: models[0].source: expected keys with values (`key: value`), got 5"),
        (model(source="{kind: zooo, name: n}"), "a.yaml:2: models[0].source.kind: unknown kind 'zooo'; did you mean 'zoo'?"),
        (model(source="{kind: [zoo]}"), "a.yaml:2: models[0].source.kind: "),
        (
            model(source="{name: n}"),
            "a.yaml:2: models[0].source.kind: this key is missing; add `kind:` with zoo, flax, function, onnx, keras or torch",
        ),
        (model(source="{kind: zoo, name: n, zoo: 1}"), "a.yaml:2: models[0].source.zoo: unknown key 'zoo'"),
        (model(views="{filters: {num_strongest: many}}"), 'num_strongest: expected a whole number, got "many"'),
        (model(views="{filters: {num_strongest: 17}}"), "models[0].views.filters.num_strongest: must be at most 16, got 17"),
        (model(views="{filters: true}"), "views.filters: expected keys with values (`key: value`), or false, got true"),
        (model(views="{feature_maps: {values: [actvation]}}"), 'values[0]: expected "activation" or "pre_activation", got'),
        (model(preprocessing="{size_px: 0}"), "a.yaml:2: models[0].preprocessing.size_px: must be at least 1, got 0"),
        (model(preprocessing="{size_px: [9, 4097]}"), "preprocessing.size_px[1]: must be at most 4,096, got 4097"),
        (model(preprocessing="{size_px: [1]}"), "size_px: expected a list of 2 whole numbers, got a list of 1"),
        (model(preprocessing="{size_px: [1, 2, 3]}"), "expected a list of 2 whole numbers, or a whole number, got a list of 3"),
        (model(preprocessing="{range: [1, 0]}"), "models[0].preprocessing.range: must rise, got [1, 0]"),
        (model(preprocessing="{range: [0]}"), "models[0].preprocessing.range: expected a list of 2 numbers, got a list of 1"),
        (model(preprocessing="{std: 0}"), "models[0].preprocessing.std: no standard deviation can be 0"),
        (model(preprocessing="{std: [1, 0.0, 1]}"), "models[0].preprocessing.std: no standard deviation can be 0"),
        (model(preprocessing="{mean: .nan}"), "models[0].preprocessing.mean: must be a finite number, got nan"),
        (model(preprocessing="{mean: [1, 2]}"), "models[0].preprocessing.mean: images have 1 or 3 channels, got 2 numbers"),
        (model(preprocessing="{channels: grey, std: [1, 2, 3]}"), "std: grey images have 1 channels, got 3 numbers"),
        (
            model(preprocessing="{channels: gray}"),
            'channels: expected "rgb", "bgr" or "grey", got "gray"; did you mean \'grey\'?',
        ),
        (model(preprocessing="{crop_fraction: 0}"), "models[0].preprocessing.crop_fraction: must be above 0, got 0"),
        (model(name="a/b"), "models[0].name: a name becomes part of a URL: 1-64 letters a-z"),
        (model(name="Größe 3"), "got 'Größe 3'; write 'Groe-3'; any text can be a `title:`"),
        (model(name=".."), "got '..'; any text can be a `title:`"),
        (model(name="<script>"), "got '<script>'; write 'script'"),
        (model(name="''"), "models[0].name: a name becomes part of a URL"),
        (model(probes="[t]"), "a.yaml:2: models[0].probes[0]: no probe set 't'; (known: s)"),
        (model(probes="[s, sx/cat]"), "a.yaml:2: models[0].probes[1]: no probe set 'sx'; did you mean 's'? (known: s)"),
        (model(probes="[s/a/b]"), "models[0].probes[0]: expected `set/probe`, got 's/a/b'; write `s` for the whole set"),
        (model(probes="[s/]"), "models[0].probes[0]: expected `set/probe`, got 's/'"),
        (model(probes="[s/a, s, s/a]"), "models[0].probes[2]: 's/a' is listed twice"),
        (
            model(source="{kind: zoo, name: n, weights: no.pth}"),
            "models[0].source.weights: no file 'no.pth'; (known: a.yaml); paths",
        ),
        (model(source="{kind: zoo, name: n, weights: .}"), "models[0].source.weights: '.' is a folder, not a file"),
        (model(source="{kind: zoo, name: n, weights: b/n.pth}"), "no file 'b/n.pth'; there is no folder"),
        (model(source="{kind: zoo, name: n, weights: ''}"), "models[0].source.weights: is empty"),
        (
            model(source="{kind: zoo, name: n, hub: timm/n, weights: a.yaml}"),
            "models[0].source.hub: weights come from a file or from the hub, not from both; leave one",
        ),
        (model(source="{kind: zoo, name: n, revision: main}"), "models[0].source.revision: a revision belongs to a repository"),
        (model(labels="names.txt"), "a.yaml:2: models[0].labels: no file 'names.txt'"),
        (model(labels='"a\\0b"'), "a.yaml:2: models[0].labels: no file 'a\\x00b'"),
        (model(labels="[]"), "a.yaml:2: models[0].labels: is empty"),
        (probe_set("{name: s, kind: folder, path: '*.jpg'}"), "a.yaml:6: probes[0].path: nothing matches '*.jpg'; paths start"),
        (probe_set('{name: s, kind: folder, path: "\\0*"}'), "a.yaml:6: probes[0].path: nothing matches"),
        (probe_set("{name: s, kind: npz, path: x.npz}"), "a.yaml:6: probes[0].path: no file 'x.npz'"),
        (probe_set("{name: s, kind: photo}"), "probes[0].kind: unknown kind 'photo'; did you mean 'photographs'?"),
        (probe_set("{name: s, kind: synthetic, size_px: 8}"), "probes[0].size_px: must be at least 16, got 8"),
        (probe_set("{name: s, kind: synthetic, size_px: 64.5}"), "probes[0].size_px: expected a whole number, got 64.5"),
        (
            probe_set("{name: s, kind: synthetic}\n  - {name: S, kind: synthetic}"),
            "a.yaml:7: probes[1].name: the name 'S' is taken",
        ),
        ("base_url: example.org\n" + model(), "a.yaml:1: base_url: expected an address such as 'https://"),
        ("base_url: http://[x\n" + model(), "a.yaml:1: base_url: expected an address"),
        ("base_url: https://a.org/?q=1\n" + model(), "a.yaml:1: base_url: expected an address"),
        ("models: []\nprobes: [{name: s, kind: synthetic}]\n", "a.yaml:1: models: is empty; give at least one entry"),
        (model() + "models: 5\n", "a.yaml:7: models: the key is given twice, in lines 1 and 7"),
    ],
)
def test_one_fault_gives_one_problem(problems, text, expected):
    (problem,) = problems(text)
    assert expected in problem
    assert "a.yaml:" in problem


FLAX = "{kind: flax, module: 'm:C', checkpoint: a.yaml, input_shape: [28, 28, 1]}"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"source": FLAX.replace("m:C", "m.C")}, "source.module: expected `package.file:Name`, got 'm.C'"),
        ({"source": FLAX.replace("a.yaml", "c.npz")}, "source.checkpoint: no file 'c.npz'"),
        ({"source": FLAX.replace("28, 28, 1", "28, 28")}, "input_shape: expected a list of 3 whole numbers, got a list of 2"),
        (
            {"source": FLAX, "preprocessing": "{size_px: 32}"},
            "size_px: is 32 x 32, but the source's `input_shape` says 28 x 28",
        ),
        ({"source": FLAX, "preprocessing": "{size_px: [28, 32]}"}, "size_px: is 28 x 32, but"),
        ({"source": FLAX, "preprocessing": "{channels: rgb}"}, "channels: rgb images have 3 channels, but the source's"),
    ],
)
def test_a_module_and_its_preprocessing_must_agree(problems, parts, expected):
    (problem,) = problems(model(**parts))
    assert expected in problem


def test_what_is_sound_loads(tmp_path):
    for name in ("labels.txt", "w.npz", "one.png", "set.npz"):
        (tmp_path / name).write_text("")
    (tmp_path / "b.yaml").write_text(
        """\
base_url: https://name.github.io/gallery/
models:
  - name: Net_2.b-1
    title: <any> "text" / ünïcödé
    source: {kind: flax, module: 'pkg.file:Net', checkpoint: w.npz, input_shape: [28, 30, 3], arguments: {w: 3, '3': [1e-3]}}
    preprocessing: {size_px: [28, 30], channels: bgr, range: [-1, 1], mean: [1, 2, 3], std: 2, crop_fraction: 1}
    labels: labels.txt
    layers: [conv*, a.b]
    probes: [f/one, n]
    views: {filters: false, feature_maps: {values: [pre_activation, activation]}}
probes:
  - {name: f, kind: folder, path: '*.png', per_class: 2}
  - {name: n, kind: npz, path: set.npz}
"""
    )
    chosen = load(tmp_path / "b.yaml").config.models[0]
    assert chosen.source.arguments == {"w": 3, "3": [0.001]}
    assert chosen.preprocessing.mean == (1.0, 2.0, 3.0)
    assert chosen.views.filters is False


def test_everything_is_reported_at_once_and_by_line(problems):
    found = problems(
        """\
titel: x
models:
  - nmae: one
    source: {kind: zoo, name: n, weights: gone.pth}
    layres: all
    probes: [s, tt]
  - name: two
    name: three
    preprocessing: {std: 0, mean: [1, 2]}
    probes: nothing
probes:
  - {name: s, kind: synthetic, size_px: 1}
  - {name: s, kind: npz, path: gone.npz}
"""
    )
    assert [problem.removeprefix("a.yaml:").split(": ")[:2] for problem in found] == [
        ["1", "titel"],
        ["3", "models[0].nmae"],
        ["4", "models[0].source.weights"],
        ["5", "models[0].layres"],
        ["6", "models[0].probes[1]"],
        ["7", "models[1].source"],
        ["8", "models[1].name"],
        ["9", "models[1].preprocessing.std"],
        ["9", "models[1].preprocessing.mean"],
        ["10", "models[1].probes"],
        ["12", "probes[0].size_px"],
        ["13", "probes[1].name"],
        ["13", "probes[1].path"],
    ]


def outcome(folder: Path, text: bytes) -> None:
    (folder / "fuzz.yaml").write_bytes(text)
    error = None
    try:
        load(folder / "fuzz.yaml")
    except ConfigError as caught:
        error = caught
    assert error is None or (error.problems and all(problem.place and problem.message for problem in error.problems))


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.sampled_from(["all", "zoo", "flax", "kind", "FlaxSource", "fashion", "1", "*.png", "", "..", "\0", "\ud800", "a: b"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(string.printable, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@FUZZ
@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.text("[]{}:,-&*!|>'\"%@`#?\n\t \\Uax<0_", max_size=40).map(str.encode)
)
def test_random_text_is_only_ever_a_config_error(tmp_path, text):
    outcome(tmp_path, text)


def paths(value, before=()):
    """Every path of keys in nested data, for replacing one of them."""
    yield before
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from paths(inner, (*before, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


EVERYTHING = {
    "title": "t",
    "base_url": "https://a.org",
    "models": [
        {
            "name": "net",
            "source": {"kind": "flax", "module": "m:C", "arguments": {"a": 1}, "checkpoint": "c", "input_shape": [1, 2, 3]},
            "preprocessing": {"size_px": [1, 2], "range": [0, 1], "mean": [0.5], "std": 1, "channels": "rgb"},
            "labels": ["a"],
            "layers": ["x"],
            "probes": ["s"],
            "views": {"filters": {"num_strongest": 3}, "feature_maps": False},
        }
    ],
    "probes": [{"name": "s", "kind": "folder", "path": "*", "per_class": 1}, {"name": "t", "kind": "synthetic"}],
}


@FUZZ
@given(st.sampled_from(list(paths(EVERYTHING))), VALUES)
def test_any_value_anywhere_is_only_ever_a_config_error(tmp_path, path, value):
    outcome(tmp_path, yaml.safe_dump(replaced(EVERYTHING, path, value)).encode("utf-8", "surrogatepass"))
