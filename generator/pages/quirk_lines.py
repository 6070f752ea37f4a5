"""Surprising facts about a model, each with the way to its evidence."""

from __future__ import annotations

from generator.pages import urls
from generator.pages.chips import unit_text
from generator.pages.content import Link
from generator.pages.gallery import Model
from generator.records import Quirk, Record

#: Lines at the head of a model's page.
MOST = 8
#: Kinds whose evidence is what the page of health says of the layer: pairs side by side, ranks, removals.
OF_HEALTH = frozenset({"removable", "alike", "opposite", "narrow", "rough"})


class QuirkLine(Record):
    """link: its evidence; None where no page shows it."""

    text: str
    link: Link | None


def quirk_lines(model: Model, page: str, most: int = MOST) -> tuple[QuirkLine, ...]:
    return tuple(QuirkLine(text=one.text, link=evidence(model, page, one)) for one in model.content.quirks[:most])


def evidence(model: Model, page: str, quirk: Quirk) -> Link | None:
    """The way from `page` to what shows a quirk: a layer's health, a comparison or class, a journey, a unit, or a layer."""
    ways = (_of_health, _of_class, _of_probe, _of_layer)
    return next((link for way in ways if (link := way(model, page, quirk))), None)


def _of_health(model: Model, page: str, quirk: Quirk) -> Link | None:
    layer = quirk.layer
    if not layer or layer not in model.health:
        return None
    if quirk.kind == "spare":
        href = model.health_href(page, layer, "without")
        return Link(text=f"{layer} without them", href=href) if href else None
    href = model.health_href(page, layer) if quirk.kind in OF_HEALTH else None
    return Link(text=f"health of {layer}", href=href) if href else None


def _of_class(model: Model, page: str, quirk: Quirk) -> Link | None:
    """Not where it is about a unit, which is more telling."""
    classes, first, second = model.content.classes, quirk.first, quirk.second
    if classes is None or first is None or quirk.unit is not None:
        return None
    compared = model.comparison_href(page, first, second) if second is not None else None
    if compared and second is not None:
        return Link(text=f"{classes.labels[first]} and {classes.labels[second]} compared", href=compared)
    return Link(text=classes.labels[first], href=model.class_href(page, first))


def _of_probe(model: Model, page: str, quirk: Quirk) -> Link | None:
    for found in model.content.probes:
        if found.probe.name == quirk.probe:
            href = urls.relative(page, model.places.probes[found.probe.name])
            return Link(text=f"{found.probe.title}, layer by layer", href=href)
    return None


def _of_layer(model: Model, page: str, quirk: Quirk) -> Link | None:
    if quirk.layer is None:
        return None
    if quirk.unit is None:
        return model.layer_link(page, quirk.layer)
    href = model.unit_href(page, quirk.layer, quirk.unit)
    return Link(text=unit_text(model, quirk.layer, quirk.unit), href=href) if href else None
