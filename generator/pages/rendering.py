"""A page to text: the Jinja2 environment and the filters that templates use."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from generator.pages import wording
from generator.pages.assets import templates_folder
from generator.pages.content import Page
from generator.pages.glossary import term
from generator.pages.numbers import numbers_json
from generator.records import ColorTable

#: Points of a colour table written to a page, straight lines in between. Odd, so that zero stays in the middle.
TABLE_POINTS = 33


def render(page: Page) -> str:
    """The page's text. Everything from the view is escaped by Jinja2; views hold no markup."""
    return _environment().get_template(page.template).render(view=page.view)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=wording.number,
        amount=wording.amount,
        size=wording.size,
        compact=_compact,
        table=_table,
        numbers=numbers_json,
        term=term,
    )
    return environment


def _compact(value: float) -> str:
    """A number for CSS and SVG: no exponent, no trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _table(table: ColorTable, channel: str) -> str:
    """One channel's `tableValues`, thinned to `TABLE_POINTS`."""
    values: tuple[float, ...] = getattr(table, channel)
    if len(values) > TABLE_POINTS:
        step = (len(values) - 1) / (TABLE_POINTS - 1)
        values = tuple(_at(values, i * step) for i in range(TABLE_POINTS))
    return " ".join(_compact(round(v, 3)) for v in values)


def _at(values: tuple[float, ...], place: float) -> float:
    index = min(int(place), len(values) - 2)
    return values[index] + (place - index) * (values[index + 1] - values[index])
