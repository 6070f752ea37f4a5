"""Rules that join several keys, or the configuration and the disk.

They look at the raw data, so that a fault elsewhere in a model does not hide what is wrong here; what is not of the expected
type is left to the schema.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from generator.config.document import Keys
from generator.errors import Problem, did_you_mean

Data = Mapping[str, Any]
Spot = Callable[[Keys], str]  # where a path of keys is: `configs/a.yaml:14: models[0]`
_NUM_CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1}


def name_problems(data: Data, spot: Spot) -> Iterator[Problem]:
    """Names that two entries of a section share: also by case, as many file systems do not tell `A` from `a`."""
    for section in ("models", "probes", "datasets"):
        first: dict[str, Keys] = {}
        for keys, name in _names(data, section):
            earlier = first.setdefault(name.casefold(), keys)
            if earlier != keys:
                yield Problem(spot(keys), f"the name {name!r} is taken already", f"it is also at {spot(earlier)}")


def reference_problems(data: Data, spot: Spot) -> Iterator[Problem]:
    """Probe sets, datasets and labels that something asks for and nobody names. One with other faults counts as named."""
    sets = [name for _, name in _names(data, "probes")]
    datasets = [name for _, name in _names(data, "datasets")]
    for section in ("models", "datasets"):
        for keys, entry in _entries(data, section):
            if section == "models" or entry.get("kind") == "crops":
                yield from _chosen_probes(entry.get("probes"), (*keys, "probes"), sets, spot)
    for keys, model in _entries(data, "models"):
        for key in ("dataset", "measured_on"):
            dataset = model.get(key)
            if isinstance(dataset, str) and dataset not in datasets:
                way_out = did_you_mean(dataset, datasets) or f"define one below `datasets:`, or leave `{key}` out"
                yield Problem(spot((*keys, key)), f"no dataset {dataset!r}", way_out)
        if model.get("dataset") is None:
            yield from _dataset_needed(model, keys, spot)
    for keys, entry in [*_entries(data, "probes"), *_entries(data, "datasets")]:
        if entry.get("kind") == "idx" and entry.get("label_names") is not None and entry.get("labels") is None:
            yield Problem(
                spot((*keys, "label_names")), "names of classes, but no `labels`", "name the IDX file with the labels"
            )
        if entry.get("kind") == "published" and entry.get("labels") == "coarse" and entry.get("dataset") != "cifar100":
            yield Problem(spot((*keys, "labels")), "only cifar100 has coarse labels", "leave `labels` out")


def _chosen_probes(chosen: Any, keys: Keys, sets: list[str], spot: Spot) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, text in enumerate(chosen if isinstance(chosen, list) else []):
        if not isinstance(text, str):
            continue
        name, slash, probe = text.partition("/")
        at = spot((*keys, index))
        if name not in sets:
            yield Problem(at, f"no probe set {name!r}", did_you_mean(name, sets))
        elif slash and (not probe or "/" in probe):
            yield Problem(at, f"expected `set/probe`, got {text!r}", f"write `{name}` for the whole set")
        elif text in seen:
            yield Problem(at, f"{text!r} is listed twice", "keep one of them")
        seen.add(text)


def _dataset_needed(model: dict[str, Any], keys: Keys, spot: Spot) -> Iterator[Problem]:
    """What a model without a dataset says about exemplars all the same."""
    views = model.get("views")
    if not isinstance(views, dict):
        return
    way_out = "name one of `datasets:` as the model's `dataset`"
    if isinstance(views.get("exemplars"), dict):
        yield Problem(
            spot((*keys, "views", "exemplars")), "exemplars are drawn from a dataset, and the model has none", way_out
        )
    vis = views.get("feature_vis")
    for index, entry in enumerate(select if isinstance(vis, dict) and isinstance(select := vis.get("select"), list) else []):
        units = entry.get("units") if isinstance(entry, dict) else None
        if isinstance(units, dict) and units.get("by") == "exemplars":
            at = (*keys, "views", "feature_vis", "select", index, "units", "by")
            yield Problem(spot(at), "units are ranked by the exemplars of a dataset, and the model has none", way_out)


def file_problems(data: Data, base: Path, spot: Spot) -> Iterator[Problem]:
    """Files and patterns that lead to nothing. base: the folder that relative paths start from."""
    for section in ("models", "probes", "datasets"):
        for keys, entry in _entries(data, section):
            if entry.get("kind") == "folder":
                yield from _pattern_problems(entry.get("path"), (*keys, "path"), base, spot)
            if entry.get("kind") in ("npz", "csv"):
                yield from _file_problems(entry.get("path"), (*keys, "path"), base, spot)
            if entry.get("kind") == "published" and isinstance(text := entry.get("path"), str) and not _exists(base, text):
                rule = f"no folder or file {text!r}"
                yield Problem(spot((*keys, "path")), rule, f"leave it out to have it fetched; {_paths_start(base)}")
            if entry.get("kind") == "idx":
                yield from _file_problems(entry.get("images"), (*keys, "images"), base, spot)
                yield from _file_problems(entry.get("labels"), (*keys, "labels"), base, spot)
            if section == "models":
                yield from _file_problems(entry.get("labels"), (*keys, "labels"), base, spot)
            if isinstance(source := entry.get("source"), dict):
                yield from _source_problems(source, (*keys, "source"), base, spot)


def _source_problems(source: Mapping[str, Any], keys: Keys, base: Path, spot: Spot) -> Iterator[Problem]:
    """Files of a model's source, and keys of it that exclude each other."""
    for key in ("path", "program", "checkpoint"):
        if isinstance(text := source.get(key), str) and key == "checkpoint" and os.path.isdir(base / text):
            continue  # Orbax writes folders
        yield from _file_problems(source.get(key), (*keys, key), base, spot)
    model, weights = source.get("model"), source.get("weights")
    if isinstance(model, str) and not model.startswith("keras.applications."):
        yield from _file_problems(model, (*keys, "model"), base, spot)
    if weights not in ("imagenet", "random") or source.get("kind") != "keras":
        yield from _file_problems(weights, (*keys, "weights"), base, spot)
    if source.get("kind") == "torch" and (source.get("module") is None) == (source.get("program") is None):
        rule = "a torch source has either a `module` or a `program`"
        yield Problem(spot(keys), rule, "name the module's class or function, or a .pt2 file")
    if source.get("hub") is not None and weights is not None:
        yield Problem(spot((*keys, "hub")), "weights come from a file or from the hub, not from both", "leave one of them out")
    if source.get("revision") is not None and source.get("hub") is None:
        yield Problem(spot((*keys, "revision")), "a revision belongs to a repository", "name one with `hub:`, or leave it out")


