"""Runs a network on its images, prepared as stated and in other ways, and hands what it does to the checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from generator.doctor.alternatives import Alternative, alternatives
from generator.doctor.answers import in_company, look_at_outputs, random_numbers
from generator.doctor.finding import Finding
from generator.doctor.labelled import FEWEST, better_by_labels, in_another_order, no_better_than_chance
from generator.doctor.layers import look_at_first_layer, look_at_kernels
from generator.doctor.normalisation import (
    Statistics,
    better_by_statistics,
    divergence,
    never_trained,
    normalised_by,
    statistics_of,
)
from generator.probes import prepare
from generator.records import Preprocessing
from generator.sources import LoadedModel

if TYPE_CHECKING:
    from generator.network.execute import Network, Tapped

#: Images that run together; images that are tried alone and in company; normalisations that are looked at.
_BATCH, _IN_COMPANY, _NORMALISATIONS = 8, 4, 3
#: What two cores do in a second, roughly; how long all ways of preparing images may take; fewer images are never taken.
_FLOPS_PER_SECOND, _LABELLED_S, _FEWEST_IMAGES = 30e9, 180, 32
_DRAWS = re.compile(r"\b(?:random_bits|threefry2x32|rng_bit_generator|rng_uniform)\b")


@dataclass(frozen=True)
class Images:
    """read: number to pixels, uint8 `(h, w, 1 | 3)`. truth: the output that each should be named, None where unknown."""

    read: Callable[[int], NDArray[np.uint8]]
    truth: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.truth)

    def at_most(self, count: int) -> Images:
        """So many of them, evenly from first to last."""
        if count >= len(self):
            return self
        kept = [(2 * place + 1) * len(self) // (2 * count) for place in range(count)]
        return Images(lambda number: self.read(kept[number]), tuple(self.truth[number] for number in kept))


@dataclass(frozen=True)
class Examination:
    """findings: all that looks wrong. num_images: looked at; num_labelled: of known class; num_right: of these, named so."""

    findings: tuple[Finding, ...]
    num_images: int
    num_labelled: int
    num_right: int


@dataclass(frozen=True)
class _Ran:
    """outputs: `(n, ...)`. first: the first layer's activations for the first batch. diverged: see `divergence`, the mean."""

    outputs: NDArray[np.floating] | None
    first: NDArray[np.floating]
    diverged: float


@dataclass(frozen=True)
class _Patient:
    network: Network
    images: Images
    first: str
    kept: Mapping[str, Statistics]

    def run(self, preprocessing: Preprocessing, *, outputs: bool) -> _Ran:
        """All images through the network, or, without `outputs`, as far as its first normalisations."""
        tapped = self._tapped(outputs=outputs)
        answers, first, sums = [], None, {name: np.zeros((3, len(one.mean))) for name, one in self.kept.items()}
        for numbers in _batches(len(self.images)):
            stack = np.stack([prepare(self.images.read(number), preprocessing).input for number in numbers])
            padded = np.concatenate([stack, np.repeat(stack[-1:], _BATCH - len(stack), axis=0)])
            maps, *values = (np.asarray(value[: len(stack)], np.float64) for value in tapped(padded))
            first = maps if first is None else first
            for total, value in zip(sums.values(), values, strict=False):
                flat = value.reshape(-1, value.shape[-1])
                total += np.stack([np.full(flat.shape[1], len(flat)), flat.sum(axis=0), np.square(flat).sum(axis=0)])
            answers += [values[-1]] if outputs else []
        return _Ran(np.concatenate(answers) if answers else None, first, self._diverged(sums))

    def _tapped(self, *, outputs: bool) -> Tapped:
        from generator.network.execute import OUTPUT, Tap

        taps = [Tap(self.first), *(Tap(name, "pre_activation") for name in self.kept), *([Tap(OUTPUT)] if outputs else [])]
        return self.network.tapped(taps, batch=_BATCH)

    def _diverged(self, sums: Mapping[str, NDArray]) -> float:
        each = []
        for name, (count, total, squares) in sums.items():
            mean = total / count
            each.append(divergence(mean, np.maximum(squares / count - mean**2, 0), self.kept[name]))
        return float(np.mean(each)) if each else 0.0


