"""The dataset's images that occur among exemplars, whole: where every patch on a unit's page came from."""

from __future__ import annotations

from generator.pages import tiles, urls
from generator.pages.chips import unit_text
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import IMAGES_A_PAGE, Gallery, Model
from generator.records import DatasetInfo, Record

#: Units named under an image.
SHOWN_UNITS = 3


class SourceImage(Record):
    """journey: of the probe it is a crop of. units: some of those that answer to no other image as strongly."""

    index: int
    title: str
    label: str
    journey: str
    sheet: int
    column: int
    row: int
    units: tuple[Link, ...]
    more_units: int


class ImagesView(Record):
    """files, columns: of the sheets. others: the further pages, this one without an address."""

    frame: Frame
    model: Link
    dataset: DatasetInfo
    num_shown: int
    smooth: bool
    files: tuple[str, ...]
    columns: tuple[int, ...]
    images: tuple[SourceImage, ...]
    others: tuple[Link, ...]


def images_pages(gallery: Gallery, model: Model) -> list[Page]:
    """None without exemplars; several where one would grow too long."""
    found = model.content.images
    if not found or not found.images:
        return []
    best = _best_units(model)
    count = -(-len(found.images) // IMAGES_A_PAGE)
    pages = []
    for number in range(count):
        page = model.places.images_page(number)
        view = ImagesView(
            frame=gallery.frame(
                page,
                f"Images · {model.info.title}" + (f" · {number + 1} of {count}" if count > 1 else ""),
                f"The images of {found.dataset.title} that excite units of {model.info.title} most and least.",
                crumbs=(model.link(page),),
                stylesheets=("site.css", "pages.css", "units.css"),
            ),
            model=model.link(page),
            dataset=found.dataset,
            num_shown=len(found.images),
            smooth=found.sheets[0].tile_px[0] >= tiles.SMOOTH_FROM_PX,
            files=tuple(tiles.safe_file(s.file) for s in found.sheets),
            columns=tuple(s.columns for s in found.sheets),
            images=tuple(
                _image(model, page, place, best)
                for place in range(number * IMAGES_A_PAGE, min((number + 1) * IMAGES_A_PAGE, len(found.images)))
            ),
            others=tuple(
                Link(text=str(n + 1), href="" if n == number else urls.relative(page, model.places.images_page(n)))
                for n in range(count if count > 1 else 0)
            ),
        )
        pages.append(Page(path=page, template="images.html.jinja", view=view))
    return pages


def _best_units(model: Model) -> dict[int, list[tuple[str, int]]]:
    """By image, the units that it excites most of all images, in the order of layers."""
    best: dict[int, list[tuple[str, int]]] = {}
    for layer in model.graph.by_name:
        for found in model.exemplars_of(layer).values():
            for exemplar in found.highest[:1]:
                best.setdefault(exemplar.image, []).append((layer, found.unit))
    return best


def _image(model: Model, page: str, place: int, best: dict[int, list[tuple[str, int]]]) -> SourceImage:
    image = model.content.images.images[place]
    sheet, column, row = tiles.place(model.content.images.sheets, image.tile)
    units = best.get(image.index, [])
    journey = model.places.probes.get(image.probe) if image.probe else None
    return SourceImage(
        index=image.index,
        title=image.title,
        label=image.label or "",
        journey=urls.relative(page, journey) if journey else "",
        sheet=sheet,
        column=column,
        row=row,
        units=tuple(
            Link(text=unit_text(model, layer, unit), href=model.unit_href(page, layer, unit) or "")
            for layer, unit in units[:SHOWN_UNITS]
        ),
        more_units=max(0, len(units) - SHOWN_UNITS),
    )
