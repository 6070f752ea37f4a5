"""The gallery that a command is about: of a configuration, or of a network that is named directly."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from generator.cli.progress import downloading
from generator.config.load import LoadedConfig, load, parse
from generator.errors import Problem, UserError
from generator.starting.networks import Named, is_config

if TYPE_CHECKING:
    from generator.build.gallery import Gallery

DEFAULT_CONFIG = Path("configs/default.yaml")
#: Options that say what a configuration says itself.
_OF_NETWORKS = ("images", "dataset", "labels", "weights", "kind", "input_shape")


def add_network_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """What names a network: the argument `network` (without `required`, also a configuration) and the options for it."""
    forms = "a network: model.onnx, .keras, .h5 or .pt2, keras.applications.NAME, zoo:NAME, hub:OWNER/MODEL, package.file:Name"
    what = forms if required else f"YAML file (default: configs/default.yaml), or {forms}"
    parser.add_argument("network", nargs=None if required else "?", help=what, metavar="NETWORK" if required else "CONFIG")
    parser.add_argument("--images", help="images to look at: a folder, class folders, a pattern, a file (default: what ships)")
    parser.add_argument("--dataset", help="many images, to draw exemplars from and measure on (default: --images, if enough)")
    parser.add_argument("--labels", help="text file with the names of the classes, one a line")
    parser.add_argument("--weights", "--checkpoint", help="checkpoint of a network that is no file of its own")
    parser.add_argument("--kind", choices=("flax", "torch", "function"), help="of package.file:Name, where it cannot be told")
    parser.add_argument(
        "--input-shape", type=_shape, help="height,width,channels of an image, where the network leaves it open"
    )


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.replace("x", ",").split(",")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"expected height,width,channels such as 224,224,3, got {text!r}")
    height, width, channels = map(positive, parts)
    return height, width, channels


def gallery_of(options: argparse.Namespace, say: Callable[[str], None] = lambda _: None) -> Gallery:
    """The gallery of a configuration (`options.config`), or of a network (`options.network`).

    say: gets what was guessed of a network, a sentence each. Raises `UserError`.
    """
    from generator.build.gallery import Gallery
    from generator.build.store import Store

    if not names_network(options):
        named = getattr(options, "network", None)
        _refuse_network_options(options, named)
        path = options.config if "config" in options else named and Path(named)
        return Gallery(load(path or default_config()), Store(options.store), downloading())
    text = started_text(options, Path(), say)
    return Gallery(_parsed(options, text, Path()), Store(options.store))


def started_text(options: argparse.Namespace, base: Path, say: Callable[[str], None]) -> str:
    """The configuration that a network and its images are given; base: the folder it is for."""
    from generator.starting.sizing import UNSIZED, sized
    from generator.starting.start import start, with_classes
    from generator.starting.writing import yaml_of

    named = Named(options.network, options.weights, options.kind, options.input_shape)
    begun = start(named, options.images, options.dataset, options.labels, base)
    graph, shown, stages = _traced(options, yaml_of(begun, UNSIZED), base)
    begun = with_classes(begun, graph)
    for guess in (*begun.guesses, *begun.label_guesses):
        say(f"Guessed: {guess}.")
    for note in begun.notes:
        say(note)
    return yaml_of(begun, sized(graph, shown, stages))


def _traced(options: argparse.Namespace, text: str, base: Path):
    """The network's graph, kept in the store for what comes next; the layers that are shown, and the ends of stages."""
    from generator.build.gallery import Gallery
    from generator.build.layers import chosen
    from generator.build.run import Runner
    from generator.build.store import Store

    gallery = Gallery(_parsed(options, text, base), Store(options.store))
    (model,) = gallery.models
    (graph,) = gallery.graphs(Runner(gallery.store, 1, lambda event, task: None)).values()
    return graph, model.layers(graph), chosen(graph, "stages", lambda _: options.network).layers


def _parsed(options: argparse.Namespace, text: str, base: Path) -> LoadedConfig:
    return parse(text, Path(options.network), base)


def names_network(options: argparse.Namespace) -> bool:
    """Whether a command was given a network, rather than a configuration or nothing."""
    named = getattr(options, "network", None)
    return named is not None and not is_config(named)


def arguments_of(options: argparse.Namespace) -> list[str]:
    """The network and its options, for another command about the same."""
    given = {f"--{name.replace('_', '-')}": getattr(options, name) for name in _OF_NETWORKS}
    texts = {key: ",".join(map(str, value)) if isinstance(value, tuple) else value for key, value in given.items()}
    return [options.network, *(text for pair in texts.items() if pair[1] is not None for text in pair)]


def _refuse_network_options(options: argparse.Namespace, named: str | None) -> None:
    given = [f"--{name.replace('_', '-')}" for name in _OF_NETWORKS if getattr(options, name, None) is not None]
    if given:
        rule = f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for networks, but this is a configuration"
        if named is None:
            rule = f"{', '.join(given)} without a network"
        way_out = "name a network, such as model.onnx, or edit the configuration"
        raise UserError(Problem(named or "cnnscope", rule, way_out))


def default_config() -> Path:
    """The checkout's default gallery, else the one inside the installed package."""
    installed = Path(__file__).resolve().parents[1] / "_configs" / "default.yaml"
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() or not installed.is_file() else installed
