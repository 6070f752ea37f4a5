"""Image files that a CSV file lists, with or without a label each."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from generator.errors import ProbeError, Problem

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name")
_DELIMITERS = ",;\t|"
#: Lists of more files, or of more bytes, are refused before they fill the memory.
MAX_BYTES, MAX_ROWS = 128 << 20, 2_000_000
#: Problems that are named one by one, and characters of a field that are shown.
_NAMED, _SHOWN = 20, 120


@dataclass(frozen=True)
class Table:
    """files: as the CSV writes them, absolute or relative to its folder. labels: of each file, or None."""

    files: tuple[str, ...]
    labels: tuple[str, ...] | None


def read_table(path: Path, place: str) -> Table:
    """The files that the CSV file `path` lists, each checked to be there.

    UTF-8, with or without a byte-order mark; fields are separated by a comma, semicolon, tab or bar. With a header the columns
    are found by name; without one the first column is the path and the second, if there is one, the label. Raises `ProbeError`,
    naming the line, with everything that is wrong.
    """
    rows = _rows(path, place)
    path_column, label_column, rows = _columns(path, rows)
    files, labels, problems = [], [], []
    num_missing = 0
    for line, row in rows:
        if len(row) <= max(path_column, label_column or 0):
            wanted = max(path_column, label_column or 0) + 1
            problems.append(Problem(f"{path}:{line}", f"{len(row)} fields, where at least {wanted} are needed"))
            continue
        file, label = row[path_column].strip(), "" if label_column is None else row[label_column].strip()
        if label_column is not None and not label:
            problems.append(Problem(f"{path}:{line}", f"{file[:_SHOWN]!r} has no label", "write one, or leave the row out"))
        if not file or not _is_file(path.parent / file):
            num_missing += 1
            problems.append(Problem(f"{path}:{line}", f"no file {file[:_SHOWN]!r}"))
        files.append(file)
        labels.append(label)
    if len(problems) > _NAMED:
        problems[_NAMED:] = [Problem(str(path), f"and {len(problems) - _NAMED:,} more problems like these")]
    if num_missing:
        rule = (
            f"{num_missing:,} of {len(files):,} files are missing; paths in it start from its own folder, {str(path.parent)!r}"
        )
        problems.append(Problem(str(path), rule, "correct the paths, or move the CSV file to where they start"))
    if problems:
        raise ProbeError(problems)
    return Table(tuple(files), None if label_column is None else tuple(labels))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than file systems allow
        return False


def _rows(path: Path, place: str) -> list[tuple[int, list[str]]]:
    """Every row that is not empty, with its line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProbeError(Problem(str(path), f"the file has more than {MAX_BYTES >> 20} MiB", "this is no list of files"))
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ProbeError(Problem(f"{place}.path", f"{path} cannot be read ({error.strerror})", "correct the path")) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ProbeError(Problem(f"{path}:{line}", "this is not UTF-8", "save it as UTF-8")) from error
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count) if any(map(first.count, _DELIMITERS)) else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append((reader.line_num, row))
            if len(rows) > MAX_ROWS:
                raise ProbeError(Problem(str(path), f"there are more than {MAX_ROWS:,} rows", "list fewer files"))
    except csv.Error as error:
        rule = f"this cannot be read as CSV ({error})"
        raise ProbeError(Problem(f"{path}:{reader.line_num}", rule, "put quotes around fields that hold separators")) from error
    if not rows:
        raise ProbeError(Problem(str(path), "the file lists nothing", "write one row for each image: path,label"))
    return rows


def _columns(path: Path, rows: list[tuple[int, list[str]]]) -> tuple[int, int | None, list[tuple[int, list[str]]]]:
    """The columns of paths and of labels, and the rows below a header, if there is one."""
    header = [field.strip().casefold() for field in rows[0][1]]
    paths = [header.index(name) for name in PATH_COLUMNS if name in header]
    labels = [header.index(name) for name in LABEL_COLUMNS if name in header]
    if paths:
        if len(rows) == 1:
            raise ProbeError(Problem(str(path), "there is a header and no row below it", "write one row for each image"))
        return paths[0], labels[0] if labels else None, rows[1:]
    first, second = (_is_file(path.parent / row[0].strip()) for _, row in [*rows, *rows][:2])
    if labels or (second and not first):
        rule = f"no column is named as paths are (found: {', '.join(header)[:_SHOWN]})"
        raise ProbeError(Problem(f"{path}:{rows[0][0]}", rule, f"name it one of {', '.join(PATH_COLUMNS)}"))
    return 0, 1 if len(header) > 1 else None, rows
