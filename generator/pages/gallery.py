"""The gallery with its addresses and look-ups: what every page builder starts from."""

from __future__ import annotations

from functools import cached_property

from generator.naming import unique_slugs
from generator.pages import tiles, urls
from generator.pages.assets import asset
from generator.pages.content import Frame, GalleryContent, Link, ModelContent
from generator.records import ColorTable, DatasetImage, FeatureMaps, LayerHealth, ProbeInfo, ProbePictures, UnitExemplars

#: Dataset images on one page.
IMAGES_A_PAGE = 2_000


class Model:
    """One model's content with its places; look-ups are by name."""

    def __init__(self, content: ModelContent, places: urls.ModelPlaces):
        self.content = content
        self.places = places
        self.info = content.info
        self.graph = content.graph
        self.thumbnails: dict[tuple[str, int], tiles.Cell | None] = {}
        self._visualised: dict[str, dict[int, int]] = {}
        self._exemplars: dict[str, dict[int, UnitExemplars]] = {}

    @cached_property
    def maps(self) -> dict[tuple[str, str, str], FeatureMaps]:
        """By layer, probe, value."""
        return {(m.layer, m.probe, m.value): m for m in self.content.feature_maps}

    @cached_property
    def maps_by_layer(self) -> dict[str, list[FeatureMaps]]:
        found: dict[str, list[FeatureMaps]] = {}
        for maps in self.content.feature_maps:
            found.setdefault(maps.layer, []).append(maps)
        return found

    @property
    def bgr(self) -> bool:
        """Whether red and blue of colour filters are to be exchanged, since the model reads blue first."""
        return self.info.preprocessing.channels == "bgr"

    @property
    def first_probe(self) -> ProbePictures | None:
        return self.content.probes[0] if self.content.probes else None

    def main_maps(self, layer: str, probe: str) -> FeatureMaps | None:
        """A layer's activation on a probe; its pre-activation where that is all there is."""
        return self.maps.get((layer, probe, "activation")) or self.maps.get((layer, probe, "pre_activation"))

    def unit_names(self, layer: str) -> tuple[str, ...]:
        """The class each unit of `layer` stands for; empty for a layer that is no output, or not one of all classes."""
        labels = self.content.labels or ()
        is_output = layer in self.graph.outputs and self.graph.by_name[layer].num_units == len(labels)
        return labels if is_output else ()

    @cached_property
    def paged(self) -> dict[str, frozenset[int]]:
        """By layer, the units with a page of their own."""
        return {layer: frozenset(units) for layer, units in self.content.unit_pages.items() if layer in self.places.layers}

    def visualised(self, layer: str) -> dict[int, int]:
        """The place of each visualised unit of `layer` in its `FeatureVis.units`."""
        if layer not in self._visualised:
            found = self.content.feature_vis.get(layer)
            self._visualised[layer] = {u.unit: place for place, u in enumerate(found.units)} if found else {}
        return self._visualised[layer]

    def exemplars_of(self, layer: str) -> dict[int, UnitExemplars]:
        """By unit."""
        if layer not in self._exemplars:
            found = self.content.exemplars.get(layer)
            self._exemplars[layer] = {u.unit: u for u in found.units} if found else {}
        return self._exemplars[layer]

    @cached_property
    def health(self) -> dict[str, LayerHealth]:
        """By layer, of those with weights and a page; the others only pass on what these say."""
        found = self.content.health.layers if self.content.health else ()
        by_name = self.graph.by_name
        return {one.layer: one for one in found if one.layer in self.places.layers and by_name[one.layer].has_kernel}

    def health_href(self, page: str, layer: str, what: str = "layer") -> str | None:
        """The way from `page` to what is known of a layer's health (see `health_anchor`); None where nothing is."""
        if layer not in self.health:
            return None
        return f"{urls.relative(page, self.places.health)}#{self.health_anchor(layer, what)}"

    def health_anchor(self, layer: str, what: str = "layer") -> str:
        """what: `layer` for all that is known, `without` for what happens without its weakest units."""
        return f"{what}-{self._anchors[layer]}"

    @cached_property
    def _anchors(self) -> dict[str, str]:
        """The name of each layer without dots, which style sheets and validators would take for something else."""
        plain = [folder.rpartition("/")[2].replace(".", "-") for folder in self.places.folders.values()]
        return dict(zip(self.places.folders, unique_slugs(plain), strict=True))

    @cached_property
    def dataset_images(self) -> dict[int, DatasetImage]:
        """By their numbers in the dataset."""
        return {image.index: image for image in self.content.images.images} if self.content.images else {}

    @cached_property
    def _image_places(self) -> dict[int, int]:
        return {index: place for place, index in enumerate(self.dataset_images)}

    def image_href(self, page: str, index: int) -> str:
        """The way from `page` to a dataset's image that occurs among exemplars."""
        return f"{urls.relative(page, self.places.images_page(self._image_places[index] // IMAGES_A_PAGE))}#i{index}"

    def unit_href(self, page: str, layer: str, unit: int) -> str | None:
        """The way from `page` to a unit: its own page, else its place on its layer's; None for a layer without a page."""
        place = self.places.layers.get(layer)
        if place is None:
            return None
        if unit in self.paged.get(layer, ()):
            return urls.relative(page, self.places.unit(layer, unit))
        return urls.relative(page, place) + self.fragment(layer, unit)

    @cached_property
    def _class_slugs(self) -> tuple[str, ...]:
        return unique_slugs(self.content.classes.labels) if self.content.classes else ()

    @cached_property
    def _compared(self) -> dict[frozenset[int], tuple[int, int]]:
        """Both classes in the order of their comparison."""
        pairs = self.content.classes.comparisons if self.content.classes else ()
        return {frozenset((pair.first, pair.second)): (pair.first, pair.second) for pair in pairs}

    def class_path(self, index: int) -> str:
        """The page of a class, from the site's root."""
        return self.places.class_page(self._class_slugs[index])

    def comparison_path(self, first: int, second: int) -> str:
        return self.places.comparison(self._class_slugs[first], self._class_slugs[second])

    def class_href(self, page: str, index: int) -> str:
        """The way from `page` to a class."""
        return urls.relative(page, self.class_path(index))

    def comparison_href(self, page: str, first: int, second: int) -> str | None:
        """The way from `page` to the comparison of two classes, in either order; None for a pair that was not compared."""
        pair = self._compared.get(frozenset((first, second)))
        return urls.relative(page, self.comparison_path(*pair)) if pair else None

    def fragment(self, layer: str, unit: int) -> str:
        """Where a unit stands on its layer's page, which may be without maps."""
        filters = self.content.filters.get(layer)
        if layer in self.maps_by_layer or unit in self.visualised(layer):
            return f"#u{unit}"
        return f"#f{unit}" if filters and filters.sheets else ""

    def other_label(self, probe: ProbeInfo) -> str:
        """The probe's label where it names a class other than the one the model finds most likely; else empty."""
        predictions = self.content.predictions.get(probe.name)
        if not predictions or not predictions.top or probe.label not in (self.content.labels or ()):
            return ""
        return "" if predictions.top[0].label == probe.label else probe.label

    def layer_link(self, page: str, layer: str, suffix: str = "") -> Link | None:
        """A link to a layer's page; None for a layer without one."""
        place = self.places.layers.get(layer)
        return Link(text=layer, href=urls.relative(page, place) + suffix) if place else None

    def link(self, page: str) -> Link:
        return Link(text=self.info.title, href=urls.relative(page, self.places.index))


