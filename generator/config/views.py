"""What is shown of a model: the sections below `views:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from generator.config.sections import Section


class FiltersView(Section):
    """num_strongest: how many of the strongest inputs of each filter are named and drawn."""

    num_strongest: Annotated[int, Field(ge=1, le=16)] = 8


class FeatureMapsView(Section):
    """values: before and/or after the non-linearity."""

    values: Annotated[tuple[Literal["activation", "pre_activation"], ...], Field(min_length=1)] = ("activation",)


class TopUnits(Section):
    """The `top` units of each layer. by: `spread` (how much their answers to the probes differ), `exemplars` (how far their
    best exemplars stand out from what is usual) or `class` (how much they matter for the class `of`).
    """

    top: PositiveInt
    by: Literal["spread", "exemplars", "class"] = "spread"
    of: str | None = None


class UnitSelection(Section):
    """Units of some layers. layers: `all`, or names and globs. units: `all`, the best few, or numbers; an output's also by
    their class names.
    """

    layers: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"] = "all"
    units: Literal["all"] | TopUnits | Annotated[tuple[int | str, ...], Field(min_length=1)] = TopUnits(top=12)


class FeatureVisView(Section):
    """Images optimised to excite units. select: which units; for each layer the first entry that names it counts.

    preset: `draft`, `standard` or `publication` set steps and transforms. size_px: side of the images; default 128, or the
    model's input if that is smaller. steps: instead of the preset's. objective: the whole map of a channel, or its centre.
    negative: also what silences each unit. diverse: how many different images of each unit besides. seed: another one
    gives other images.
    """

    select: Annotated[tuple[UnitSelection, ...], Field(min_length=1)] = (UnitSelection(),)
    preset: Literal["draft", "standard", "publication"] = "standard"
    objective: Literal["channel", "neuron"] = "channel"
    parameterisation: Literal["fourier", "pixels", "maco"] = "fourier"
    size_px: Annotated[int, Field(ge=16, le=1024)] | None = None
    steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    negative: bool = True
    diverse: Annotated[int, Field(ge=0, le=8)] = 0
    seed: Annotated[int, Field(ge=0)] = 0


class ExemplarsView(Section):
    """The images of the model's `dataset` that excite each unit most. highest, lowest, spread: how many of each (spread: at
    equally spaced quantiles). look: `heat` lays the unit's map over each patch, `dim` darkens what does not excite it.
    """

    highest: Annotated[int, Field(ge=1, le=32)] = 9
    lowest: Annotated[int, Field(ge=0, le=32)] = 3
    spread: Annotated[int, Field(ge=0, le=16)] = 3
    look: Literal["heat", "dim"] = "dim"


class HealthView(Section):
    """Dead and redundant units, told from the dataset that the model is `measured_on`.

    rare: a unit that is above zero on a smaller share of images is reported. alike: units whose activations correlate so much
    are redundant. shares: such shares of the units of each layer, the least important ones, are set to zero to see what
    happens. tried_on: images that is tried on, at most.
    """

    rare: Annotated[float, Field(ge=0, le=1)] = 0.01
    alike: Annotated[float, Field(ge=0.9, le=1)] = 0.98
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.25,)
    tried_on: PositiveInt = 100


class ClassesView(Section):
    """How classes differ, told from the dataset that the model is `measured_on`, if its classes are the model's. num_units:
    named for each class, and for each pair. num_pairs: compared on pages of their own, at most; the most confused first.
    """

    num_units: Annotated[int, Field(ge=1, le=64)] = 12
    num_pairs: Annotated[int, Field(ge=0, le=1000)] = 45


class ViewsConfig(Section):
    """`false` leaves a view out. exemplars, health and classes need a `dataset`."""

    filters: FiltersView | Literal[False] = FiltersView()
    feature_maps: FeatureMapsView | Literal[False] = FeatureMapsView()
    feature_vis: FeatureVisView | Literal[False] = FeatureVisView()
    exemplars: ExemplarsView | Literal[False] = ExemplarsView()
    health: HealthView | Literal[False] = HealthView()
    classes: ClassesView | Literal[False] = ClassesView()
