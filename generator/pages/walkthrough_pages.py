"""The walkthrough: nine steps into a network with the gallery's own pictures, the same as those of How_to_Visualize_CNN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from generator.pages import tiles, urls
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery
from generator.pages.model_page import first_tables
from generator.pages.walkthrough_network import (
    FirstFilters,
    Layers,
    Networks,
    Passage,
    first_filters,
    layers,
    networks,
    passage,
)
from generator.pages.walkthrough_units import Compared, Found, Idle, Sought, compared, excited, idle, sought
from generator.records import ColorTable, Record

Content = Networks | Layers | FirstFilters | Passage | Sought | Found | Idle | Compared


@dataclass(frozen=True)
class Step:
    """slug: of its page and its template. finds: what the gallery has for it, for a page; None where it has nothing."""

    slug: str
    title: str
    summary: str
    finds: Callable[[Gallery, str], Content | None]

    @property
    def path(self) -> str:
        return urls.walkthrough(self.slug)


STEPS = (
    Step("load", "Load a trained CNN", "What a network is: numbers in, numbers out.", networks),
    Step("layers", "List its layers", "What it is made of, and how much of the image each layer sees.", layers),
    Step("filters", "Look at the first filters", "The small templates that touch the pixels themselves.", first_filters),
    Step("maps", "Follow one image, block by block", "What each part of the network makes of a picture.", passage),
    Step("visualisations", "What units look for", "Images made to excite one unit as much as possible.", sought),
    Step("exemplars", "What real images excite them", "The images of a dataset that a unit answers to most.", excited),
    Step(
        "health", "Dead and redundant units", "Units that say nothing, or what another one says, and whether they can go.", idle
    ),
    Step("classes", "Compare two classes", "What the network mixes up, and what tells the two apart.", compared),
    Step("yours", "Your own model", "The same for a network of yours, in ten lines.", networks),
)


class StepView(Record):
    """found: None where the gallery has nothing for this step. bgr: whether any model's filters read blue first."""

    frame: Frame
    number: int
    title: str
    contents: Link
    steps: tuple[Link, ...]
    found: Content | None
    tables: tuple[ColorTable, ...]
    bgr: bool


class Card(Record):
    """A step on the page of contents. cover: pictures from it; empty where it has none."""

    link: Link
    summary: str
    cover: tuple[tiles.Cell, ...]


class WalkthroughView(Record):
    frame: Frame
    cards: tuple[Card, ...]
    tables: tuple[ColorTable, ...]
    bgr: bool


def walkthrough_pages(gallery: Gallery) -> list[Page]:
    """The page of contents, and one for each step, whatever the gallery holds."""
    return [_contents(gallery), *(_step(gallery, number) for number in range(len(STEPS)))]


def _contents(gallery: Gallery) -> Page:
    page = urls.WALKTHROUGH
    found = [step.finds(gallery, page) for step in STEPS]
    view = WalkthroughView(
        frame=gallery.frame(
            page,
            "Walkthrough",
            f"How to see the inside of a trained CNN, in {len(STEPS)} steps for beginners.",
            stylesheets=("site.css", "pages.css", "walkthrough.css"),
        ),
        cards=tuple(
            Card(
                link=Link(text=step.title, href=urls.relative(page, step.path)),
                summary=step.summary,
                # The last step shows no pictures of its own.
                cover=content.cover if content and step is not STEPS[-1] else (),
            )
            for step, content in zip(STEPS, found, strict=True)
        ),
        tables=first_tables(gallery),
        bgr=any(model.bgr for model in gallery.models),
    )
    return Page(path=page, template="walkthrough.html.jinja", view=view)


def _step(gallery: Gallery, number: int) -> Page:
    step = STEPS[number]
    page = step.path
    contents = Link(text="Walkthrough", href=urls.relative(page, urls.WALKTHROUGH))
    view = StepView(
        frame=gallery.frame(
            page,
            f"{step.title} · Walkthrough",
            step.summary,
            crumbs=(contents,),
            stylesheets=("site.css", "pages.css", "units.css", "walkthrough.css"),
        ),
        number=number + 1,
        title=step.title,
        contents=contents,
        steps=tuple(Link(text=other.title, href=urls.relative(page, other.path)) for other in STEPS),
        found=step.finds(gallery, page),
        tables=first_tables(gallery),
        bgr=any(model.bgr for model in gallery.models),
    )
    return Page(path=page, template=f"walkthrough/{step.slug}.html.jinja", view=view)
