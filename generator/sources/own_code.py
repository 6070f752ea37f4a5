"""What is known of a network that its owner wrote in Python, without importing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from generator.errors import ConfigError, Problem, UserError
from generator.records import Preprocessing, WeightsInfo
from generator.sources.contract import SourceFacts
from generator.sources.python_files import source_files


def described_code(
    place: str,
    input_shape: tuple[int, int, int],
    base: Path,
    weights: Callable[[tuple[Path, ...]], tuple[WeightsInfo, Path | None]],
    **further: object,
) -> SourceFacts:
    """place: `package.file:Name`. weights: what is known of them and their path, from the code's files. further: facts.

    Raises `ConfigError` with everything that is wrong.
    """
    height, width, channels = input_shape
    problems: list[Problem] = []
    if channels not in (1, 3):
        rule = f"input_shape has {channels} channels, but images have 1 (grey) or 3 (colour)"
        problems.append(Problem(place, rule, "input_shape is (height, width, channels)"))
    module, _, name = place.partition(":")
    code: tuple[Path, ...] = ()
    try:
        code = source_files(module, base)
    except UserError as error:
        problems += error.problems
    try:
        info, path = weights(code)
    except UserError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return SourceFacts(
        title=name,
        description="",
        input_shape=input_shape,
        preprocessing=Preprocessing(size_px=(height, width), channels="grey" if channels == 1 else "rgb"),
        labels=None,
        weights=info,
        weights_path=path,
        code_paths=code,
        **further,
    )
