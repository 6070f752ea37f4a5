"""Which layers of a network are shown: those that `layers:` names, or what a person would choose.

An entry is a layer's name, a glob (`blocks.*.expand`), `kind:add` (of the graph's kinds, globs too), `stages` (the last layer
at each resolution, and the outputs), `default` or `all`; with `!` in front it takes layers away again. A layer that is called
like one of these words is meant by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from generator.errors import ConfigError, NetworkError, Problem, did_you_mean
from generator.network.graph import Graph, Layer

#: How many layers are shown without being asked for, and with how many of them a network is told well enough.
MOST, ENOUGH = 64, 12

#: Where paths meet: a block ends.
_JOINS = frozenset({"add", "concat"})
#: Kinds whose values are complex numbers.
_COMPLEX = frozenset({"fft", "complex"})
_CANNOT = "a layer's values must be `(c,)` or `(h, w, c)` real numbers to be drawn"


@dataclass(frozen=True)
class Choice:
    """layers: in the graph's order. sentence: how many there are and why these, for people. hint: how to have more of them, for
    the configuration's author, or empty."""

    layers: tuple[Layer, ...]
    sentence: str
    hint: str


def chosen(graph: Graph, wanted: str | Sequence[str], place: Callable[[int | None], str]) -> Choice:
    """The layers of `graph` that `wanted` (`all`, `default` or entries) means.

    place: where the config speaks of an entry, or of all of them (None). Raises `ConfigError` with every entry that means
    nothing, and `NetworkError` if no layer can be drawn at all.
    """
    drawable = tuple(layer for layer in graph.layers if is_drawable(layer))
    if not drawable:
        raise NetworkError(Problem(place(None), f"none of its {len(graph.layers)} layers can be shown", _CANNOT))
    entries = [wanted] if isinstance(wanted, str) else wanted
    names = matching(graph, drawable, entries, place)
    layers = tuple(layer for layer in drawable if layer.name in names)
    if not layers:
        raise ConfigError(Problem(place(None), "no layer is left", "take fewer away with `!`"))
    by_default = list(entries) == ["default"]
    hint = "Write `layers: all` for all." if by_default and len(layers) < len(drawable) else ""
    return Choice(layers, _sentence(graph, drawable, layers, by_default=by_default), hint)


def is_drawable(layer: Layer) -> bool:
    """Whether a layer's values are maps or vectors; sequences, attention and complex numbers are not."""
    return len(layer.shape) in (1, 3) and layer.kind not in _COMPLEX


def matching(graph: Graph, layers: Sequence[Layer], entries: Sequence[str], place: Callable[[int], str]) -> frozenset[str]:
    """Names of those of `layers` that `entries` mean; if all of these take layers away, of the others.

    Raises `ConfigError` for entries that mean none.
    """
    kept: set[str] = set()
    removed: set[str] = set()
    problems = []
    for position, entry in enumerate(entries):
        found = _meant(graph, layers, entry.removeprefix("!"))
        if not found:
            problems.append(_unknown(graph, layers, entry.removeprefix("!"), place(position)))
        (removed if entry.startswith("!") else kept).update(found)
    if problems:
        raise ConfigError(problems)
    if all(entry.startswith("!") for entry in entries):
        kept = {layer.name for layer in layers}
    return frozenset(kept - removed)


def _meant(graph: Graph, layers: Sequence[Layer], entry: str) -> set[str]:
    exact = {layer.name for layer in layers if _plain(layer.name) == _plain(entry)}
    if exact:
        return exact
    match entry:
        case "all":
            return {layer.name for layer in layers}
        case "default":
            return set(_told(graph, layers))
        case "stages":
            return set(_stages(layers)) | _outputs(graph, layers)
    kind = entry.removeprefix("kind:")
    if kind != entry:
        return {layer.name for layer in layers if fnmatchcase(layer.kind, kind)}
    return {layer.name for layer in layers if fnmatchcase(_plain(layer.name), _plain(entry))}


def _unknown(graph: Graph, layers: Sequence[Layer], entry: str, place: str) -> Problem:
    kind = entry.removeprefix("kind:")
    if kind != entry:
        known = dict.fromkeys(layer.kind for layer in layers)
        return Problem(place, f"no layer is of kind {kind!r}", did_you_mean(kind, known))
    hidden = [layer for layer in graph.layers if fnmatchcase(_plain(layer.name), _plain(entry))]
    if hidden and not is_drawable(hidden[0]):
        return Problem(place, f"{hidden[0].name} is a {hidden[0].kind} of shape {hidden[0].shape}", _CANNOT)
    if hidden:
        return Problem(place, f"{hidden[0].name} is not among the layers that are shown", "add it to the model's `layers`")
    return Problem(place, f"no layer {entry!r}", did_you_mean(entry, [layer.name for layer in layers]))


def _plain(name: str) -> str:
    """Layer names with dots: both `blocks/3/expand` and `blocks.3.expand` are understood."""
    return name.replace("/", ".")


def _told(graph: Graph, layers: Sequence[Layer]) -> list[str]:
    """Layers that tell a network's story: all of a small one; else beginning, stages, outputs, block ends, then the rest."""
    if len(layers) <= MOST:
        return [layer.name for layer in layers]
    ends = {layers[0].name, *_stages(layers), *_outputs(graph, layers)}
    joins = [layer.name for layer in layers if layer.kind in _JOINS]
    kernels = [layer.name for layer in layers if layer.has_kernel]
    found: list[str] = []
    for tier in ([layer.name for layer in layers if layer.name in ends], joins, kernels, [layer.name for layer in layers]):
        if len(found) < ENOUGH:
            found += _evenly([name for name in tier if name not in found], MOST - len(found))
    return found


def _stages(layers: Sequence[Layer]) -> list[str]:
    """The last layer of each resolution; of a network that goes down and up again, each time."""
    maps = [layer for layer in layers if layer.spatial and layer.spatial != (1, 1)]
    runs = [a.name for a, b in zip(maps, [*maps[1:], None], strict=True) if b is None or a.spatial != b.spatial]
    last = {layer.spatial: layer.name for layer in maps}
    return runs if len(runs) <= 2 * len(last) else list(last.values())  # parallel paths of several resolutions


def _outputs(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    return {layer.name for layer in layers if layer.name in graph.outputs}


def _evenly(names: Sequence[str], most: int) -> Iterator[str]:
    """At most `most` of `names`, the last among them."""
    count = min(most, len(names))
    return (names[(number + 1) * len(names) // count - 1] for number in range(count))


def _sentence(graph: Graph, drawable: Sequence[Layer], layers: Sequence[Layer], *, by_default: bool) -> str:
    total, shown = len(graph.layers), len(layers)
    are = f"{shown} of {total} layers {'is' if shown == 1 else 'are'} shown"
    if shown == total:
        text = f"All {total} layers are shown." if total > 1 else "Its only layer is shown."
    elif shown == len(drawable):
        text = f"{are}."
    elif by_default:
        why = "the first, the last at each resolution, where paths meet, and the outputs" if shown < MOST else "the main ones"
        text = f"{are}: {why}."
    else:
        text = f"{are}, as the configuration says."
    left_out = total - len(drawable)
    if left_out:
        text += f" {left_out} {'holds' if left_out == 1 else 'hold'} neither maps nor vectors and cannot be drawn."
    return text
