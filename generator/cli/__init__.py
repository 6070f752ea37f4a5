"""The command line: the only place that prints or exits."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.text import Text

from generator.cli import building, examining, keeping, looking
from generator.cli.galleries import add_network_options, positive
from generator.errors import UserError

OK, LOOKS_WRONG, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 where `doctor` found something, 2 for bad input (each problem on a line of
    its own), 130 when interrupted."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        looks_wrong = options.command(options)
        sys.stdout.flush()  # a reader that went away is noticed here, not while Python shuts down
    except UserError as error:
        for problem in error.problems:
            errors.print(Text.assemble(("error: ", "bold red"), _printable(str(problem))))
        return BAD_INPUT
    except KeyboardInterrupt:
        errors.print("Interrupted. What was finished is kept; the same command goes on from there.")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away; not our failure
        return OK
    return LOOKS_WRONG if looks_wrong else OK


def _printable(text: str) -> str:
    """On one line, and harmless to a terminal whatever names of files and layers hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnnscope", description="Shows the inside of trained convolutional neural networks.")
    parser.add_argument("--version", action="version", version=f"cnnscope {metadata.version('cnnscope')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: Callable, description: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=description, description=description)
        sub.set_defaults(command=function)
        return sub

    def config_command(name: str, function: Callable, description: str) -> argparse.ArgumentParser:
        sub = command(name, function, description)
        sub.add_argument("config", nargs="?", type=Path, default=None, help="YAML file (default: configs/default.yaml)")
        _add_store(sub)
        return sub

    def network_command(name: str, function: Callable, description: str) -> argparse.ArgumentParser:
        sub = command(name, function, description)
        _add_store(sub)
        add_network_options(sub, required=name == "init")
        return sub

    build = network_command("build", building.build, "build a gallery; only what changed since the last time is computed")
    build.add_argument("--out", type=Path, default=Path("site"), help="folder for the site (default: site)")
    build.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="drawing tasks at once (default: all cores)")
    build.add_argument("--json", action="store_true", help="print a summary for machines")
    init = network_command("init", building.init, "write the configuration that build would use, with comments, to edit")
    init.add_argument("-o", "--output", type=Path, default=Path("gallery.yaml"), help="YAML file (default: gallery.yaml)")
    init.add_argument("--force", action="store_true", help="replace the file if there is one")
    config_command("check", looking.check, "check CONFIG and the files it names, without computing anything")
    doctor = network_command("doctor", examining.doctor, "measure what often goes wrong; exit code 1 if something does")
    doctor.add_argument("--json", action="store_true", help="print it for machines")
    why = config_command("why", looking.why, "tell why tasks would run")
    why.add_argument("task", nargs="?", help="one task, as `list` prints it")
    listing = config_command("list", looking.list_tasks, "list the tasks of CONFIG and where each one stands")
    listing.add_argument("--json", action="store_true", help="print it for machines")
    inspect = network_command("inspect", looking.inspect, "print the layers of networks, and which of them are shown")
    inspect.add_argument("--json", action="store_true", help="print them for machines")
    links = command("links", keeping.links, "check every link of a built site")
    links.add_argument("site", nargs="?", type=Path, default=Path("site"), help="folder of the site (default: site)")
    clean = command("clean", keeping.clean, "remove what builds wrote: the site's files and the stored results")
    clean.add_argument("--out", type=Path, default=Path("site"), help="folder of the site (default: site)")
    _add_store(clean)
    config_command(
        "ship-findings", keeping.ship_findings, "measure the zoo models of CONFIG and keep the numbers beside their weights"
    )
    train = command("train-fashion", keeping.train_fashion, "train the Fashion CNN on Fashion-MNIST")
    train.add_argument("--data", type=Path, help="folder with the data set's IDX files")
    train.add_argument("--out", type=Path, help="folder for the checkpoints (default: where the shipped ones are)")
    train.add_argument("--epochs", type=positive, help="passes through the images")
    train.add_argument("--seed", type=int, default=0, help="of the first weights and of the order of the images")
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, default=Path(".cnnscope"), help="folder for results (default: .cnnscope)")
