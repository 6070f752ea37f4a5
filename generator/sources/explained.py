"""Failures of a network's own code, told as mistakes that can be put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from generator.errors import NetworkError, Problem, UserError
from generator.sources.python_files import described


def explained(apply: Callable[[Any, Any], Any], problem: Callable[[BaseException, str], Problem]) -> Callable[[Any, Any], Any]:
    """`apply`, whose failures name their place in the network's own code; nothing else runs in it, so none of ours hide.

    problem: from what was raised and the rule that it broke.
    """

    def run(params: Any, images: Any) -> Any:
        try:
            return apply(params, images)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            shape = " x ".join(map(str, images.shape[1:]))
            rule = f"the network cannot run on images of {shape}: {described(error)}"
            raise NetworkError(problem(error, rule)) from error

    return run
