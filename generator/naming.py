"""Names that are safe as file names and in URLs, made from any text a user or a model may bring.

A slug holds only `a-z 0-9 . _ -`, is 1 to 64 characters long, starts with a letter or a digit, ends with neither a dot nor a
dash, and is no device name of Windows. Lower case, because names that differ in case only are one file on macOS and Windows.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

#: Longest slug. Leaves room for `u0123.html` and a temporary file's suffix within the 255 bytes of common file systems.
MAX_LENGTH = 64

#: Letters that Unicode does not decompose into a Latin letter and an accent.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h", "ŧ": "t"}
)
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)")


def slug(text: str) -> str:
    """A safe name that still reads like `text`: `Ankle boot` -> `ankle-boot`, `blocks/3/expand` -> `blocks.3.expand`.

    `/` and `\\` become a dot; accents are dropped; other characters become a dash. Where letters or digits of another script
    would get lost, or the text is too long, eight digits of the text's sha256 keep the name apart from its likes.
    `slug(slug(text)) == slug(text)`.
    """
    lowered = unicodedata.normalize("NFKD", text).lower().translate(_LETTERS)
    name = re.sub(r"[/\\]", ".", lowered)
    name = "".join(c for c in name if not unicodedata.combining(c))
    lost_letters = any(c.isalnum() and not c.isascii() for c in name)
    name = _tidy(re.sub(r"[^a-z0-9._-]+", "-", name))
    if lost_letters or not name or len(name) > MAX_LENGTH:
        name = _shorten(name, _digest(text))
    return name


def unique_slugs(texts: Iterable[str], reserved: Iterable[str] = ()) -> tuple[str, ...]:
    """A slug for each text, all different: the first of equals keeps its slug, the others get `-2`, `-3`, ...

    reserved: names that none may have (`index`, say).
    """
    slugs = [slug(text) for text in texts]
    taken = set(reserved)
    keeps = []
    for name in slugs:
        keeps.append(name not in taken)
        taken.add(name)
    # Only now, so that the second "a" does not take the name of a later "a-2".
    next_number = dict.fromkeys(slugs, 2)
    unique = []
    for name, keep in zip(slugs, keeps, strict=True):
        candidate = name
        while not keep and candidate in taken:
            candidate = _shorten(name, str(next_number[name]))
            next_number[name] += 1
        taken.add(candidate)
        unique.append(candidate)
    return tuple(unique)


def _tidy(name: str) -> str:
    """Dots and dashes only between other characters, never doubled; device names of Windows made harmless."""
    name = re.sub(r"-*\.[.-]*", ".", name)
    name = re.sub(r"-{2,}", "-", name).lstrip("._-").rstrip(".-")
    return _WINDOWS_DEVICES.sub(r"\1_", name, count=1) if _WINDOWS_DEVICES.match(name) else name


def _shorten(name: str, suffix: str) -> str:
    """`name-suffix`, with as much of `name` as fits."""
    head = name[: MAX_LENGTH - len(suffix) - 1].rstrip(".-")
    return f"{head}-{suffix}" if head else suffix


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
