"""Quirks: what is surprising about a model, told in a sentence from what was measured.

Each function looks at one kind and yields what there is to tell, however little surprising (`views.surprise`); `quirks` then
chooses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import median

from generator.records import (
    Classes,
    Exemplars,
    Health,
    LayerHealth,
    Measured,
    Predictions,
    Quirk,
    Removal,
    Tuning,
    Twin,
)
from generator.views.classes import OWN_FROM
from generator.views.surprise import accuracy, close, images, percent, plural, quirk

#: Surprise from which on a quirk is told, how many are, and how many of a kind.
LEAST, MOST, MOST_OF_A_KIND = 0.25, 8, 2

#: Units that a layer has at least, or mistakes that a pair of classes has, for something to be said of them.
FEW = 8

#: Tuning below which a unit takes no notice of hue, and above which it has a preferred orientation.
BLIND, ORIENTED = 0.05, 0.5

#: A change of accuracy no worse than this is no loss; the whole interval has to lie above.
LOSS = -0.02


def quirks(
    health: Health | None,
    classes: Classes | None,
    predictions: Mapping[str, Predictions],
    probe_labels: Mapping[str, str | None],
    tuning: Mapping[str, Tuning],
    exemplars: Mapping[str, Exemplars] | None,
    layer_names: Sequence[str],
) -> tuple[Quirk, ...]:
    """At most `MOST`, most surprising first, at most `MOST_OF_A_KIND` of one kind.

    predictions, probe_labels: by probe; a label counts if it is a class of the model as far as `classes` and predictions tell.
    tuning, exemplars: by layer. layer_names: in the order in which equally surprising ones are told; others are left out.
    """
    found: list[Quirk] = []
    if health is not None:
        layers = {layer.layer: layer for layer in health.layers}
        for layer in (layers[name] for name in layer_names if name in layers):
            found += [*_removable(layer, health), *_spare(layer, health), *_alike(layer, health.measured)]
            found += [*_opposite(layer), *_narrow(layer, health.measured), *_rough(layer, health.thresholds)]
    for name in layer_names:
        found += _tuned(tuning[name]) if name in tuning else ()
        found += _favourite(exemplars[name]) if exemplars and name in exemplars else ()
    if classes is not None:
        found += [*_selective(classes), *_without_unit(classes), *_confused(classes)]
    found += _misnamed(predictions, probe_labels, classes)
    told: list[Quirk] = []
    kinds: Counter[str] = Counter()
    for one in sorted(found, key=lambda one: -one.surprise):
        if one.surprise >= LEAST and kinds[one.kind] < MOST_OF_A_KIND:
            kinds[one.kind] += 1
            told.append(one)
    return tuple(told[:MOST])


def _removable(layer: LayerHealth, health: Health) -> Iterator[Quirk]:
    number, of = len(layer.removable), layer.num_units
    if number > 1:
        tried = [
            one for one in health.removals if one.layer == layer.layer and one.kind != "weakest" and one.accuracy is not None
        ]
        without = [f"With {plural(one.num_units, f'{one.kind} unit')} set to zero, {accuracy(one)}." for one in tried]
        yield quirk(
            "removable",
            number / of,
            f"Of the {of:,} units of {layer.layer}, {number:,} ({percent(number / of)}) say nothing of their own: they answer",
            f"alike to every image, or as another unit does, on {images(health.measured)}.",
            *without,
            layer=layer.layer,
        )


def _spare(layer: LayerHealth, health: Health) -> Iterator[Quirk]:
    """The most of the layer's weakest units that it can do without."""
    spared = [one for one in health.removals if (one.layer, one.kind) == (layer.layer, "weakest") and _is_no_loss(one)]
    if spared:
        removal = max(spared, key=lambda one: one.num_units)
        yield quirk(
            "spare",
            removal.num_units / layer.num_units,
            f"{layer.layer} can do without {removal.num_units:,} of its {plural(layer.num_units, 'unit')}, the least important",
            f"ones, at no measurable loss: with them set to zero, {accuracy(removal)}.",
            layer=layer.layer,
        )