def preprocessing_problems(data: Data, spot: Spot) -> Iterator[Problem]:
    """Numbers per channel that do not fit the channels; sizes and channels that do not fit a module's `input_shape`."""
    for keys, model in _entries(data, "models"):
        stated = model.get("preprocessing")
        if not isinstance(stated, dict):
            continue
        at = (*keys, "preprocessing")
        named = stated.get("channels")
        channels = _NUM_CHANNELS.get(named) if isinstance(named, str) else None
        for key in ("mean", "std"):
            numbers = stated.get(key)
            if isinstance(numbers, list) and len(numbers) not in ((1, 3) if channels is None else (1, channels)):
                rule = f"{named} images have {channels}" if channels else "images have 1 or 3"
                way_out = "give one for each channel, or one for all"
                yield Problem(spot((*at, key)), f"{rule} channels, got {len(numbers)} numbers", way_out)
        source = model.get("source")
        shape = source.get("input_shape") if isinstance(source, dict) else None
        if not (isinstance(shape, list) and len(shape) == 3):
            continue
        size = stated.get("size_px")
        height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
        if size is not None and [height, width] != shape[:2]:
            rule = f"is {height} x {width}, but the source's `input_shape` says {shape[0]} x {shape[1]}"
            yield Problem(spot((*at, "size_px")), rule, "make them equal, or leave `size_px` out")
        if channels not in (None, shape[2]):
            rule = f"{named} images have {channels} channels, but the source's `input_shape` says {shape[2]}"
            yield Problem(spot((*at, "channels")), rule, "make them equal")


def _entries(data: Data, section: str) -> Iterator[tuple[Keys, dict[str, Any]]]:
    entries = data.get(section)
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield (section, index), entry


def _names(data: Data, section: str) -> Iterator[tuple[Keys, str]]:
    for keys, entry in _entries(data, section):
        if isinstance(name := entry.get("name"), str):
            yield (*keys, "name"), name


def _file_problems(text: Any, keys: Keys, base: Path, spot: Spot) -> Iterator[Problem]:
    if not isinstance(text, str) or not text:
        return
    file = base / text
    if os.path.isdir(file):
        yield Problem(spot(keys), f"{text!r} is a folder, not a file", "give the path of a file")
    elif not os.path.isfile(file):
        yield Problem(spot(keys), f"no file {text!r}", f"{_listing(file.parent, file.name)}{_paths_start(base)}")


def _pattern_problems(pattern: Any, keys: Keys, base: Path, spot: Spot) -> Iterator[Problem]:
    if not isinstance(pattern, str) or not pattern:
        return
    matches = () if "\0" in pattern else glob.iglob(os.path.join(glob.escape(str(base)), pattern), recursive=True)
    if not any(True for _ in matches):
        yield Problem(spot(keys), f"nothing matches {pattern!r}", _paths_start(base))


def _exists(base: Path, text: str) -> bool:
    return os.path.exists(base / text)


def _listing(folder: Path, name: str) -> str:
    try:
        names = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    except (OSError, ValueError):
        return f"there is no folder {str(folder)!r} that can be read; "
    return f"{did_you_mean(name, names, show=6)}; " if names else ""


def _paths_start(base: Path) -> str:
    return f"paths start from the configuration's folder, {str(base)!r}"
