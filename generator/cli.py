"""The command line: the only place that prints or exits."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from generator.errors import Problem, UserError, did_you_mean

if TYPE_CHECKING:
    from generator.build.gallery import Gallery
    from generator.build.run import Status
    from generator.network.graph import Graph

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130
DEFAULT_CONFIG = Path("configs/default.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input (each problem on a line of its own), 130 when interrupted."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        options.command(options)
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


def _printable(text: str) -> str:
    """On one line, and harmless to a terminal whatever names of files and layers hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnnscope", description="Shows the inside of trained convolutional neural networks.")
    parser.add_argument("--version", action="version", version=f"cnnscope {metadata.version('cnnscope')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function, description: str, *, config: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=description, description=description)
        sub.set_defaults(command=function)
        if config:
            sub.add_argument("config", nargs="?", type=Path, default=None, help="YAML file (default: configs/default.yaml)")
            sub.add_argument("--store", type=Path, default=Path(".cnnscope"), help="folder for results (default: .cnnscope)")
        return sub

    build = command("build", _build, "build the gallery of CONFIG; only what changed since the last time is computed")
    build.add_argument("--out", type=Path, default=Path("site"), help="folder for the site (default: site)")
    build.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, help="drawing tasks at once (default: all cores)")
    build.add_argument("--json", action="store_true", help="print a summary for machines")
    command("check", _check, "check CONFIG and the files it names, without computing anything")
    why = command("why", _why, "tell why tasks would run")
    why.add_argument("task", nargs="?", help="one task, as `list` prints it")
    listing = command("list", _list, "list the tasks of CONFIG and where each one stands")
    listing.add_argument("--json", action="store_true", help="print it for machines")
    inspect = command("inspect", _inspect, "print the layers of the models of CONFIG")
    inspect.add_argument("--json", action="store_true", help="print them for machines")
    links = command("links", _links, "check every link of a built site", config=False)
    links.add_argument("site", nargs="?", type=Path, default=Path("site"), help="folder of the site (default: site)")
    clean = command("clean", _clean, "remove what builds wrote: the site's files and the stored results", config=False)
    clean.add_argument("--out", type=Path, default=Path("site"), help="folder of the site (default: site)")
    clean.add_argument("--store", type=Path, default=Path(".cnnscope"), help="folder of the results (default: .cnnscope)")
    command("ship-findings", _ship_findings, "measure the zoo models of CONFIG and keep the numbers beside their weights")
    train = command("train-fashion", _train_fashion, "train the Fashion CNN on Fashion-MNIST", config=False)
    train.add_argument("--data", type=Path, help="folder with the data set's IDX files")
    train.add_argument("--out", type=Path, help="folder for the checkpoints (default: where the shipped ones are)")
    train.add_argument("--epochs", type=_positive, help="passes through the images")
    train.add_argument("--seed", type=int, default=0, help="of the first weights and of the order of the images")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _gallery(options: argparse.Namespace) -> Gallery:
    from generator.build.gallery import Gallery
    from generator.build.store import Store
    from generator.config.load import load

    return Gallery(load(options.config or _default_config()), Store(options.store))


def _default_config() -> Path:
    """The checkout's default gallery, else the one inside the installed package."""
    installed = Path(__file__).resolve().parent / "_configs" / "default.yaml"
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() or not installed.is_file() else installed


class _BuildProgress:
    """A bar over all tasks with the time left, on a terminal; a line now and then elsewhere."""

    def __init__(self, console: Console):
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bar = self._progress.add_task("Planning", total=0)
        self._total = self._finished = 0
        self._said = time.monotonic()

    def __enter__(self) -> _BuildProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: str, task: str) -> None:
        if event == "damaged":
            self._console.print(f"The stored result of {task} was damaged; it is computed again.", markup=False)
        self._total += event == "planned"
        self._finished += event in ("ran", "stored")
        kind = task.partition(":")[0].replace("_", " ")
        self._progress.update(
            self._bar, total=self._total, completed=min(self._finished, self._total), description=f"{kind:>12}"
        )
        if not self._console.is_terminal and time.monotonic() - self._said > 15:
            self._said = time.monotonic()
            self._console.print(f"{self._finished} of {self._total} tasks done ({task})", markup=False)


def _build(options: argparse.Namespace) -> None:
    from generator.build.run import Runner

    console = Console(stderr=options.json, highlight=False, soft_wrap=True)
    gallery = _gallery(options)

    with _BuildProgress(console) as report:
        runner = Runner(gallery.store, options.jobs, report)
        summary = gallery.build(options.out, runner, _waiting(console, options.out))
    if options.json:
        print(json.dumps(vars(summary)))
        return
    console.print(
        f"{summary.pages} pages, {summary.bytes / 1e6:.1f} MB, in {options.out / 'index.html'} "
        f"({summary.tasks_run} of {summary.tasks_total} tasks ran, {summary.seconds:.1f} s)",
        markup=False,
    )


def _waiting(console: Console, out: Path) -> Callable[[], None]:
    return lambda: console.print(f"Another build is writing to {out}; waiting for it.", markup=False)


def _check(options: argparse.Namespace) -> None:
    gallery = _gallery(options)
    gallery.check()
    num_probes = sum(len(model.probes) for model in gallery.models)
    print(f"{gallery.loaded.path}: {len(gallery.models)} models and {num_probes} probes, nothing wrong")
    untraced = [model.config.name for model in gallery.models if model.config.name not in gallery.stored_graphs()]
    if untraced:
        print(f"The layers of {', '.join(untraced)} are checked once `cnnscope inspect` or `build` has traced them.")


