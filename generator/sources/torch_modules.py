"""PyTorch modules that their owner's Python makes, with weights that are read without PyTorch's own unpickler."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.config.sources import TorchSource
from generator.errors import ConfigError, NetworkError, Problem, UserError
from generator.sources.matching import match_parameters
from generator.sources.python_files import described, import_name, raised_at
from generator.sources.weights import check_finite, read_checkpoint

if TYPE_CHECKING:
    import torch

#: Counters of training, which are no weights; files of PyTorch before 0.4 lack them.
_UNUSED = "num_batches_tracked"


def build_module(source: TorchSource, base: Path, weights: Path | None) -> torch.nn.Module:
    """The module in eval mode, in float32, on the CPU, with the values of `weights` if there is such a file.

    Raises `ConfigError` for arguments that do not fit, `NetworkError` for what fails in the module's own code, and
    `WeightsError` for a checkpoint of another architecture.
    """
    import torch

    factory = import_name(source.module, base)
    module = factory if isinstance(factory, torch.nn.Module) else _called(factory, source, base)
    if not isinstance(module, torch.nn.Module):
        rule = f"this gives a {type(module).__name__}, not a torch.nn.Module"
        raise NetworkError(Problem(source.module, rule, "name a class of modules, or a function that returns an instance"))
    module = module.eval().float().cpu()
    if weights is not None:
        load_weights(module.state_dict(), weights)
    return module


def load_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Puts the values of the checkpoint at `path` into the tensors of `state`, which are float32. Raises `WeightsError`."""
    import torch

    tensors = {name: array for name, array in read_checkpoint(path).items() if not name.endswith(_UNUSED)}
    places = {name.replace(".", "/"): tensor for name, tensor in state.items() if not name.endswith(_UNUSED)}
    expected = {name: np.broadcast_to(_zero(tensor), tuple(tensor.shape)) for name, tensor in places.items()}
    values = match_parameters(expected, tensors, path)
    check_finite(values, path)
    with torch.no_grad():
        for name, value in values.items():
            places[name].copy_(torch.from_numpy(np.array(value)))


def _zero(tensor: torch.Tensor) -> np.ndarray:
    """A NumPy zero of a tensor's type."""
    return tensor.detach().flatten()[:0].numpy().sum()


def state_digest(module: torch.nn.Module) -> str:
    """sha256 over the names and values of everything that the module holds."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().contiguous().numpy()
        digest.update(json.dumps([name, str(values.dtype), values.shape]).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def check_runs(module: torch.nn.Module, images: torch.Tensor, source: TorchSource, base: Path) -> None:
    """Raises `NetworkError`, with its place in the module's file, if the module cannot run on `images`."""
    import torch

    try:
        with torch.no_grad():
            module(images)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        shape = " x ".join(map(str, source.input_shape))
        rule = f"the network cannot run on images of {shape}: {described(error)}"
        place = raised_at(error, source.module, base)
        raise NetworkError(Problem(place, rule, "correct the module, its `arguments` or `input_shape`")) from error


def _called(factory: Any, source: TorchSource, base: Path) -> Any:
    import torch

    if not callable(factory):
        rule = f"this is a {type(factory).__name__}, not a torch.nn.Module"
        raise ConfigError(Problem(source.module, rule, "name a class of modules, or a function that returns an instance"))
    try:
        signature = inspect.signature(factory)
        signature.bind(**source.arguments)
    except TypeError as error:
        rule = f"`arguments` do not fit it: {error}"
        raise ConfigError(Problem(source.module, rule, f"it takes {_shown(factory)}")) from error
    except ValueError:
        pass  # it is written in C and does not say what it takes
    try:
        # What the module makes up itself is then the same each time.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return factory(**source.arguments)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's module does is theirs to fix
        place = raised_at(error, source.module, base)
        raise NetworkError(
            Problem(place, f"building it failed: {described(error)}", "check the module and its `arguments`")
        ) from error


def _shown(factory: Any) -> str:
    """The signature with names and defaults alone; annotations of installed packages go on for lines."""
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(factory).parameters.values()]
    return str(inspect.Signature(parameters))
