"""Weights from the Hugging Face hub, in repositories laid out as timm lays out its own.

Two files are taken, `config.json` and the weights; nothing of a repository is ever run. They lie in the cache of the hub's own
library, and what lies there is used without asking again, so that a gallery built again is the gallery built before: a
branch or tag stands for the commit that it had when it was first fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from generator.errors import Problem, WeightsError
from generator.sources.extras import require
from generator.sources.hub_config import HubConfig, read_config
from generator.sources.python_files import described

_CONFIG = "config.json"
#: In the order of preference; no code can hide in the first, and none of the second's is run.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class HubModel:
    """repository: `owner/model`. commit: the 40 hexadecimal digits that pin it. weights: the file in the cache."""

    repository: str
    commit: str
    weights: Path
    config: HubConfig

    @property
    def provenance(self) -> str:
        return f"Hugging Face hub, {self.repository}, commit {self.commit}"


def hub_model(repository: str, revision: str | None) -> HubModel:
    """The model in a repository of the hub, fetched unless it is in the cache. revision: a commit, branch or tag.

    Raises `ConfigError` if the hub's library is not installed, and `WeightsError` if there is no such repository, revision
    or file, if it cannot be reached or is not for everybody, or if its `config.json` is not timm's.
    """
    place = repository if revision is None else f"{repository} at {revision}"
    require("hub", place)
    config = _file(repository, revision, (_CONFIG,), place)
    # Branches move: the second file is of the same commit as the first.
    commit = config.parent.name
    return HubModel(repository, commit, _file(repository, commit, _WEIGHTS, place), read_config(config, place))


def _file(repository: str, revision: str | None, names: tuple[str, ...], place: str) -> Path:
    """The first of the files called `names` that the repository has, as `.../snapshots/COMMIT/NAME` in the cache."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        for name in names:
            if isinstance(cached := try_to_load_from_cache(repository, name, revision=revision), str):
                return Path(cached)
        for name in names:
            try:
                return Path(hf_hub_download(repository, name, revision=revision))
            except LocalEntryNotFoundError:  # not in the cache, and not to be had: that the hub lacks it is not known
                raise
            except EntryNotFoundError:
                continue
    except Exception as error:  # besides its own, the library lets through those of its HTTP client, whichever that is
        raise WeightsError(_problem(error, repository, place, names[0])) from error
    rule = f"the repository has no {' and no '.join(names)}"
    way_out = "name one in timm's form, or download its weights and name the file with `weights:`"
    raise WeightsError(Problem(place, rule, way_out))


def _problem(error: Exception, repository: str, place: str, name: str) -> Problem:
    """What was wrong and the way out. `name`: the file that was wanted."""
    from huggingface_hub import errors

    by_hand = f"download the repository's {' or '.join(_WEIGHTS)} and name the file with `weights:` in place of `hub:`"
    match error:
        case errors.GatedRepoError():
            rule = "the repository is open only to those who accepted its terms"
            way_out = f"accept them on the hub's page of {repository}, then log in with `hf auth login` or set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            rule = "the hub has no such repository, or it is private"
            way_out = "check the spelling, or log in with `hf auth login` or set HF_TOKEN"
        case errors.RevisionNotFoundError():
            rule = "the repository has no such revision"
            way_out = "name one of its commits, branches or tags, or leave `revision:` out"
        case errors.DisabledRepoError():
            rule, way_out = "the repository was disabled", "choose another"
        case errors.LocalEntryNotFoundError() if isinstance(error.__cause__, errors.OfflineModeIsEnabled):
            rule = f"{name} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it"
            way_out = f"unset HF_HUB_OFFLINE once, or {by_hand}"
        case errors.LocalEntryNotFoundError():
            rule = f"{name} is not in the hub's cache, and the hub does not give it: {described(error.__cause__ or error)}"
            way_out = f"try again with a network, set HF_HOME to a folder that holds the files, or {by_hand}"
        case _:
            rule, way_out = f"{name} cannot be had from the hub: {described(error)}", f"try again, or {by_hand}"
    return Problem(place, rule, way_out)
