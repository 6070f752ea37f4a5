"""Datasets of the config: listed cheaply, read image by image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.config.datasets import (
    CropsDataset,
    CsvDataset,
    DatasetConfig,
    FolderDataset,
    IdxDataset,
    NpzDataset,
    PublishedDataset,
    ZooDataset,
)
from generator.probes import datasets_crops, datasets_files
from generator.probes.datasets_files import Source
from generator.probes.download import Report, silent
from generator.probes.probe import Probe
from generator.records import DatasetInfo


@dataclass(frozen=True)
class Dataset:
    """Images by number, `0 ... len() - 1`. What it holds in memory does not grow with what has been read.

    info: what is known of it without decoding an image.
    """

    info: DatasetInfo
    _source: Source = field(repr=False)
    _kept: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_here(self) -> bool:
        """Whether its images can be read on this machine."""
        return self._source.is_here

    @cached_property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, of what the images and their labels come from, and of which are taken."""
        parts = [self._source.fingerprint(self._kept), hashlib.sha256(self._kept.astype("<i8").tobytes()).hexdigest()]
        return hashlib.sha256(json.dumps([*parts, self.info.labels]).encode()).hexdigest()

    def label(self, index: int) -> int | None:
        """The image's class, an index into `info.labels`."""
        labels = self._source.labels
        return None if labels is None else int(labels[self._kept[index]])

    def title(self, index: int) -> str:
        return self._source.title(int(self._kept[index]))

    def probe(self, index: int) -> str | None:
        """The name of the probe that the image is a piece of, if it is one."""
        return self._source.probe(int(self._kept[index]))

    def read(self, index: int) -> NDArray[np.uint8]:
        """The image, uint8 `(h, w, 1)` grey or `(h, w, 3)` RGB. Raises `ProbeError` where its file cannot be decoded."""
        return self._source.read(int(self._kept[index]))


def open_dataset(config: DatasetConfig, base: Path, probes: Mapping[str, Sequence[Probe]], report: Report = silent) -> Dataset:
    """The dataset that `config` describes.

    base: the folder that paths are relative to. probes: the probes of every set, by its name; only crops need them. report:
    called while a published dataset is fetched, with the file's name, the bytes that have come and those that it has.
    Raises `ProbeError` with everything that is wrong with files and labels; images are not decoded.
    """
    source = _source(config, base, probes, report)
    kept = evenly(source.labels, source.num_images, getattr(config, "limit", None))
    info = DatasetInfo(
        name=config.name,
        title=config.title or config.name,
        kind="crops" if isinstance(config, CropsDataset) else "images",
        num_images=len(kept),
        provenance=source.provenance,
        licence=source.licence,
        labels=source.label_names,
    )
    return Dataset(info, source, kept)


def _source(config: DatasetConfig, base: Path, probes: Mapping[str, Sequence[Probe]], report: Report) -> Source:
    match config:
        case FolderDataset():
            return datasets_files.folder(config, base)
        case IdxDataset():
            return datasets_files.idx(config, base)
        case NpzDataset():
            return datasets_files.npz(config, base)
        case CsvDataset():
            return datasets_files.table(config, base)
        case PublishedDataset():
            return datasets_files.published(config, base, report)
        case ZooDataset(split="test"):
            return datasets_files.test_set(config)
        case ZooDataset():
            return datasets_files.shipped(config)
        case CropsDataset():
            return datasets_crops.crops(config, probes)


def evenly(labels: NDArray[np.integer] | None, num_images: int, limit: int | None) -> NDArray[np.int64]:
    """Which of `num_images` images are taken, rising: `limit` of them, as many of each class as it has and the others allow,
    spread over each class from first to last (files often come in bursts that look alike)."""
    if limit is None or limit >= num_images:
        return np.arange(num_images)
    classes = [np.arange(num_images)] if labels is None else [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares = [0] * len(classes)
    left, open_ = limit, [number for number, members in enumerate(classes) if len(members)]
    while left:
        each, rest = divmod(left, len(open_))
        for place, number in enumerate(open_):
            more = min(each + (place < rest), len(classes[number]) - shares[number])
            shares[number] += more
            left -= more
        open_ = [number for number in open_ if shares[number] < len(classes[number])]
    places = [
        members[(np.arange(share) * 2 + 1) * len(members) // (2 * share)] if share else members[:0]
        for members, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(places))