class Gallery:
    """All models, and what surrounds every page."""

    def __init__(self, content: GalleryContent):
        self.content = content
        places = urls.places(
            [(m.info.name, m.layers, [p.probe.name for p in m.probes]) for m in content.models],
        )
        self.models = tuple(Model(m, places[m.info.name]) for m in content.models)

    def frame(
        self,
        page: str,
        title: str,
        description: str,
        *,
        crumbs: tuple[Link, ...] = (),
        picture: str | None = None,
        stylesheets: tuple[str, ...] = ("site.css", "pages.css"),
    ) -> Frame:
        """picture: a file from the root, for previews on social media."""
        base = self.content.base_url
        return Frame(
            title=title if title == self.content.title else f"{title} · {self.content.title}",
            description=description,
            site=self.content.title,
            root=urls.root(page),
            stylesheets=tuple(asset(name) for name in stylesheets),
            script=asset("site.js"),
            icon=asset("icon.svg"),
            home=urls.relative(page, urls.HOME),
            about=urls.relative(page, urls.ABOUT),
            walkthrough=urls.relative(page, urls.WALKTHROUGH),
            glossary=urls.relative(page, urls.GLOSSARY),
            models=tuple(model.link(page) for model in self.models),
            crumbs=crumbs,
            canonical=urls.absolute(base, "" if page == urls.HOME else page) if base else None,
            picture=urls.absolute(base, picture) if base and picture else None,
        )

    def tables(self, *, signed: bool, unsigned: bool) -> tuple[ColorTable, ...]:
        """The colour tables a page needs."""
        return tuple(t for t in self.content.color_tables if (signed if t.signed else unsigned))
