"""Where every page lives, and the relative way from one to another.

index.html · about.html · glossary.html · walkthrough/index.html · walkthrough/<step>.html
m/<model>/index.html · m/<model>/<layer>.html · m/<model>/probes/<probe>.html
m/<model>/<layer>/filters.html: the strongest inputs of its filters, where they are too many for the layer's page
m/<model>/<layer>/u0123.html: one unit · m/<model>/images.html#i<index>: dataset images among exemplars (more: images/2.html)
m/<model>/hierarchy.html: how patterns build on each other · m/<model>/summary.html: the model on one page
m/<model>/health.html: which units are dead or redundant (its numbers: health.csv, health.json)
m/<model>/classes.html · m/<model>/class/<class>.html · m/<model>/compare/<class>-vs-<class>.html: how classes differ
m/<model>/<layer>.js: the layer's numbers, read by its page and by journeys when a tile is opened
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from generator.naming import unique_slugs

HOME = "index.html"
ABOUT = "about.html"
GLOSSARY = "glossary.html"
WALKTHROUGH = "walkthrough/index.html"
NOT_FOUND = "404.html"
SITEMAP = "sitemap.xml"

#: Pages of a model that a layer's page must not take the place of.
RESERVED = ("index", "probes", "images", "health", "classes", "hierarchy", "compare", "data", "class", "summary")


@dataclass(frozen=True)
class ModelPlaces:
    """Paths of one model's pages from the site's root. layers, numbers, filters, folders, probes: by name.

    folders: where a layer's unit pages lie.
    """

    index: str
    images: str
    hierarchy: str
    summary: str
    health: str
    classes: str
    layers: dict[str, str]
    numbers: dict[str, str]
    filters: dict[str, str]
    folders: dict[str, str]
    probes: dict[str, str]

    def images_page(self, number: int) -> str:
        """The dataset's images fill one page, or several from 0 on."""
        return self.images if number == 0 else f"{self.images.removesuffix('.html')}/{number + 1}.html"

    def unit(self, layer: str, unit: int) -> str:
        return f"{self.folders[layer]}/u{unit:04d}.html"

    def class_page(self, slug: str) -> str:
        return f"{self.classes.removesuffix('classes.html')}class/{slug}.html"

    def comparison(self, first: str, second: str) -> str:
        """Of two classes, by their slugs."""
        return f"{self.classes.removesuffix('classes.html')}compare/{first}-vs-{second}.html"


def places(models: Sequence[tuple[str, Sequence[str], Sequence[str]]]) -> dict[str, ModelPlaces]:
    """Paths for `(model, layers, probes)`, by model name."""
    found = {}
    folders = unique_slugs([name for name, _, _ in models])
    for (name, layers, probes), folder in zip(models, folders, strict=True):
        slugs = unique_slugs(layers, RESERVED)
        found[name] = ModelPlaces(
            index=f"m/{folder}/index.html",
            images=f"m/{folder}/images.html",
            hierarchy=f"m/{folder}/hierarchy.html",
            summary=f"m/{folder}/summary.html",
            health=f"m/{folder}/health.html",
            classes=f"m/{folder}/classes.html",
            layers={layer: f"m/{folder}/{slug}.html" for layer, slug in zip(layers, slugs, strict=True)},
            numbers={layer: f"m/{folder}/{slug}.js" for layer, slug in zip(layers, slugs, strict=True)},
            filters={layer: f"m/{folder}/{slug}/filters.html" for layer, slug in zip(layers, slugs, strict=True)},
            folders={layer: f"m/{folder}/{slug}" for layer, slug in zip(layers, slugs, strict=True)},
            probes={probe: f"m/{folder}/probes/{slug}.html" for probe, slug in zip(probes, unique_slugs(probes), strict=True)},
        )
    return found


def walkthrough(step: str) -> str:
    """The page of a step of the walkthrough, by its slug."""
    return f"{WALKTHROUGH.removesuffix('index.html')}{step}.html"


def root(page: str) -> str:
    """The way from a page to the site's root: `""`, `"../../"`."""
    return "../" * page.count("/")


def relative(page: str, target: str) -> str:
    """The link on `page` that leads to `target`, percent-encoded. Both are paths from the root, without dots."""
    return _way(page.rpartition("/")[0], target)


@lru_cache(maxsize=1 << 16)
def _way(folder: str, target: str) -> str:
    here, there = folder.split("/") if folder else [], target.split("/")
    shared = next((i for i, (a, b) in enumerate(zip(here, there[:-1], strict=False)) if a != b), min(len(here), len(there) - 1))
    return quote("../" * (len(here) - shared) + "/".join(there[shared:]))


def absolute(base_url: str, target: str) -> str:
    return f"{base_url.rstrip('/')}/{quote(target)}"


def query(value: str) -> str:
    """A value inside a link's `?key=value`, percent-encoded."""
    return quote(value, safe="")
