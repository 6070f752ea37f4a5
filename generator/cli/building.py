"""Commands that make galleries: build, and init, which writes the configuration that build would use."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path

from rich.console import Console

from generator.cli.galleries import arguments_of, gallery_of, names_network, started_text
from generator.cli.progress import BuildProgress, waiting
from generator.config.load import parse
from generator.errors import OutputError, Problem
from generator.starting.networks import is_config


def build(options: argparse.Namespace) -> None:
    from generator.build.run import Runner

    console = Console(stderr=options.json, highlight=False, soft_wrap=True)
    gallery = gallery_of(options, lambda text: console.print(text, markup=False))
    if names_network(options):
        arguments = shlex.join(arguments_of(options))
        console.print(f"`cnnscope doctor {arguments}` measures whether that is right,", markup=False)
        console.print(f"`cnnscope init {arguments}` writes a configuration to edit.", markup=False)

    with BuildProgress(console) as report:
        runner = Runner(gallery.store, options.jobs, report)
        summary = gallery.build(options.out, runner, waiting(console, options.out))
    if options.json:
        print(json.dumps(vars(summary)))
        return
    console.print(
        f"{summary.pages} pages, {summary.bytes / 1e6:.1f} MB, in {options.out / 'index.html'} "
        f"({summary.tasks_run} of {summary.tasks_total} tasks ran, {summary.seconds:.1f} s)",
        markup=False,
    )


def init(options: argparse.Namespace) -> None:
    out: Path = options.output
    if is_config(options.network):
        rule = "is a configuration already; `init` makes one of a network"
        raise OutputError(Problem(options.network, rule, "name a network, such as model.onnx"))
    if not options.force and out.exists():
        raise OutputError(Problem(str(out), "the file is there already", "add --force to replace it, or name another with -o"))
    if not out.parent.is_dir():
        raise OutputError(Problem(str(out.parent), "no such folder", "make it first, or name another file with -o"))
    text = started_text(options, out.parent, lambda text: Console(highlight=False, soft_wrap=True).print(text, markup=False))
    parse(text, out, out.parent)
    try:
        # Whole or not at all, and nobody's file in between.
        draft = out.with_name(f".{out.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8", newline="\n")
        os.replace(draft, out)
    except OSError as error:
        raise OutputError(Problem(str(out), f"cannot be written: {error.strerror}", "name another file with -o")) from error
    print(f"{out}: written; edit it, then `cnnscope build {out}`.")
