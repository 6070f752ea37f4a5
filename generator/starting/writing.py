"""The configuration of a gallery that was just started, as YAML with comments for the person who goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from generator.starting.sizing import Size
from generator.starting.start import Start
from generator.starting.yaml_text import comment, entry, inline

#: What a value of `preprocessing:` can also be.
_CHOICES = {
    "size_px": "height and width of what the network sees",
    "channels": "rgb, bgr or grey",
    "resize": "crop cuts the centre, squash ignores the aspect ratio, pad keeps all and adds a border",
    "crop_fraction": "share of the shorter side that is kept by crop",
    "interpolation": "nearest, bilinear, bicubic or lanczos",
    "range": "pixels of 0-255 are scaled to this: [0, 1], [-1, 1] or [0, 255]",
    "mean": "then taken away, one for each channel or one for all",
    "std": "then divided by",
}
_HEAD = "Edit what you like; every key is explained in generator/config/schema.py. Paths are relative to this file."
_LAYERS = (
    "default: all layers of a small network, of a large one what tells its story. Or all, or stages (the last layer at each"
    ' resolution), or a list of these, names, globs ("blocks.*") and kinds ("kind:add"); "!" in front leaves layers out.'
)
_VIS = (
    "preset: draft, standard or publication (eight times as many steps as standard). select: for each layer the first entry"
    " that names it counts. units: all, numbers, or the top ones by spread, exemplars or class."
)
_HEALTH = (
    "Dead and redundant units. shares: how many of each layer's least important units are switched off to see what happens;"
    " that takes long for large networks."
)
_PROBES = (
    "Images whose way through the network is shown. A set is a folder or a pattern (kind: folder), a NumPy archive (npz),"
    " photographs that ship with CNNscope (photographs), or patterns that it makes (synthetic)."
)
_DATASETS = (
    "Images from which those that excite each unit most are drawn, and by which units and classes are judged. Labelled ones"
    " (class_folders: true, and folders called like the model's classes) tell accuracy, too. kind: crops takes pieces of"
    " probes where no images are at hand. limit: of images, taken evenly from all classes."
)


def yaml_of(begun: Start, size: Size) -> str:
    """The whole file. It is also what `build` without a configuration uses, to the byte."""
    lines = [
        *comment(f"A gallery of {begun.about}: `cnnscope build` with this file's name. {_HEAD}"),
        *entry("title", begun.facts.title, 0),
        "# description: what visitors read below the title",
        "",
        "models:",
        *_model(begun, size),
        "",
        *comment(_PROBES),
        "probes:",
        *(line for section in begun.probe_sets for line in _section(section)),
        "",
        *comment(_DATASETS),
        "datasets:",
        *_section(_limited(begun, size)),
    ]
    return "\n".join(lines) + "\n"


def _model(begun: Start, size: Size) -> Iterator[str]:
    yield f"  - name: {inline(begun.name)}"
    yield "    # title, description: left out, the network's own"
    yield "    source:"
    for key, value in begun.source.items():
        yield from entry(key, value, 6)
    yield ""
    yield from _preprocessing(begun)
    yield ""
    yield from _labels(begun)
    yield from comment(_LAYERS, 4)
    yield "    layers: default"
    yield from comment("Names of probe sets, or set/image for one image.", 4)
    yield from entry("probes", begun.probes, 4)
    yield from comment("Left out, no exemplars are shown. measured_on: another one, by which units and classes are judged.", 4)
    yield "    dataset: dataset"
    yield ""
    yield from _views(size)


def _preprocessing(begun: Start) -> Iterator[str]:
    yield from comment("How an image becomes the network's input, in this order.", 4)
    for guess in begun.guesses:
        yield from comment(f"GUESSED: {guess}.", 4)
    if begun.guesses:
        yield from comment("Correct what is wrong; `cnnscope doctor` helps to tell.", 4)
    yield "    preprocessing:"
    stated = begun.facts.preprocessing.model_dump()
    lines = {key: f"      {key}: {inline(stated[key])}" for key in _CHOICES}
    width = max(map(len, lines.values()))
    for key, what in _CHOICES.items():
        yield f"{lines[key]:{width}}  # {what}"


def _labels(begun: Start) -> Iterator[str]:
    yield from comment("Names of the classes in the order of the outputs: a list, or a text file with one a line.", 4)
    for guess in begun.label_guesses:
        yield from comment(f"GUESSED: {guess}.", 4)
    if begun.labels is not None:
        yield from entry("labels", begun.labels, 4)
    elif begun.facts.labels:
        yield f"    # labels: left out, the source's own {len(begun.facts.labels):,}"
    else:
        yield "    # labels: classes.txt"
    for note in begun.notes:
        yield from comment(note, 4)


def _views(size: Size) -> Iterator[str]:
    minutes = "less than a minute" if size.minutes < 1 else f"about {size.minutes:.0f} minutes"
    yield from comment("What is shown of each layer. Any view can be left out: `exemplars: false`.", 4)
    yield "    views:"
    yield "      filters: {num_strongest: 8}"
    yield "      feature_maps: {values: [activation]}  # or pre_activation, or both"
    yield from comment(f"Images optimised to excite units: {minutes} on two cores. {_VIS}", 6)
    yield "      feature_vis:"
    yield f"        preset: {size.preset}"
    yield "        select:"
    yield f"          - {{layers: {'all' if size.layers == 'all' else '[stages]'}, units: {{top: {size.top}, by: spread}}}}"
    yield "      exemplars: {highest: 9, lowest: 3, spread: 3}"
    yield from comment(_HEALTH, 6)
    yield f"      health: {{shares: {'[0.25]' if size.trying else '[]'}}}"
    yield "      classes: {num_units: 12, num_pairs: 45}"


def _section(section: dict[str, Any]) -> Iterator[str]:
    for number, (key, value) in enumerate(section.items()):
        for line in entry(key, value, 4):
            yield line if number else f"  - {line.lstrip()}"


def _limited(begun: Start, size: Size) -> dict[str, Any]:
    """The dataset, no larger than can be run through the network in a few minutes."""
    if begun.dataset["kind"] == "crops":
        return {**begun.dataset, "per_image": max(8, min(begun.dataset["per_image"], size.limit // 8))}
    return {**begun.dataset, "limit": size.limit} if begun.num_images > size.limit else begun.dataset
