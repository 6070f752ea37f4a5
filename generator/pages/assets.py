"""The templates' folder and the files in it that all pages share."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path


def templates_folder() -> Path:
    """The templates inside an installed package, else the checkout's."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


@cache
def assets() -> dict[str, bytes]:
    """The files all pages share, by path from the site's root; names carry a digest of the content."""
    found = {}
    for file in sorted((templates_folder() / "static").iterdir()):
        content = pack(file.read_text(encoding="utf-8"), file.suffix).encode()
        found[f"assets/{file.stem}.{hashlib.sha256(content).hexdigest()[:12]}{file.suffix}"] = content
    return found


def pack(text: str, suffix: str) -> str:
    """The same stylesheet or script without comments, indentation and the line breaks that mean nothing.

    Relies on how ours are written: no comment markers inside strings, statements end with a semicolon or a brace, and no
    string spans lines.
    """
    if suffix not in (".css", ".js"):
        return text
    lines = [line.strip() for line in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).splitlines()]
    joined = "".join(line if line.endswith(("{", ";", ",", "(")) else f"{line}\n" for line in lines if line)
    return joined.replace("\n", "") if suffix == ".css" else joined


def asset(name: str) -> str:
    """The path of `site.css`, say, with its digest in it."""
    stem, _, suffix = name.rpartition(".")
    return next(path for path in assets() if path.startswith(f"assets/{stem}.") and path.endswith(f".{suffix}"))


def templates_digest() -> str:
    """Changes whenever a template or a shared file does."""
    digest = hashlib.sha256()
    folder = templates_folder()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()
