"""Commands that tell what is there and compute next to nothing: check, why, list, inspect."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from generator.cli.galleries import gallery_of
from generator.cli.progress import BuildProgress
from generator.errors import Problem, UserError, did_you_mean
from generator.starting.networks import is_config

if TYPE_CHECKING:
    from generator.build.run import Status
    from generator.network.graph import Graph


def check(options: argparse.Namespace) -> None:
    gallery = gallery_of(options)
    gallery.check()
    num_probes = sum(len(model.probes) for model in gallery.models)
    print(f"{gallery.loaded.path}: {len(gallery.models)} models and {num_probes} probes, nothing wrong")
    untraced = [model.config.name for model in gallery.models if model.config.name not in gallery.stored_graphs()]
    if untraced:
        print(f"The layers of {', '.join(untraced)} are checked once `cnnscope inspect` or `build` has traced them.")


def why(options: argparse.Namespace) -> None:
    if options.task is None and options.config and not is_config(str(options.config)) and not options.config.exists():
        options.config, options.task = None, str(options.config)  # `why TASK`, of the default gallery
    statuses = gallery_of(options).statuses()
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


def list_tasks(options: argparse.Namespace) -> None:
    statuses = gallery_of(options).statuses()
    if options.json:
        rows = [{"task": s.task.id, "stored": s.artifact is not None, "standing": _standing(s)} for s in statuses]
        print(json.dumps({"tasks": rows}))
        return
    for status in statuses:
        print(f"{'stored ' if status.artifact else 'to run '} {status.task.id}")


def inspect(options: argparse.Namespace) -> None:
    from generator.build.run import Runner

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    gallery = gallery_of(options, lambda text: console.print(text, markup=False))
    with BuildProgress(console) as report:
        graphs = gallery.graphs(Runner(gallery.store, 1, report))
    if options.json:
        models = [{"name": name, **graph.model_dump(mode="json", include={"layers"})} for name, graph in graphs.items()]
        print(json.dumps({"models": models}))
        return
    choices = {model.config.name: model.choice(graphs[model.config.name]) for model in gallery.models}
    for name, graph in graphs.items():
        _print_graph(name, graph)
        print(f"{choices[name].sentence} {choices[name].hint}".rstrip())


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
