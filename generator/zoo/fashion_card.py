"""What is known of the shipped Fashion CNN without running it: where its files lie, its classes and its card.

Loads neither JAX nor Flax.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from generator.errors import Problem, WeightsError
from generator.records import Preprocessing, Record

LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
#: Mean and standard deviation are those of the 60,000 training images.
PREPROCESSING = Preprocessing(
    size_px=(28, 28), channels="grey", resize="squash", interpolation="bilinear", range=(0.0, 1.0), mean=(0.286,), std=(0.353,)
)
LICENCE = "MIT"
PROVENANCE = "Trained by CNNscope on Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; Zalando Research, MIT licence)"

FOLDER = Path(__file__).parent / "data" / "fashion_cnn"
WEIGHTS_FILE = "final.safetensors"
CARD_FILE = "card.json"
PROBES_FILE = "probes.npz"
PROBES_PER_CLASS = 20
PROBES_RULE = f"the first {PROBES_PER_CLASS} images of each class in the order of the test set"


class Setup(Record):
    """How a training went about it.

    weight_decay: L2, on kernels only. warmup_fraction: share of the steps in which the learning rate rises to its peak; from
    there it falls to 0 along a cosine. max_shift_px: images are shifted by up to so many pixels along each axis, and half of
    them mirrored. num_validation: the last images of the training set, kept out of training.
    """

    epochs: int = 25
    batch_size: int = 128
    peak_learning_rate: float = 0.1
    warmup_fraction: float = 0.07
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.02
    max_shift_px: int = 1
    num_validation: int = 5_000


class Checkpoint(Record):
    """One saved state. file: relative to the card. digest: sha256, hexadecimal. epoch: passes over the training images."""

    file: str
    dtype: str
    step: int
    epoch: float
    test_accuracy: float
    num_bytes: int
    digest: str


class Probes(Record):
    """The shipped test images. num_correct: how many of them the final checkpoint classifies correctly."""

    file: str
    rule: str
    num_images: int
    num_correct: int


class Card(Record):
    """What a training gave. Accuracies are shares, 0-1.

    selection: how the final checkpoint was chosen. data_digests: sha256 of each file of the data, uncompressed.
    confusion: rows are true classes, columns predicted ones, counts over the test set. checkpoints: in order of steps, the
    last one is the final one.
    """

    name: str
    num_params: int
    setup: Setup
    seed: int
    num_steps: int
    num_train: int
    validation_accuracy: float
    num_test: int
    num_test_correct: int
    test_accuracy: float
    selection: str
    labels: tuple[str, ...]
    class_accuracy: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    checkpoints: tuple[Checkpoint, ...]
    probes: Probes
    data: str
    data_digests: dict[str, str]
    licence: str
    versions: dict[str, str]


def read_card(path: Path) -> Card:
    """The card in the file `path`; raises `WeightsError` if it is missing or damaged."""
    way_out = "run `make train-fashion` to make it again"
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(Problem(str(path), f"the card cannot be read: {error.strerror}", way_out)) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise WeightsError(Problem(str(path), "this is no card of a Fashion CNN", way_out)) from error


@cache
def shipped_card() -> Card:
    return read_card(FOLDER / CARD_FILE)


def facts(card: Card) -> tuple[tuple[str, str], ...]:
    """`card` in lines for the model's page."""
    worst = int(np.argmin(card.class_accuracy))
    steps = f"{card.num_steps:,} steps of {card.setup.batch_size} images"
    return (
        ("Test accuracy", f"{card.test_accuracy:.2%} of {card.num_test:,} images"),
        ("Validation accuracy", f"{card.validation_accuracy:.2%} of {card.setup.num_validation:,} images"),
        ("Hardest class", f"{card.labels[worst]}, {card.class_accuracy[worst]:.1%} right"),
        ("Trained on", f"{card.data}, {card.num_train:,} images"),
        (
            "Training",
            f"{card.setup.epochs} epochs, {steps}, seed {card.seed}",
        ),
        ("Checkpoint", card.selection),
        ("Checkpoints along the way", f"{len(card.checkpoints)}, from untrained to final"),
    )
