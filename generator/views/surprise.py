"""How surprising a number is, and the words for it.

Each kind of quirk looks at one number and knows where it is nothing special and where it could hardly be more so; surprise is
how far it has come on that way, 0-1. So kinds can be compared, and all are told from the same surprise on.
"""

from __future__ import annotations

from generator.records import Measured, Quirk, Removal

#: Of the number that each kind looks at: what is usual, and what is extreme. Shares of a layer's units but for `alike` and
#: `opposite` (cosines, correlations), `narrow` (rank over width), `selective` (selectivity), `without-unit` (units of other
#: classes), `confused` (see there) and `misnamed` (probability).
SCALES = {
    "removable": (0.0, 0.5),
    "spare": (0.25, 1.0),
    "alike": (0.95, 1.0),
    "opposite": (0.97, 1.0),
    "narrow": (0.2, 0.0),
    "rough": (0.2, 1.0),
    "colour-blind": (0.8, 1.0),
    "oriented": (0.65, 1.0),
    "favourite": (0.2, 1.0),
    "selective": (0.6, 1.0),
    "without-unit": (0.0, 10.0),
    "confused": (1 / 3, 1.0),
    "misnamed": (0.0, 1.0),
}

PERCENT = "\N{NO-BREAK SPACE}%"


def surprise(value: float, *, usual: float, extreme: float) -> float:
    """0 where a number is as usual, or beyond that, to 1 where it is extreme."""
    return round(min(1.0, max(0.0, (value - usual) / (extreme - usual))), 6)


def quirk(kind: str, value: float, *text: str, **where: str | int) -> Quirk:
    """text: parts of the sentences, joined by spaces. where: the record's fields that say what it is about."""
    usual, extreme = SCALES[kind]
    return Quirk(kind=kind, text=" ".join(text), surprise=surprise(value, usual=usual, extreme=extreme), **where)


def accuracy(removal: Removal) -> str:
    """What became of the accuracy, with the interval of its change."""
    low, high = (round(100 * (end or 0.0), 1) + 0.0 for end in (removal.low, removal.high))  # never -0
    return (
        f"accuracy went from {percent(removal.before or 0.0)} to {percent(removal.accuracy or 0.0)} on"
        f" {plural(removal.num_images, 'image')} (95{PERCENT} interval of the change: {low:+.1f} to {high:+.1f} points)"
    )


def images(measured: Measured) -> str:
    return f"{plural(measured.num_images, 'image')} of {measured.dataset}"


def plural(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + PERCENT


def close(number: float) -> str:
    """With as many nines as it has, at least three decimals; 1 only where it is."""
    text = f"{number:.3f}"
    return text if abs(float(text)) < 1 or abs(number) == 1 else f"{number:.6f}".rstrip("0").removesuffix(".")