def _is_no_loss(removal: Removal) -> bool:
    known = removal.accuracy is not None and removal.low is not None and removal.high is not None
    return known and removal.low >= LOSS and removal.high >= 0


def _alike(layer: LayerHealth, measured: Measured) -> Iterator[Quirk]:
    """The most alike two units of the layer."""
    pairs = [(cluster.kept, twin) for cluster in layer.clusters for twin in cluster.others]
    if pairs:
        kept, twin = max(pairs, key=lambda pair: _likeness(pair[1]))
        first, second = sorted((kept, twin.unit))
        correlate = twin.correlation is not None
        like = "say nearly the same" if correlate else "have nearly the same kernel"
        cosine = [] if twin.kernel is None else [f"the cosine between their kernels is {close(twin.kernel)}"]
        activations = [f"their activations correlate at {close(twin.correlation)} on {images(measured)}"] if correlate else []
        yield quirk(
            "alike",
            _likeness(twin),
            f"Units {first} and {second} of {layer.layer} {like}: {' and '.join(activations + cosine)}.",
            layer=layer.layer,
            unit=twin.unit,
        )


def _likeness(twin: Twin) -> float:
    return max(twin.correlation or 0.0, twin.kernel or 0.0)


def _opposite(layer: LayerHealth) -> Iterator[Quirk]:
    """The most opposite two kernels of the layer."""
    if layer.opposites:
        pair = min(layer.opposites, key=lambda one: one.kernel)
        yield quirk(
            "opposite",
            -pair.kernel,
            f"The kernels of units {pair.first} and {pair.second} of {layer.layer} are nearly the same but for the sign: their",
            f"cosine is {close(pair.kernel)}.",
            layer=layer.layer,
            unit=pair.first,
        )


def _narrow(layer: LayerHealth, measured: Measured) -> Iterator[Quirk]:
    """Of few images, or few units, a small rank says nothing."""
    if layer.rank is not None and layer.num_units >= FEW and measured.num_images >= 2 * layer.num_units:
        yield quirk(
            "narrow",
            layer.rank / layer.num_units,
            f"The {layer.num_units:,} units of {layer.layer} vary together as if there were only {layer.rank:.1f} of them",
            f"(effective rank of their activations on {images(measured)}).",
            layer=layer.layer,
        )


def _rough(layer: LayerHealth, thresholds: Mapping[str, float]) -> Iterator[Quirk]:
    if layer.noisy and "noisy" in thresholds:
        number = len(layer.noisy)
        yield quirk(
            "rough",
            number / layer.num_units,
            f"{number:,} of the {plural(layer.num_units, 'filter')} of {layer.layer}, which sees the image itself,",
            f"{'is' if number == 1 else 'are'} mostly fine grain: of the energy of each, more than",
            f"{percent(thresholds['noisy'])} lies above half the highest frequency.",
            layer=layer.layer,
            unit=layer.noisy[0],
        )


def _tuned(found: Tuning) -> Iterator[Quirk]:
    """Among units that answer to such stimuli at all."""
    colour = [value for value in found.colour or () if value is not None]
    orientation = [value for value in found.orientation if value is not None]
    if len(colour) >= FEW:
        blind = sum(value < BLIND for value in colour)
        yield quirk(
            "colour-blind",
            blind / len(colour),
            f"{found.layer} hardly notices hue: of the {len(colour):,} units that answer to patches of colour, {blind:,}",
            f"{'is' if blind == 1 else 'are'} barely selective for it (below {BLIND} of 1).",
            layer=found.layer,
        )
    if len(orientation) >= FEW:
        oriented = sum(value > ORIENTED for value in orientation)
        yield quirk(
            "oriented",
            oriented / len(orientation),
            f"{found.layer} is about orientation: of the {len(orientation):,} units that answer to stripes, {oriented:,}",
            f"clearly {'prefers' if oriented == 1 else 'prefer'} one direction (selectivity above {ORIENTED} of 1).",
            layer=found.layer,
        )


