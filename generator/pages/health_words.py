"""A unit's and a layer's health in words: what counts as dead or redundant, what each fault means, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from generator.pages import wording
from generator.pages.class_parts import percent
from generator.records import Health, LayerHealth, Measured, Removal, Twin, UnitFault

#: Faults of units that say the same to every image.
DEAD = ("silent", "saturated", "constant", "weightless")

#: Names of findings that are called otherwise in records.
NAMES = {"nan": "not a number", "opposite": "opposite pair"}

#: Twins that a sentence names.
SHOWN_TWINS = 6

#: Units whose removal changes accuracy by no worse than this could go; the whole interval has to lie above.
LOSS = -0.01


def counts(found: LayerHealth) -> dict[str, int]:
    """How many units are dead, broken, rare or redundant. Of classes none is redundant, since none can be spared."""
    kinds = {kind: {fault.unit for fault in found.faults if fault.kind == kind} for kind in ("nan", "rare", *DEAD)}
    return {
        "dead": len(set().union(*(kinds[kind] for kind in DEAD))),
        "broken": len(kinds["nan"]),
        "rare": len(kinds["rare"]),
        "redundant": len({twin.unit for cluster in found.clusters for twin in cluster.others} & set(found.removable)),
    }


def badges(found: LayerHealth) -> tuple[str, ...]:
    """What is wrong with a layer's units in two words each, `3 redundant`; empty where all is fine."""
    return tuple(f"{count:,} {word}" for word, count in counts(found).items() if count)


def meanings(thresholds: Mapping[str, float], measured: Measured) -> tuple[tuple[str, str], ...]:
    """What was looked for, by kind, with what it means. thresholds: as `Health` has them."""
    images = wording.plural(measured.num_images, "image")
    at = {name: wording.number(value) for name, value in thresholds.items()}
    rare, noisy = (f"{100 * thresholds[name]:.3g}\N{NO-BREAK SPACE}%" for name in ("rare", "noisy"))
    return (
        ("silent", f"Dead: never above zero on any of {images}."),
        ("saturated", f"Dead: at its upper bound everywhere on {images}."),
        ("constant", f"Dead: one and the same value everywhere on {images}."),
        ("weightless", f"Dead: its kernel is next to nothing, its norm below {at['tiny']} of the layer’s median."),
        ("nan", "Broken: not a number, or infinite, on some image."),
        ("rare", f"Above zero on fewer than {rare} of the images. It may be needed for just those."),
        (
            "redundant",
            "Says what a stronger unit of its layer says: their activations correlate by "
            f"{at['alike']} or more, or the cosine of their kernels is {at['kernel']} or more.",
        ),
        (
            "opposite",
            f"Two kernels that differ in little but their sign: a cosine of {at['opposite']} or less. No fault: "
            "behind a rectifier, one answers where the other is silent.",
        ),
        (
            "noisy",
            f"A filter on the image with more than {noisy} of its energy in fine grain, above half the highest frequency. "
            "White noise has about 80\N{NO-BREAK SPACE}% there.",
        ),
    )


def fault_note(fault: UnitFault) -> str:
    """The number a fault was judged by; empty where the kind says it all."""
    if fault.value is None or fault.kind in ("silent", "nan"):
        return ""
    if fault.kind == "rare":
        return f"{percent(fault.value)} of images"
    value = wording.number(fault.value)
    return f"{value} of the median" if fault.kind == "weightless" else f"always {value}"


def likeness(twin: Twin) -> str:
    """How alike two units are: `correlation 0.994 · kernels 0.998`."""
    parts = [("correlation", twin.correlation), ("kernels", twin.kernel)]
    return " · ".join(f"{word} {decimals(value)}" for word, value in parts if value is not None)


def decimals(value: float) -> str:
    """A correlation or cosine with three decimals, never rounded to 1."""
    text = f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
    if abs(value) < 1 and text.endswith("1.000"):
        return "> 0.999" if value > 0 else "< \N{MINUS SIGN}0.999"
    return text


