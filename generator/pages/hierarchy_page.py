"""How simple patterns become complex ones: the stages of a network side by side, from pixels to classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from generator.network.graph import Layer
from generator.pages import representatives, stage_statistics, tiles, trace_view, wording
from generator.pages.content import Frame, Link, Page
from generator.pages.gallery import Gallery, Model
from generator.pages.model_page import first_tables
from generator.pages.representatives import Candidate
from generator.pages.stage_statistics import Rose, Spread, StageStatistics
from generator.pages.trace_view import TraceView
from generator.records import ColorTable, Picture, Record, Sheet

#: Best exemplars below each unit.
SHOWN_PATCHES = 3
#: Pictures of fewer pixels a side are enlarged in squares.
SMOOTH_FROM_PX = 64


class Piece(Record):
    """A tile of the view's sheet number `sheet`."""

    sheet: int
    column: int
    row: int


class Representative(Record):
    """colours: of a map; None for a picture that carries its own. patches: the best exemplars. named: whether it is a class."""

    name: str
    named: bool
    href: str
    picture: Piece
    colours: tiles.Colours | None
    patches: tuple[Piece, ...]


class Drawing(Record):
    """A stage's rose or ring. petals: hue in degrees (None for the rose) and path."""

    mean: float
    petals: tuple[tuple[int | None, str], ...]


class Bars(Record):
    """heights: 0-1, of the tallest bar; bar i holds units of a selectivity around (i + 1/2) / n. median: of all units."""

    heights: tuple[float, ...]
    median: float


class Column(Record):
    """One stage. units: the first one is shown large. field: what one position sees at the stage's end."""

    title: str
    layers: str
    field: tiles.FieldBox
    field_text: str
    units: tuple[Representative, ...]
    silent: float | None
    selectivity: Bars | None
    orientation: Drawing | None
    hue: Drawing | None


class SheetFile(Record):
    """smooth: whether its pictures are drawn smoothly; small ones show their pixels."""

    file: str
    smooth: bool
    columns: int


class HierarchyView(Record):
    """photo: the image the receptive fields are drawn on. trace: of the most telling unit of the last stage."""

    frame: Frame
    model: Link
    photo: Picture | None
    columns: tuple[Column, ...]
    sheets: tuple[SheetFile, ...]
    visualised: bool
    patched: bool
    measured: bool
    trace: TraceView | None
    trace_title: str
    tables: tuple[ColorTable, ...]
    bgr: bool


class _Sheets:
    """Numbers sheets as they occur, so that each is named once on the page."""

    def __init__(self) -> None:
        self.files: dict[str, SheetFile] = {}

    def piece(self, sheets: list[Sheet], place: int, *, of_map: bool = False) -> Piece:
        cell = tiles.cell(sheets, place)
        smooth = not of_map and min(sheets[0].tile_px) >= SMOOTH_FROM_PX
        self.files.setdefault(cell.file, SheetFile(file=cell.file, columns=cell.columns, smooth=smooth))
        return Piece(sheet=list(self.files).index(cell.file), column=cell.column, row=cell.row)


def hierarchy_pages(gallery: Gallery, model: Model) -> list[Page]:
    """The model's hierarchy page, if there is one: see `representatives.exists`."""
    if not representatives.exists(model):
        return []
    page = model.places.hierarchy
    return [Page(path=page, template="hierarchy.html.jinja", view=_view(gallery, model, page))]


def _view(gallery: Gallery, model: Model, page: str) -> HierarchyView:
    stages = representatives.stages(model)
    score = representatives.scores(model)
    content = model.content
    measured = [stage_statistics.stage_statistics(stage, content.responses, content.tuning) for stage in stages]
    chosen = [representatives.representatives(model, stage, score, representatives.SHOWN_UNITS) for stage in stages]
    sheets = _Sheets()
    columns = _columns(model, page, stages, measured, chosen, sheets)
    traced = next((c for found in reversed(chosen) for c in found[:1]), None)
    trace = trace_view.trace_view(model, page, traced.layer, traced.unit) if traced else None
    return HierarchyView(
        frame=gallery.frame(
            page,
            f"Hierarchy · {model.info.title}",
            f"How edges become patterns and patterns become classes in {model.info.title}, stage by stage.",
            crumbs=(model.link(page),),
            stylesheets=("site.css", "pages.css", "units.css", "hierarchy.css"),
        ),
        model=model.link(page),
        photo=model.first_probe.shown if model.first_probe else None,
        columns=columns,
        sheets=tuple(sheets.files.values()),
        visualised=any(c.picture == "visualisation" for found in chosen for c in found),
        patched=any(unit.patches for column in columns for unit in column.units),
        measured=any(value is not None for found in measured for _, value in found),
        trace=trace,
        trace_title=_name(model, traced)[0] if traced else "",
        tables=first_tables(gallery),
        bgr=model.bgr,
    )


