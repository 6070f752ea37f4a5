"""Other ways to turn pixels into input that networks are often trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generator.records import Preprocessing

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: By a name for people; the order of the channels stays as stated.
_CONVENTIONS: dict[str, dict[str, Any]] = {
    "pixels in 0-255": {"range": (0.0, 255.0), "mean": (0.0,), "std": (1.0,)},
    "pixels in 0-1": {"range": (0.0, 1.0), "mean": (0.0,), "std": (1.0,)},
    "pixels in -1 to 1": {"range": (-1.0, 1.0), "mean": (0.0,), "std": (1.0,)},
}
#: For colours.
_OF_IMAGENET: dict[str, dict[str, Any]] = {
    "pixels normalised with ImageNet's mean and deviation": {"range": (0.0, 1.0), "mean": _IMAGENET_MEAN, "std": _IMAGENET_STD},
    "pixels in 0-255 less ImageNet's mean": {
        "range": (0.0, 255.0),
        "mean": tuple(round(255 * mean, 3) for mean in _IMAGENET_MEAN),
        "std": (1.0,),
    },
}


@dataclass(frozen=True)
class Alternative:
    """name: for people, `BGR, pixels in 0-255`. settings: what differs from the stated preprocessing."""

    name: str
    preprocessing: Preprocessing
    settings: dict[str, Any]

    @property
    def yaml(self) -> str:
        """What to write below the model: `preprocessing: {range: [0, 255]}`."""
        parts = (f"{key}: {_short(value)}" for key, value in self.settings.items())
        return f"preprocessing: {{{', '.join(parts)}}}"


def alternatives(stated: Preprocessing, own: Preprocessing) -> list[Alternative]:
    """The source's own way, if another one is stated, and every convention in both orders of the channels; none that gives the
    network what it gets already."""
    grey = stated.channels == "grey"
    found: list[Alternative] = []
    seen = [_input_of(stated)]
    if own.channels in (("grey",) if grey else ("rgb", "bgr")) and _input_of(own) not in seen:
        seen.append(_input_of(own))
        values = {key: getattr(own, key) for key in ("channels", "range", "mean", "std")}
        found.append(_alternative("the preprocessing that comes with the network", stated, values))
    conventions = {"": {}, **_CONVENTIONS, **({} if grey else _OF_IMAGENET)}
    for order in ("grey",) if grey else (stated.channels, "bgr" if stated.channels == "rgb" else "rgb"):
        for name, update in conventions.items():
            update = _in_order(update, order)
            one = stated.model_copy(update={**update, "channels": order})
            if _input_of(one) in seen:
                continue
            seen.append(_input_of(one))
            swapped = f"channels in the order {order.upper()}" if order != stated.channels else ""
            found.append(
                _alternative(", ".join(part for part in (swapped, name) if part), stated, {**update, "channels": order})
            )
    return found


def _alternative(name: str, stated: Preprocessing, update: dict[str, Any]) -> Alternative:
    settings = {key: value for key, value in update.items() if value != getattr(stated, key)}
    return Alternative(name, stated.model_copy(update=update), settings)


def _in_order(update: dict[str, Any], order: str) -> dict[str, Any]:
    """Numbers for the channels, in their order."""
    return {key: value[::-1] if order == "bgr" and key in ("mean", "std") else value for key, value in update.items()}


def _input_of(preprocessing: Preprocessing) -> tuple[Any, ...]:
    """What black and white become in each channel, which channels in which order are then told from."""
    (low, high), order = preprocessing.range, preprocessing.channels
    mean, std = (value * 3 if len(value) == 1 else value for value in (preprocessing.mean, preprocessing.std))
    ends = (((low - m) / s, (high - m) / s) for m, s in zip(mean, std, strict=True))
    return order, tuple(tuple(round(end, 4) for end in pair) for pair in ends)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(f'{number:g}' for number in value)}]"
    return str(value)