def unit_sentences(found: LayerHealth, unit: int, measured: Measured) -> Iterator[str]:
    """What is wrong with one unit; nothing where nothing is."""
    images = f"{measured.num_images:,} images of {measured.dataset}"
    for fault in found.faults:
        if fault.unit == unit:
            value = wording.number(fault.value)
            yield {
                "silent": f"Dead: it is never above zero on {images}.",
                "saturated": f"Dead: it is at its upper bound, {value}, everywhere on {images}.",
                "constant": f"Dead: it is {value} everywhere on {images}.",
                "weightless": f"Dead: its kernel’s norm is {value} of the layer’s median.",
                "nan": f"Broken: it is not a number, or infinite, on some of {images}.",
                "rare": f"Rare: it is above zero on {percent(fault.value)} of {images}.",
            }[fault.kind]
    word = "Redundant" if unit in found.removable else "Alike"
    for cluster in found.clusters:
        for twin in cluster.others:
            if twin.unit == unit:
                yield f"{word}: it says what unit {cluster.kept} says ({likeness(twin)})."
        if cluster.kept == unit:
            shown, more = cluster.others[:SHOWN_TWINS], len(cluster.others) - SHOWN_TWINS
            names = ", ".join(str(twin.unit) for twin in shown) + (f" and {more} more" if more > 0 else "")
            many = len(cluster.others) > 1
            yield f"{'Units' if many else 'Unit'} {names} of its layer {'say' if many else 'says'} what it says."


def layer_sentence(found: LayerHealth) -> str:
    """The badges and what else is remarkable of a layer, with its effective rank; empty where nothing is wrong."""
    parts = list(badges(found))
    if found.noisy:
        parts.append(wording.plural(len(found.noisy), "noisy filter"))
    if not parts:
        return ""
    rank = f" {rank_words(found)}" if found.rank is not None else ""
    return f"Of {wording.plural(found.num_units, 'unit')}: {', '.join(parts)}.{rank}"


def rank_words(found: LayerHealth) -> str:
    return f"Their answers use {wording.number(found.rank)} directions of {found.num_units:,} (effective rank)."


def seen_on(measured: Measured) -> str:
    """What the numbers rest on, a sentence or two."""
    seen = f"Measured on {wording.plural(measured.num_images, 'image')} of {measured.dataset}."
    return f"{seen} The numbers came with the model: the images are not on this machine." if measured.shipped else seen


def points(change: float) -> str:
    """A change of a share in percentage points: `+0.4`, `−1.2`."""
    text = f"{100 * change:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def change(removal: Removal) -> str:
    """What happened without some units, as a clause."""
    if removal.before is None or removal.accuracy is None or removal.low is None or removal.high is None:
        return f"{percent(removal.changed)} of images are named otherwise" if removal.changed else "no image is named otherwise"
    accuracy = f"accuracy {percent(removal.before)} \N{RIGHTWARDS ARROW} {percent(removal.accuracy)}"
    return f"{accuracy}, change between {points(removal.low)} and {points(removal.high)} points"


def unharmed(removal: Removal) -> bool:
    """Whether accuracy surely loses next to nothing; where it is unknown, whether nothing is named otherwise."""
    return removal.changed == 0 if removal.low is None else removal.low >= LOSS


def headline(layers: Mapping[str, LayerHealth]) -> str:
    """How many units of all are dead or redundant."""
    total = sum(found.num_units for found in layers.values())
    summed = {word: sum(counts(found)[word] for found in layers.values()) for word in ("dead", "broken", "redundant")}
    parts = [f"{count:,} {word}" for word, count in summed.items() if count]
    if not parts:
        return f"No unit of {total:,} is dead or redundant"
    return f"Of {total:,} units, {listed(parts)}"


def listed(parts: Sequence[str]) -> str:
    """`one, two and three`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def best_removal(health: Health, layers: Mapping[str, LayerHealth]) -> Removal | None:
    """Of the removals of weak units that do next to no harm, that of the largest share of its layer."""
    tried = [one for one in health.removals if one.kind == "weakest" and one.layer in layers and unharmed(one)]
    return max(tried, key=lambda one: one.num_units / layers[one.layer].num_units, default=None)


def spared(removal: Removal, num_units: int) -> str:
    """What a layer can do without, in a sentence."""
    of = f"{removal.num_units:,} of {wording.plural(num_units, 'unit')} of {removal.layer}"
    images = wording.plural(removal.num_images, "image")
    if removal.low is None:
        return f"{of} could go: none of {images} would be named otherwise."
    return f"{of} could go at a loss of less than 1 point on {images}: {change(removal)}."
