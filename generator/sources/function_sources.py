"""Any function written in JAX: Equinox, Haiku, NumPy-like code, whatever gives `(apply, params)`.

A plain network in JAX is its own source:

    def network():
        params = {"conv": {"kernel": ..., "bias": ...}, "classes": {"kernel": ...}}
        return apply, params                        # apply(params, images) -> outputs

Haiku's transformed functions are `lambda params, images: forward.apply(params, None, images)` with the parameters of `init`, a
dictionary of dictionaries. An Equinox model is its own tree of parameters: `return (lambda model, images:
jax.vmap(model)(images)), model`, with `layout: nchw`, as Equinox keeps channels first; what it holds besides arrays stays as
it is. State and random keys are not passed: normalisation uses the statistics it has learned, dropout is off.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from generator.config.sources import FunctionSource
from generator.errors import ConfigError, NetworkError, Problem, UserError
from generator.records import WeightsInfo
from generator.sources.checkpoints import checkpoint_info, read_named
from generator.sources.contract import LoadedModel, SourceFacts
from generator.sources.explained import explained
from generator.sources.files import NOT_STATED
from generator.sources.matching import match_parameters
from generator.sources.own_code import described_code
from generator.sources.python_files import described, import_name, raised_at
from generator.sources.weights import check_finite

_WANTED = "return `(apply, params)`: a function of `(params, images)` and a tree of arrays"


def describe(source: FunctionSource, base: Path) -> SourceFacts:
    def weights(code: tuple[Path, ...]) -> tuple[WeightsInfo, Path | None]:
        path = _checkpoint(source, base)
        return (_made(source, code), None) if path is None else (checkpoint_info(path), path)

    return described_code(source.function, source.input_shape, base, weights, facts=[("Function", source.function)])


def load(source: FunctionSource, base: Path) -> LoadedModel:
    import jax.numpy as jnp

    apply, tree = _made_network(source, base)
    params, rebuild = _named(tree, source)
    path = _checkpoint(source, base)
    values: Mapping[str, Any] = params if path is None else match_parameters(params, read_named(path), path)
    check_finite(values, path or Path(source.function))

    def run(params: Any, images: Any) -> Any:
        return apply(rebuild(params), jnp.transpose(images, (0, 3, 1, 2)) if source.layout == "nchw" else images)

    def problem(error: BaseException, rule: str) -> Problem:
        way_out = "CNNscope calls `apply(params, images)`; correct it, `arguments`, `layout` or `input_shape`"
        return Problem(raised_at(error, source.function, base), rule, way_out)

    def checked(params: Any, images: Any) -> Any:
        outputs = told(params, images)
        _check_outputs(outputs, source)
        return outputs

    told = explained(run, problem)
    return LoadedModel(checked, {name: jnp.asarray(value) for name, value in values.items()}, source.input_shape)


def _checkpoint(source: FunctionSource, base: Path) -> Path | None:
    return None if source.checkpoint is None else base / Path(source.checkpoint).expanduser()


def _made(source: FunctionSource, code: tuple[Path, ...]) -> WeightsInfo:
    """Weights that the code itself makes or reads are the same as long as the code is."""
    contents = [path.read_bytes() for path in code]
    digest = hashlib.sha256(repr((source.function, sorted(source.arguments.items()))).encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return WeightsInfo(
        file=code[0].name if code else "",
        format="made by the code",
        digest=digest.hexdigest(),
        num_bytes=sum(map(len, contents)),
        licence=NOT_STATED,
        provenance=f"made by {source.function}",
    )


def _made_network(source: FunctionSource, base: Path) -> tuple[Callable[[Any, Any], Any], Any]:
    """What the function returns. Raises `ConfigError` or `NetworkError` if that is no network."""
    function = import_name(source.function, base)
    if not callable(function):
        raise ConfigError(Problem(source.function, f"this is {_a(function)}, no function", _WANTED))
    _check_arguments(source, function)
    try:
        made = function(**source.arguments)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's function does is theirs to fix
        rule = f"calling it with its `arguments` failed: {described(error)}"
        raise NetworkError(Problem(raised_at(error, source.function, base), rule, _WANTED)) from error
    if not (isinstance(made, (tuple, list)) and len(made) == 2 and callable(made[0])):
        parts = f"{_a(made)} of {len(made)}" if isinstance(made, (tuple, list)) else _a(made)
        raise NetworkError(Problem(source.function, f"it returned {parts}, no `(apply, params)`", _WANTED))
    apply, params = made
    signature = _signature(apply)
    try:
        if signature:
            signature.bind(None, None)
    except TypeError as error:
        rule = f"`apply` takes {signature}, but CNNscope calls `apply(params, images)`"
        way_out = "bind state and random keys to it beforehand, and wrap what else differs"
        raise NetworkError(Problem(source.function, rule, way_out)) from error
    return apply, params


def _check_arguments(source: FunctionSource, function: Callable[..., Any]) -> None:
    signature = _signature(function)
    try:
        if signature:
            signature.bind(**source.arguments)
    except TypeError as error:
        rule = f"`arguments` do not fit the function: {error}"
        raise ConfigError(Problem(source.function, rule, f"it takes {signature}")) from error


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None for what does not tell, such as functions written in C."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _named(tree: Any, source: FunctionSource) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Any]]:
    """The arrays of a tree by their paths, joined with `/`, and the tree of other values of them.

    What is no array (activation functions, settings, random keys) stays as it is. Raises `NetworkError` if there are none.
    """
    import jax
    import numpy as np

    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    leaves: list[Any] = [leaf for _, leaf in paths]
    names: dict[int, str] = {}
    taken: set[str] = set()
    for number, (path, leaf) in enumerate(paths):
        if not isinstance(leaf, (np.ndarray, np.generic, jax.Array)):
            continue
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        leaves[number] = np.asarray(leaf)
        if leaves[number].dtype.kind in "OSUVcmM" and leaves[number].dtype.name != "bfloat16":
            rule = f"params hold {leaves[number].dtype} at {jax.tree_util.keystr(path)}"
            raise NetworkError(Problem(source.function, rule, "use arrays of real numbers"))
        name = jax.tree_util.keystr(path, simple=True, separator="/") or "params"
        names[number] = next(each for each in _numbered(name) if each not in taken)
        taken.add(names[number])
    if not names:
        raise NetworkError(Problem(source.function, f"`params` is {_a(tree)} without arrays", _WANTED))

    def rebuild(values: Mapping[str, Any]) -> Any:
        filled = [values[names[number]] if number in names else leaf for number, leaf in enumerate(leaves)]
        return jax.tree_util.tree_unflatten(structure, filled)

    return {name: leaves[number] for number, name in names.items()}, rebuild


def _numbered(name: str) -> Iterator[str]:
    """`a/b` may be a key and a path: both are told apart by a number."""
    yield name
    yield from (f"{name}~{number}" for number in itertools.count(2))


def _check_outputs(outputs: Any, source: FunctionSource) -> None:
    import jax

    for path, leaf in jax.tree_util.tree_leaves_with_path(outputs):
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            at = jax.tree_util.keystr(path)
            raise NetworkError(
                Problem(source.function, f"`apply` returned {_a(leaf)}{at and f' at {at}'}", "return arrays alone")
            )


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