def examine(
    loaded: LoadedModel,
    size: tuple[int, int, int],
    preprocessing: Preprocessing,
    own: Preprocessing,
    labels: Sequence[str] | None,
    images: Images,
) -> Examination:
    """Everything that looks wrong. size: `(h, w, c)` of the network's input here. own: the source's preprocessing.

    Of a network that takes long, fewer images are looked at.

    Raises `UserError` for images that cannot be read and networks that cannot be run.
    """
    from generator.network.execute import Network

    network = Network(loaded.apply, loaded.params, size)
    others = alternatives(preprocessing, own)
    one_pass = sum(layer.flops for layer in network.graph.layers) * (len(others) + 1) / _FLOPS_PER_SECOND
    images = images.at_most(max(_FEWEST_IMAGES, int(_LABELLED_S / one_pass) if one_pass else len(images)))
    kernels = network.weights([layer.name for layer in network.graph.layers if layer.has_kernel])
    statistics = statistics_of(_flat(loaded.params))
    known = {name: normalised_by(weights.scale, statistics) for name, weights in kernels.items()}
    kept = {name: one for name, one in known.items() if one is not None}
    first = network.graph.by_name[next(iter(kernels), network.graph.layers[0].name)]
    patient = _Patient(network, images, first.name, dict(list(kept.items())[:_NORMALISATIONS]))
    ran = patient.run(preprocessing, outputs=True)
    truth, named = _named(images, ran)
    findings = (
        *look_at_kernels({name: weights.kernel for name, weights in kernels.items()}),
        *never_trained(statistics),
        *look_at_first_layer(first.name, first.activation, ran.first),
        *look_at_outputs(ran.outputs, labels),
        *_input_and_names(patient, others, ran, truth, named, labels or ()),
        *_as_in_use(loaded, size, images, preprocessing),
    )
    return Examination(findings, len(images), len(truth), int((truth == named).sum()))


def _named(images: Images, ran: _Ran) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """The classes of the labelled images, and those that the network names; none where its outputs are no classes."""
    truth = np.array([-1 if number is None else number for number in images.truth], int)
    if ran.outputs.ndim != 2:
        return truth[:0], truth[:0]
    return truth[truth >= 0], ran.outputs.argmax(axis=1)[truth >= 0]


def _input_and_names(
    patient: _Patient,
    others: list[Alternative],
    ran: _Ran,
    truth: NDArray[np.integer],
    named: NDArray[np.integer],
    labels: Sequence[str],
) -> list[Finding]:
    """The likeliest of what looks alike: names in another order, images prepared otherwise, a network that guesses."""
    return (
        in_another_order(truth, named, labels)
        or _better_preprocessing(patient, others, ran)
        or no_better_than_chance(truth, named, labels)
    )


def _better_preprocessing(patient: _Patient, others: list[Alternative], ran: _Ran) -> list[Finding]:
    """By labels where images have them, else by the statistics of training, where the network keeps any."""
    truth = np.array([-1 if number is None else number for number in patient.images.truth])
    labelled = truth >= 0
    by_labels = labelled.sum() >= FEWEST and ran.outputs.ndim == 2
    if not by_labels and not patient.kept:
        return []
    runs = {one.name: patient.run(one.preprocessing, outputs=by_labels) for one in others}
    if by_labels:
        right = {name: (one.outputs.argmax(axis=1) == truth)[labelled] for name, one in runs.items()}
        found = better_by_labels((ran.outputs.argmax(axis=1) == truth)[labelled], right, others)
        if found:
            return found
    if not patient.kept:
        return []
    return better_by_statistics(ran.diverged, {name: one.diverged for name, one in runs.items()}, others, len(truth))


def _as_in_use(loaded: LoadedModel, size: tuple[int, int, int], images: Images, stated: Preprocessing) -> list[Finding]:
    """Whether it draws random numbers, and whether images that run together change each other's outputs."""
    import jax

    shape = jax.ShapeDtypeStruct((1, *size), np.float32)
    draws = len(_DRAWS.findall(str(jax.make_jaxpr(loaded.apply)(loaded.params, shape))))
    if draws:
        return random_numbers(draws)
    some = np.stack([prepare(images.read(n), stated).input for n in range(min(_IN_COMPANY, len(images)))])
    if len(some) < 2:
        return []
    run = jax.jit(lambda params, images: jax.tree_util.tree_leaves(loaded.apply(params, images))[0])
    alone = np.concatenate([np.asarray(run(loaded.params, image[None])) for image in some])
    return in_company(alone, np.asarray(run(loaded.params, some)))


def _batches(num_images: int) -> Iterator[range]:
    return (range(start, min(start + _BATCH, num_images)) for start in range(0, num_images, _BATCH))


def _flat(params: Mapping, start: str = "") -> dict[str, NDArray]:
    found: dict[str, NDArray] = {}
    for name, value in params.items():
        found.update(_flat(value, f"{start}{name}/") if isinstance(value, Mapping) else {f"{start}{name}": np.asarray(value)})
    return found
