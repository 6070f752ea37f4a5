"""What all sections of a configuration share."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RefusedValueError(ValueError):
    """A value of the right type that breaks a rule of ours. way_out: what to write instead."""

    def __init__(self, message: str, way_out: str):
        super().__init__(message)
        self.way_out = way_out


def _url_segment(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:64].strip("._-")
    rule = "a name becomes part of a URL: 1-64 letters a-z, digits, '.', '_' or '-', with a letter or digit at both ends"
    example = f"write {slug!r}; " if slug else ""
    raise RefusedValueError(f"{rule}; got {name!r}", f"{example}any text can be a `title:`")


Name = Annotated[str, AfterValidator(_url_segment)]
FilePath = Annotated[str, Field(min_length=1, max_length=1024)]
SidePx = Annotated[int, Field(ge=1, le=4096)]
