"""What runs again after an edit: exactly what the edit can change, and nothing after the point where a result is the same."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from generator.build import digest
from generator.build.store import Store
from generator.pages import assets
from tests.tiny_gallery import SHAPES

PROBES = ("zone-plate", "o-0", "x-0", "noise")
JOURNEYS = {f"page:m/net/probes/{probe}.html" for probe in PROBES}
LAYER_PAGES = {"page:m/net/edges.html", "page:m/net/classes-2.html"}
NUMBERS = {"page:m/net/edges.js", "page:m/net/classes-2.js"}
#: Pages of the walkthrough that show something of this gallery; and those that say the same in any that has no more views.
FIRST_FILTERS = {"page:walkthrough/filters.html"}
WALKTHROUGH = {f"page:walkthrough/{step}.html" for step in ("index", "load", "layers", "maps", "yours")} | FIRST_FILTERS
STEADY = {f"page:walkthrough/{step}.html" for step in ("visualisations", "exemplars", "health", "classes")}
STEADY |= {"page:glossary.html"}
MODEL = {"page:m/net/index.html", "page:m/net/summary.html"}
HTML = {"page:index.html", "page:about.html"} | MODEL | WALKTHROUGH | STEADY | JOURNEYS | LAYER_PAGES
PAGES = HTML | NUMBERS


def of_probes(kind: str, *probes: str) -> set[str]:
    return {f"{kind}:net/{probe}" for probe in probes or PROBES}


def maps(*probes: str, layers: tuple[str, ...] = ("edges", "classes")) -> set[str]:
    return {f"feature_maps:net/{layer}/{probe}/activation" for layer in layers for probe in probes or PROBES}


FILTERS = {"filters:net/edges", "filters:net/classes"}
COMPUTING = {"network:net", "stimuli:net"} | of_probes("activations")
UNITS = {"stimuli:net", "tuning:net", "wires:net"}
FROM_ACTIVATIONS = maps() | of_probes("predictions")


def ran(gallery) -> set[str]:
    return set(gallery.build()[1])


def test_a_second_build_runs_nothing_and_touches_nothing(tiny):
    def stamps() -> dict[str, tuple[int, int]]:
        files = (path for path in tiny.site.rglob("*") if path.is_file() and path.name != "lock")
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}

    before = stamps()
    summary, reasons = tiny.build()
    assert (summary.tasks_run, summary.written, summary.removed, reasons) == (0, 0, 0, {})
    assert summary.tasks_total == len({"network:net", "colormaps", "outline"} | of_probes("probe") | of_probes("activations")
                                      | FROM_ACTIVATIONS | FILTERS | UNITS | PAGES)  # fmt: skip
    assert stamps() == before


def test_title(tiny):
    tiny.config["title"] = "Another"
    assert ran(tiny) == {"outline"} | HTML


def test_description(tiny):
    tiny.config["description"] = "Other words."
    assert ran(tiny) == {"outline", "page:index.html", "page:about.html"}


def test_a_comment_reaches_only_the_page_that_shows_the_configuration(tiny):
    tiny.write()
    tiny.write = lambda: None
    tiny.path.write_text(tiny.path.read_text() + "# a remark\n")
    assert ran(tiny) == {"outline", "page:about.html"}


def test_layer_added(tiny):
    tiny.model["layers"] = "all"
    new = ("corners", "max_pool_1", "mean_1")
    pages = {f"page:m/net/{layer}.{suffix}" for layer in new for suffix in ("html", "js")}
    # The numbers of `classes` link to its input, which has a page now.
    changed = HTML - FIRST_FILTERS - STEADY | {"outline", "page:m/net/classes-2.js"}
    tuned = {"stimuli:net", "tuning:net"}
    assert ran(tiny) == of_probes("activations") | maps(layers=new) | {"filters:net/corners"} | tuned | pages | changed


def test_layer_removed(tiny):
    tiny.model["layers"] = ["edges"]
    told = {"page:about.html", "page:m/net/index.html", "page:walkthrough/layers.html"}
    changed = told | JOURNEYS | LAYER_PAGES - {"page:m/net/classes-2.html"}
    assert ran(tiny) == of_probes("activations") | {"outline", "stimuli:net", "tuning:net"} | changed
    assert not (tiny.site / "m/net/classes-2.html").exists()


def test_probe_added(tiny):
    Image.new("RGB", (16, 16), "red").save(tiny.folder / "pictures" / "red.png")
    mine = {"probe:net/red", "activations:net/red", "predictions:net/red", "page:m/net/probes/red.html"} | maps("red")
    neighbour = {"page:m/net/probes/noise.html"}  # leads on to it
    assert ran(tiny) == mine | neighbour | {"outline", "page:index.html", "page:m/net/index.html"} | LAYER_PAGES | NUMBERS | (
        {"page:about.html"}
    )


def test_probe_removed(tiny):
    tiny.model["probes"] = ["made", "own"]
    found = ran(tiny)
    assert found - HTML == {"outline"} | NUMBERS
    assert "page:m/net/probes/noise.html" not in found


def test_pixels_of_one_probe(tiny):
    Image.new("L", (24, 20), 77).save(tiny.folder / "pictures" / "noise.png")
    mine = {"probe:net/noise", "activations:net/noise", "predictions:net/noise"} | maps("noise")
    pages = {"page:index.html", "page:m/net/index.html", "page:m/net/probes/noise.html"} | LAYER_PAGES | NUMBERS
    assert ran(tiny) == mine | {"outline"} | pages


def test_number_of_strongest_inputs(tiny):
    tiny.model["views"] |= {"filters": {"num_strongest": 2}}
    found = ran(tiny)
    assert found - LAYER_PAGES == FILTERS | {"outline", "page:about.html"} | NUMBERS


def test_range_of_pixels(tiny):
    tiny.model["preprocessing"] = {"range": [0, 255], "mean": 128}
    tuned = {"stimuli:net", "tuning:net"}
    expected = (
        of_probes("probe") | of_probes("activations") | FROM_ACTIVATIONS | {"outline"} | tuned | PAGES - FIRST_FILTERS - STEADY
    )
    assert ran(tiny) - {"page:index.html"} == expected - {"page:index.html"}


def test_size_of_images(tiny):
    tiny.model["source"]["input_shape"] = [8, 8, 3]
    assert ran(tiny) >= {"network:net"} | of_probes("probe") | of_probes("activations") | FROM_ACTIVATIONS


def test_weights(tiny):
    tiny.write_weights(seed=5)
    assert ran(tiny) == COMPUTING | FILTERS | UNITS | FROM_ACTIVATIONS | {"outline"} | PAGES - STEADY


def test_one_weight_of_the_last_layer_leaves_the_first_one_alone(tiny):
    tensors = load_file(tiny.folder / "net.safetensors")
    tensors["classes/bias"] = tensors["classes/bias"] + 1
    save_file(tensors, tiny.folder / "net.safetensors")
    found = ran(tiny)
    assert ({"filters:net/edges", "colormaps"} | maps(layers=("edges",)) | of_probes("probe")) & found == set()
    assert found >= COMPUTING | {"filters:net/classes"} | maps(layers=("classes",)) | of_probes("predictions")


def test_labels(tiny):
    tiny.model["labels"] = ["a", "b", "c"]
    found = ran(tiny)
    assert found - PAGES == of_probes("predictions") | {"outline"}
    assert found >= JOURNEYS


def test_a_label_in_a_file_that_is_no_answer(tiny):
    """The config stays the same, and so do all predictions; only units have other names."""
    network = tiny.folder / "net.py"
    network.write_text(network.read_text().replace("Dense(3,", "Dense(99,"))
    tiny.write_weights(seed=1, shapes={**SHAPES, "classes": (6, 99)})
    names, file = [f"class-{n:02}" for n in range(99)], tiny.folder / "labels.txt"
    tiny.model["labels"] = file.name
    file.write_text("\n".join(names))
    tiny.build()
    journeys = "".join(page.read_text() for page in (tiny.site / "m/net/probes").glob("*.html"))
    unseen = next(n for n in range(99) if names[n] not in journeys)
    file.write_text("\n".join([*names[:unseen], "other", *names[unseen + 1 :]]))
    named = {"page:m/net/classes-2.html", "page:m/net/classes-2/filters.html"}
    assert ran(tiny) == of_probes("predictions") | {"outline"} | named
    assert f'aria-label="Unit {unseen}, other"' in (tiny.site / "m/net/classes-2.html").read_text()


def test_other_values_of_the_same_maps(tiny):
    tiny.model["views"] |= {"feature_maps": {"values": ["activation", "pre_activation"]}}
    found = ran(tiny)
    assert found - PAGES == of_probes("activations") | {"outline"} | {
        task.replace("/activation", "/pre_activation") for task in maps()
    }


def test_a_view_switched_off(tiny):
    tiny.model["views"] |= {"feature_maps": False, "filters": False}
    assert ran(tiny) - PAGES == of_probes("activations") | {"outline"}
    assert tiny.run("check").code == 0


@pytest.mark.parametrize("folder", ["first", "second"])
def test_code_of_the_network_in_files_of_one_name(tiny, folder):
    for name in ("first", "second"):
        (tiny.folder / name).mkdir()
        (tiny.folder / name / "sizes.py").write_text("factor = 1\n")
    code = (tiny.folder / "net.py").read_text().replace("(x.mean((1, 2)))", "(x.mean((1, 2)) * one * other)")
    imports = "from first.sizes import factor as one\nfrom second.sizes import factor as other\n"
    (tiny.folder / "net.py").write_text(imports + code)
    tiny.build()
    (tiny.folder / folder / "sizes.py").write_text("factor = 2\n")
    again = ran(tiny)
    assert again >= COMPUTING


def test_same_network_from_other_bytes_stops_there(tiny):
    tensors = load_file(tiny.folder / "net.safetensors")
    save_file(tensors, tiny.folder / "net.safetensors", metadata={"saved": "again"})
    found = ran(tiny)  # the pages name the file's digest
    assert found - HTML == COMPUTING | {"outline"}
    with (tiny.folder / "net.py").open("a") as file:
        file.write("# a remark\n")
    assert ran(tiny) == COMPUTING


def test_same_pixels_from_other_bytes_stop_there(tiny):
    with Image.open(tiny.folder / "pictures" / "noise.png") as image:
        image.load()
    image.save(tiny.folder / "pictures" / "noise.png", compress_level=0)
    assert ran(tiny) == {"probe:net/noise"}


def test_a_template(tiny, tmp_path, monkeypatch):
    folder = shutil.copytree(assets.templates_folder(), tmp_path / "templates")
    (folder / "about.html.jinja").write_text((folder / "about.html.jinja").read_text() + "<!-- more -->\n")
    monkeypatch.setattr("generator.build.gallery.templates_digest", lambda: "changed")
    summary, reasons = tiny.build()
    assert set(reasons) == {"outline"} | PAGES
    assert {str(reason) for reason in reasons.values()} == {"changed: its templates"}
    assert summary.written == 0  # nothing in it had changed


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("render/colormaps.py", {"colormaps"} | FILTERS | {"wires:net"}),
        ("views/feature_maps.py", maps()),
        ("views/filters.py", FILTERS | {"wires:net"}),
        ("views/predictions.py", of_probes("predictions")),
        ("network/trace.py", COMPUTING | {"tuning:net"}),
        ("probes/images.py", of_probes("probe")),
        ("pages/rendering.py", PAGES),
        ("pages/model_page.py", {"outline"}),
    ],
)
def test_code(tiny, tmp_path, monkeypatch, module, expected):
    """A remark in one of our modules runs again what uses it; no result changes, so nothing after that does."""
    package = shutil.copytree(digest.PACKAGE, tmp_path / "generator", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    with (package / module).open("a") as file:
        file.write("# a remark\n")
    monkeypatch.setattr(digest, "PACKAGE", package)
    for name in ("of_code", "of_module"):
        monkeypatch.setattr(digest, name, getattr(digest, name).__wrapped__)
    summary, reasons = tiny.build()
    assert set(reasons) == expected
    assert summary.written == 0


def test_reasons(tiny):
    tiny.model["labels"] = ["a", "b", "c"]
    tiny.model["layers"] = "all"
    reasons = {task: str(reason) for task, reason in tiny.build()[1].items()}
    assert reasons["predictions:net/noise"] == "changed: its labels"
    assert reasons["activations:net/noise"] == "changed: its layers"
    assert reasons["filters:net/corners"] == "never run before"
    assert reasons["outline"].startswith("changed: feature_maps:net/corners/")
    assert "more" in reasons["outline"]


def test_a_result_that_is_gone_is_told_from_one_that_never_was(tiny):
    shutil.rmtree(tiny.store / "objects")
    assert {str(reason) for reason in tiny.build()[1].values()} == {"its result is no longer in the store"}


def test_going_back_runs_nothing(tiny):
    labels = tiny.model["labels"]
    tiny.model["labels"] = ["a", "b", "c"]
    tiny.build()
    tiny.model["labels"] = labels
    assert ran(tiny) == set()


def test_results_do_not_depend_on_where_the_gallery_lies(built_tiny, tiny):
    assert tiny.folder != built_tiny.folder
    assert ran(tiny) == set()
    assert isinstance(Store(tiny.store).find("0" * 64), type(None))


def test_arrays_keep_their_values():
    from generator.build.arrays import compact, from_bytes, to_bytes

    fine = np.float32([[1e-9, 2e-9]])
    assert compact(fine).dtype == np.float32  # would be zero in 16 bits
    assert compact(np.float32([1e6])).dtype == np.float32  # would be infinite
    assert compact(np.float32([0, 1.5, np.nan])).dtype == np.float16
    for array in (fine.T, np.float32(3)):
        np.testing.assert_array_equal(from_bytes(to_bytes(array)), array, strict=True)
