"""Programs of `torch.export`: a good one is copied as it is, and nothing that could run code gets through."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generator.errors import WeightsError
from generator.sources.torch_programs import safe_copy

GOOD = Path(__file__).with_name("data") / "plain.pt2"


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The good program with its entries changed; the archive's own folder stands before each name."""
    with zipfile.ZipFile(GOOD) as archive:
        root = archive.namelist()[0].partition("/")[0]
        entries = {name.removeprefix(f"{root}/"): archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{root}/{name}", content)
    return path


def with_graph(change: Callable[[Any], None], name: str = "models/model.json") -> Callable[[dict[str, bytes]], None]:
    def changed(entries: dict[str, bytes]) -> None:
        graph = json.loads(entries[name])
        change(graph)
        entries[name] = json.dumps(graph).encode()

    return changed


def nodes(graph: Any) -> Any:
    return graph["graph_module"]["graph"]["nodes"]


def refusal(tmp_path: Path, change: Callable[[dict[str, bytes]], None]) -> str:
    with pytest.raises(WeightsError) as caught:
        safe_copy(rewritten(tmp_path / "bad.pt2", change))
    return str(caught.value)


def test_a_good_program_keeps_its_graph_and_tensors():
    with zipfile.ZipFile(GOOD) as before, zipfile.ZipFile(safe_copy(GOOD)) as after:
        root = before.namelist()[0].partition("/")[0]
        tensors = [name for name in before.namelist() if "/data/weights/" in name]
        assert len(tensors) > 5
        assert all(before.read(name) == after.read(name) for name in tensors)
        old, new = (json.loads(archive.read(f"{root}/models/model.json")) for archive in (before, after))
    assert [node["target"] for node in nodes(new)] == [node["target"] for node in nodes(old)]
    stacks = [(old["metadata"]["nn_module_stack"], new["metadata"]) for old, new in zip(nodes(old), nodes(new), strict=True)]
    assert all(kept == {"nn_module_stack": stack} for stack, kept in stacks)


def test_what_runs_when_loaded_is_left_away(tmp_path):
    def change(entries):
        entries["data/sample_inputs/model.pt"] = b"a pickle"
        entries["extra/notes.py"] = b"import os"
        with_graph(lambda graph: graph.update(guards_code=["__import__('os').system('true')"]))(entries)

    with zipfile.ZipFile(safe_copy(rewritten(tmp_path / "odd.pt2", change))) as copy:
        content = {name.partition("/")[2]: copy.read(name) for name in copy.namelist()}
    assert content["data/sample_inputs/model.pt"] == b""
    assert not any("extra" in name for name in content)
    assert json.loads(content["models/model.json"])["guards_code"] == []


@pytest.mark.parametrize("target", ["torch.os.system", "torch.hub.load", "torch.ops.mine.run.default", "#x:y", "os.system", ""])
def test_only_operations_on_tensors_are_called(tmp_path, target):
    said = refusal(tmp_path, with_graph(lambda graph: nodes(graph)[0].update(target=target)))
    assert f"its graph calls {target!r}, which is not an operation on tensors" in said


@pytest.mark.parametrize(
    "size",
    [
        "__import__('os').system('true')",
        "Symbol('s0').func",
        "Pow(Integer(9), Integer(9999999))",
        "9**9",
        "Lambda(s0, s0)",
        "(" * 501,
    ],
)
def test_sizes_are_arithmetic(tmp_path, size):
    def change(graph):
        inputs = graph["graph_module"]["graph"]["tensor_values"]
        first = next(value for value in inputs.values() if value["sizes"] and "as_expr" in value["sizes"][0])
        first["sizes"][0]["as_expr"]["expr_str"] = size

    assert "which is no arithmetic of sizes" in refusal(tmp_path, with_graph(change))


def test_names_hold_no_code(tmp_path):
    def change(graph):
        graph["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x): __import__('os').system('true') #"

    assert "which could run code" in refusal(tmp_path, with_graph(change))


@pytest.mark.parametrize("name", ["data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/weights/model.pt"])
def test_pickles_are_refused(tmp_path, name):
    said = refusal(tmp_path, lambda entries: entries.update({name: b"cos\nsystem\n(S'true'\ntR."}))
    assert f"{name} may hold code; it was refused and nothing was run" in said


def test_a_pickled_tensor_is_refused(tmp_path):
    def change(config):
        next(iter(config["config"].values()))["use_pickle"] = True

    said = refusal(tmp_path, with_graph(change, "data/weights/model_weights_config.json"))
    assert "0.0.weight is stored as a pickle" in said


def test_compiled_code_is_refused(tmp_path):
    said = refusal(tmp_path, lambda entries: entries.update({"data/aotinductor/model/a.so": b"\x7fELF"}))
    assert "compiled code" in said


def test_a_tensor_is_as_large_as_it_claims(tmp_path):
    def change(config):
        entry = next(iter(config["config"].values()))
        entry["tensor_meta"]["sizes"] = [{"as_int": 1 << 20}, {"as_int": 1 << 20}]

    said = refusal(tmp_path, with_graph(change, "data/weights/model_weights_config.json"))
    assert "0.0.weight claims to be [1048576, 1048576], which is more than the file holds" in said


def test_outputs_come_in_plain_containers(tmp_path):
    def change(graph):
        signature = graph["graph_module"]["module_call_graph"][0]["signature"]
        context = {"default_factory_module": "os", "default_factory_name": "system", "dict_context": []}
        spec = {"type": "collections.defaultdict", "context": json.dumps(context), "children_spec": []}
        signature["out_spec"] = json.dumps([1, spec])

    assert "arranged in 'collections.defaultdict'" in refusal(tmp_path, with_graph(change))


def test_other_versions_and_other_archives_are_told(tmp_path):
    said = refusal(tmp_path, lambda entries: entries.update(archive_version=b"7"))
    assert "its archive version is '7', but only '0' is known; save it again with torch.export.save(" in said
    old = tmp_path / "old.pt2"
    with zipfile.ZipFile(old, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(WeightsError, match=r"of PyTorch 2\.7 or older, whose weights are pickles"):
        safe_copy(old)
    with zipfile.ZipFile(old, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(WeightsError, match=r"this is a checkpoint, .* name checkpoints under `weights:`, beside `module:`"):
        safe_copy(old)


def test_compressed_entries_are_refused(tmp_path):
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/models/model.json", b"0" * (64 << 20))
    with pytest.raises(WeightsError, match="claim more bytes than the file has"):
        safe_copy(path)


def test_no_file_and_no_archive(tmp_path):
    with pytest.raises(WeightsError, match="there is no program here"):
        safe_copy(tmp_path / "none.pt2")
    (tmp_path / "text.pt2").write_text("hello")
    with pytest.raises(WeightsError, match=r"not a program that torch\.export wrote"):
        safe_copy(tmp_path / "text.pt2")


def test_damaged_programs_are_user_errors(tmp_path):
    content = GOOD.read_bytes()
    path = tmp_path / "damaged.pt2"
    for number in range(120):
        place = number * 7919 % len(content)
        path.write_bytes(content[:place] if number % 3 == 0 else content[:place] + bytes([number]) + content[place + 1 :])
        try:
            safe_copy(path)
        except WeightsError:
            continue


@pytest.mark.parametrize(
    "graph", ["[]", "{}", "null", '{"graph_module": []}', "[" * 5000 + "]" * 5000, '{"graph_module": {"a": NaN}}']
)
def test_graphs_of_another_form_are_user_errors(tmp_path, graph):
    refusal(tmp_path, lambda entries: entries.update({"models/model.json": graph.encode()}))