def _columns(
    model: Model,
    page: str,
    stages: Sequence[Sequence[Layer]],
    measured: Sequence[StageStatistics],
    chosen: Sequence[Sequence[Candidate]],
    sheets: _Sheets,
) -> tuple[Column, ...]:
    """Roses of all stages share one scale, and rings another, so that they can be compared."""
    angles, hues = (
        max((s for rose in roses if rose for s in rose.strengths), default=0.0)
        for roses in ([m.orientation for m in measured], [m.hue for m in measured])
    )
    found = []
    for stage, numbers, units in zip(stages, measured, chosen, strict=True):
        last = stage[-1]
        found.append(
            Column(
                title=wording.size(last.spatial) if last.spatial else _final(model, stage),
                layers=stage[0].name if len(stage) == 1 else wording.plural(len(stage), "layer"),
                field=tiles.field_box(last.receptive_field, last.spatial, model.graph.input_shape),
                field_text=_field_text(model, last),
                units=tuple(_representative(model, page, c, sheets) for c in units),
                silent=numbers.silent,
                selectivity=_bars(numbers.selectivity),
                orientation=_drawing(numbers.orientation, lambda r: ((None, stage_statistics.orientation_petals(r, angles)),)),
                hue=_drawing(numbers.hue, lambda r: stage_statistics.hue_petals(r, hues)),
            )
        )
    return tuple(found)


def _final(model: Model, stage: Sequence[Layer]) -> str:
    return "Classes" if any(model.unit_names(layer.name) for layer in stage) else "One number each"


def _field_text(model: Model, layer: Layer) -> str:
    """What one position sees; a field larger than the image sees all of it."""
    field = layer.receptive_field
    sides = zip(field.size, model.graph.input_shape, strict=False)
    return (
        "sees the whole image" if field.whole or all(n >= side for n, side in sides) else f"sees {wording.size(field.size)} px"
    )


def _representative(model: Model, page: str, unit: Candidate, sheets: _Sheets) -> Representative:
    name, named = _name(model, unit)
    maps = model.main_maps(unit.layer, model.first_probe.probe.name) if unit.picture == "map" and model.first_probe else None
    return Representative(
        name=name,
        named=named,
        href=model.unit_href(page, unit.layer, unit.unit),
        picture=sheets.piece(unit.sheets, unit.place, of_map=maps is not None),
        colours=tiles.map_colours(maps.signed) if maps else None,
        patches=_patches(model, unit, sheets),
    )


def _name(model: Model, unit: Candidate) -> tuple[str, bool]:
    names = model.unit_names(unit.layer)
    return (names[unit.unit], True) if names else (f"{unit.layer} · {unit.unit}", False)


def _patches(model: Model, unit: Candidate, sheets: _Sheets) -> tuple[Piece, ...]:
    """The best exemplars; where the best is the unit's picture, those after it."""
    exemplars = model.content.exemplars.get(unit.layer)
    found = next((u for u in exemplars.units if u.unit == unit.unit), None) if exemplars else None
    if not exemplars or not found:
        return ()
    first = 1 if unit.picture == "exemplar" else 0
    places = range(len(found.highest))[first : first + SHOWN_PATCHES]
    return tuple(sheets.piece(exemplars.sheets, found.first + i) for i in places)


def _bars(spread: Spread | None) -> Bars | None:
    if spread is None:
        return None
    tallest = max(spread.shares)
    return Bars(heights=tuple(round(s / tallest, 3) for s in spread.shares), median=spread.median)


def _drawing(rose: Rose | None, petals: Callable[[Rose], tuple[tuple[int | None, str], ...]]) -> Drawing | None:
    return Drawing(mean=rose.mean, petals=petals(rose)) if rose else None
