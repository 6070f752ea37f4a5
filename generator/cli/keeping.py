"""Commands around built sites and what ships: links, clean, ship-findings, train-fashion."""

from __future__ import annotations

import argparse
import os

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from generator.cli.galleries import gallery_of
from generator.cli.progress import BuildProgress, waiting
from generator.errors import Problem, UserError


def links(options: argparse.Namespace) -> None:
    from generator.pages.links import check_links

    if not (options.site / "index.html").is_file():
        raise UserError(Problem(str(options.site), "holds no built gallery", "build one with `cnnscope build`"))
    problems = check_links(options.site)
    if problems:
        raise UserError(problems)
    print(f"{options.site}: every link leads somewhere")


def clean(options: argparse.Namespace) -> None:
    from generator.build import site, store

    removed = site.clear(options.out, waiting(Console(stderr=True, highlight=False, soft_wrap=True), options.out))
    store.Store(options.store).clear()
    print(f"Removed {removed} files of {options.out} and the stored results in {options.store}.")


def ship_findings(options: argparse.Namespace) -> None:
    from generator.build.run import Runner
    from generator.build.ship import ship_findings

    console = Console(highlight=False, soft_wrap=True)
    gallery = gallery_of(options)
    with BuildProgress(console) as report:
        shipped = ship_findings(gallery, Runner(gallery.store, os.cpu_count() or 1, report))
    for archive, num_bytes in shipped.items():
        console.print(f"{archive}: {num_bytes / 1e3:.0f} KB", markup=False)


def train_fashion(options: argparse.Namespace) -> None:
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