def _favourite(found: Exemplars) -> Iterator[Quirk]:
    """The image that is among the exemplars of most units, beyond four times what chance would have."""
    counts = Counter(image for unit in found.units for image in {one.image for one in unit.highest})
    shown = max((len(unit.highest) for unit in found.units), default=0)
    chance = 4 * shown / max(1, found.num_images)
    if len(found.units) >= FEW and counts and chance < 1:
        (image, number), of = counts.most_common(1)[0], len(found.units)
        yield quirk(
            "favourite",
            (number / of - chance) / (1 - chance),
            f"One image of {found.num_images:,}, number {image}, is among the {shown} that excite a unit most for {number:,}",
            f"of the {of:,} units of {found.layer} whose exemplars are shown.",
            layer=found.layer,
        )


def _selective(classes: Classes) -> Iterator[Quirk]:
    """The most selective unit of all."""
    units = [(one.units[0], one) for one in classes.classes if one.units]
    if units:
        unit, own = max(units, key=lambda pair: pair[0].selectivity)
        yield quirk(
            "selective",
            unit.selectivity,
            f"Unit {unit.unit} of {unit.layer} is the most selective before the outputs: it answers to {own.name} with",
            f"{unit.mean:.3g} on average and to the other classes with {unit.others:.3g} (selectivity",
            f"{unit.selectivity:.2f} of 1, on {images(classes.measured)}).",
            layer=unit.layer,
            unit=unit.unit,
            first=own.index,
        )


def _without_unit(classes: Classes) -> Iterator[Quirk]:
    """The only class without one, as surprising as the others have many."""
    seen = [one for one in classes.classes if one.num_images]
    without = [one for one in seen if not one.own]
    if len(without) == 1 and len(seen) > 2:
        usually = median(one.own for one in seen if one.own)
        yield quirk(
            "without-unit",
            usually,
            f"{without[0].name} is the only class without a unit of its own: no unit before the outputs is selective for it",
            f"above {OWN_FROM}, while half of the other classes have at least {math.ceil(usually):,}.",
            first=without[0].index,
        )


def _confused(classes: Classes) -> Iterator[Quirk]:
    """Pairs by their part in all mistakes, on a logarithmic scale: 0 for as much as any other, 1 for all of them."""
    confusion = classes.confusion
    mistakes = sum(map(sum, confusion)) - sum(row[place] for place, row in enumerate(confusion))
    seen = [one.index for one in classes.classes if one.num_images]
    pairs = list(combinations(seen, 2))
    for first, second in pairs if len(pairs) > 1 else ():
        number = confusion[first][second] + confusion[second][first]
        if number >= FEW:
            first_name, second_name = classes.labels[first], classes.labels[second]
            yield quirk(
                "confused",
                1 + math.log(number / mistakes) / math.log(len(pairs)),
                f"{first_name} and {second_name} are mistaken for each other more than others: {number:,} of all",
                f"{plural(mistakes, 'mistake')} ({percent(number / mistakes)}) on {images(classes.measured)}, where each",
                f"of {len(pairs):,} pairs would have {mistakes / len(pairs):.1f} if all had as many.",
                first=first,
                second=second,
            )


def _misnamed(
    predictions: Mapping[str, Predictions], labels: Mapping[str, str | None], classes: Classes | None
) -> Iterator[Quirk]:
    """As surprising as the network is sure. Without probabilities it is just told."""
    known = {_plain(label) for label in classes.labels} if classes else set()
    known |= {_plain(one.label) for found in predictions.values() for one in found.top}
    for probe, found in predictions.items():
        label = _plain(labels.get(probe) or "")
        if label in known and found.top and _plain(found.top[0].label) != label:
            best, sure = found.top[0], found.scores == "probability"
            chance = f" with a probability of {percent(best.score)}" if sure else ""
            yield quirk(
                "misnamed",
                best.score if sure else LEAST,
                f"The probe {probe} is labelled {labels[probe]}, but the network names it {best.label}{chance}.",
                probe=probe,
            )


def _plain(label: str) -> str:
    return " ".join(label.split()).casefold()
