"""The strongest inputs of every filter, readable and linked without a script: in the layer's page or on a page of their own."""

from __future__ import annotations

from generator.network.graph import INPUT
from generator.pages import tiles, urls, wording
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.records import Filters, Record

#: Lists of at most so many inputs stand in the layer's page itself.
MOST_INSIDE = 160
#: So many on a page of their own; filters of larger layers name fewer inputs there, and all of them in their window.
MOST_ALONE = {"spatial": 12_000, "matrix": 3_000}


class Input(Record):
    """One input of a filter. source: its place in the section's `sources`. weight: of two digits, with its sign.

    href: the way to that unit, empty without one. sheet, column, row: where its slice is drawn; None in a weight matrix.
    """

    source: int
    channel: int
    href: str
    weight: str
    sheet: int | None = None
    column: int = 0
    row: int = 0


class InputsSection(Record):
    """filters: strongest inputs of each filter, at most `shown` of `num_strongest`. sources: href is empty without a page.

    names: the class of every filter of an output; else empty. of: where each filter's own tile or unit is, empty for nowhere.
    files, columns: of the sheets of slices.
    """

    look: str
    names: tuple[str, ...]
    of: tuple[str, ...]
    shown: int
    num_strongest: int
    sources: tuple[Link, ...]
    files: tuple[str, ...]
    columns: tuple[int, ...]
    tile_px: tuple[int, int]
    scale: float
    filters: tuple[tuple[Input, ...], ...]


class InputsView(Record):
    frame: Frame
    model: Link
    layer: Link
    kernel: str
    inputs: InputsSection


def inside(model: Model, filters: Filters, page: str) -> InputsSection | None:
    """The lists for the layer's own page; None where there are none or too many."""
    return section(model, filters, page, "") if 0 < _count(filters) <= MOST_INSIDE else None


def has_page(filters: Filters) -> bool:
    return _count(filters) > MOST_INSIDE


def inputs_page(gallery: Gallery, model: Model, name: str) -> Page:
    page = model.places.filters[name]
    filters = model.content.filters[name]
    layer = Link(text=name, href=urls.relative(page, model.places.layers[name]))
    view = InputsView(
        frame=gallery.frame(
            page,
            f"Inputs of {name} · {model.info.title}",
            f"What each filter of {name} of {model.info.title} reads most.",
            crumbs=(model.link(page), layer),
        ),
        model=model.link(page),
        layer=layer,
        kernel=wording.size(filters.kernel_shape),
        inputs=section(model, filters, page, layer.href),
    )
    return Page(path=page, template="inputs.html.jinja", view=view)


def _count(filters: Filters) -> int:
    return sum(map(len, filters.strongest)) if filters.look in MOST_ALONE else 0


def section(model: Model, filters: Filters, page: str, layer: str) -> InputsSection:
    """layer: the way from `page` to the layer's page, empty if that is the page."""
    names = list(dict.fromkeys(strong.layer for inputs in filters.strongest for strong in inputs))
    shown = max(1, min(filters.num_strongest, MOST_ALONE[filters.look] // filters.num_units))
    sheets = filters.strongest_sheets
    tile_px = sheets[0].tile_px if sheets else (1, 1)
    return InputsSection(
        look=filters.look,
        names=model.unit_names(filters.layer),
        of=tuple(
            f"{layer}#f{unit}" if filters.sheets else layer + model.fragment(filters.layer, unit)
            for unit in range(filters.num_units)
        ),
        shown=shown,
        num_strongest=filters.num_strongest,
        sources=tuple(source(model, name, page) for name in names),
        files=tuple(tiles.safe_file(s.file) for s in sheets),
        columns=tuple(s.columns for s in sheets),
        tile_px=tile_px,
        scale=tiles.scale(tile_px, 36),
        filters=tuple(
            tuple(
                Input(
                    source=names.index(strong.layer),
                    channel=strong.channel,
                    href=model.unit_href(page, strong.layer, strong.channel) or "",
                    weight=wording.number(float(f"{strong.weight:.2g}")),
                    **_slice(filters, unit * filters.num_strongest + place),
                )
                for place, strong in enumerate(inputs[:shown])
            )
            for unit, inputs in enumerate(filters.strongest)
        ),
    )


def source(model: Model, name: str, page: str) -> Link:
    """A layer that inputs come from; without an address if it has no page."""
    own = model.layer_link(page, name)
    return own or Link(text="image channel" if name == INPUT else name, href="")


def _slice(filters: Filters, slot: int) -> dict[str, int]:
    for number, sheet in enumerate(filters.strongest_sheets):
        if sheet.first <= slot < sheet.first + sheet.count:
            row, column = divmod(slot - sheet.first, sheet.columns)
            return {"sheet": number, "column": column, "row": row}
    return {}