def _why(options: argparse.Namespace) -> None:
    if (
        options.task is None
        and options.config
        and options.config.suffix not in (".yaml", ".yml")
        and not options.config.exists()
    ):
        options.config, options.task = None, str(options.config)  # `why TASK`, of the default gallery
    statuses = _gallery(options).statuses()
    if options.task is not None:
        names = [status.task.id for status in statuses]
        if options.task not in names:
            raise UserError(Problem("why", f"no task {options.task!r}", did_you_mean(options.task, names)))
        statuses = [status for status in statuses if status.task.id == options.task]
    shown = [status for status in statuses if status.artifact is None or options.task is not None]
    for status in shown:
        print(f"{status.task.id}: {_standing(status)}")
    if not shown:
        print("Nothing to do: every result is stored.")


def _standing(status: Status) -> str:
    if status.artifact is not None:
        return "stored"
    if status.waits_for:
        more = f" and {len(status.waits_for) - 1} more" if len(status.waits_for) > 1 else ""
        return f"depends on {status.waits_for[0]}{more}, which must run first"
    return str(status.reason)


def _list(options: argparse.Namespace) -> None:
    statuses = _gallery(options).statuses()
    if options.json:
        rows = [{"task": s.task.id, "stored": s.artifact is not None, "standing": _standing(s)} for s in statuses]
        print(json.dumps({"tasks": rows}))
        return
    for status in statuses:
        print(f"{'stored ' if status.artifact else 'to run '} {status.task.id}")


def _inspect(options: argparse.Namespace) -> None:
    from generator.build.run import Runner

    gallery = _gallery(options)
    console = Console(stderr=True, highlight=False)
    with _BuildProgress(console) as report:
        graphs = gallery.graphs(Runner(gallery.store, 1, report))
    if options.json:
        models = [{"name": name, **graph.model_dump(mode="json", include={"layers"})} for name, graph in graphs.items()]
        print(json.dumps({"models": models}))
        return
    for name, graph in graphs.items():
        _print_graph(name, graph)


def _print_graph(name: str, graph: Graph) -> None:
    wide = not sys.stdout.isatty()
    title = f"{name}: {len(graph.layers)} layers, input {_times(graph.input_shape)}; ↑ is the layer above"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("name", "kind", "inputs"):
        table.add_column(heading, overflow="fold")
    for heading in ("output", "parameters", "MFLOP", "field", "stride"):
        table.add_column(heading, justify="right", no_wrap=True)
    above = None
    for layer in graph.layers:
        field = layer.receptive_field
        seen, stride = ("all", "") if field.whole else (_times(field.size), _times(f"{s:g}" for s in field.stride))
        inputs = ", ".join("↑" if source == above else source for source in layer.inputs)
        row = (layer.name, layer.kind, inputs, _times(layer.shape), f"{layer.num_params:,}", f"{layer.flops / 1e6:,.2f}")
        table.add_row(*map(Text, (*row, seen, stride)))
        above = layer.name
    table.add_section()
    num_params, flops = (sum(getattr(layer, key) for layer in graph.layers) for key in ("num_params", "flops"))
    table.add_row("total", "", "", "", f"{num_params:,}", f"{flops / 1e6:,.2f}", "", "")
    Console(highlight=False, width=200 if wide else None).print(table)


def _times(sizes: Iterable[object]) -> str:
    return "×".join(map(str, sizes))


def _links(options: argparse.Namespace) -> None:
    from generator.pages.links import check_links

    if not (options.site / "index.html").is_file():
        raise UserError(Problem(str(options.site), "holds no built gallery", "build one with `cnnscope build`"))
    problems = check_links(options.site)
    if problems:
        raise UserError(problems)
    print(f"{options.site}: every link leads somewhere")


def _clean(options: argparse.Namespace) -> None:
    from generator.build import site, store

    removed = site.clear(options.out, _waiting(Console(stderr=True, highlight=False, soft_wrap=True), options.out))
    store.Store(options.store).clear()
    print(f"Removed {removed} files of {options.out} and the stored results in {options.store}.")


def _ship_findings(options: argparse.Namespace) -> None:
    from generator.build.run import Runner
    from generator.build.ship import ship_findings

    console = Console(highlight=False, soft_wrap=True)
    gallery = _gallery(options)
    with _BuildProgress(console) as report:
        shipped = ship_findings(gallery, Runner(gallery.store, os.cpu_count() or 1, report))
    for archive, num_bytes in shipped.items():
        console.print(f"{archive}: {num_bytes / 1e3:.0f} KB", markup=False)


def _train_fashion(options: argparse.Namespace) -> None:
    from generator.probes import fashion_mnist
    from generator.zoo import fashion_training
    from generator.zoo.fashion_card import FOLDER, Setup

    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn())
    epochs, out = options.epochs or Setup().epochs, options.out or FOLDER
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Fashion-MNIST", total=None)

        def downloading(name: str, done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total or None, description=name)

        def training(at: fashion_training.Progress) -> None:
            text = f"epoch {at.epoch} of {epochs}, loss {at.loss:.3f}, training accuracy {at.accuracy:.1%}"
            progress.update(bar, completed=at.step, total=at.num_steps, description=text)
            if not console.is_terminal and at.step % 500 == 0:
                console.print(f"step {at.step} of {at.num_steps}: {text}")
            if at.step == at.num_steps:
                progress.update(bar, description="testing every checkpoint", total=None)

        data = fashion_mnist.obtain(options.data, downloading)
        card = fashion_training.run(data, out, epochs, options.seed, training)
    console.print(
        f"{card.test_accuracy:.2%} of the test images right after {epochs} epochs; checkpoints and card in {out}", markup=False
    )
