"""Numbers as files beside the pages that show them: CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from generator.pages.content import Page
from generator.records import Record


class DataView(Record):
    """The file's whole text."""

    text: str


def data_page(path: str, text: str) -> Page:
    """A file of the site that is no page: `text`, as it is."""
    return Page(path=path, template="data.jinja", view=DataView(text=text))


def json_text(record: Record) -> str:
    """The record as JSON that is harmless wherever it is pasted: no `<` in it."""
    return record.model_dump_json().replace("<", "\\u003c") + "\n"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV of RFC 4180 but for plain line ends; None is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
