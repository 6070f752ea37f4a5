"""What the readers of single formats raise; `read_checkpoint` adds the place and the way out."""

from __future__ import annotations


class DamagedError(ValueError):
    """The bytes are not a complete, well-formed checkpoint. way_out: if another copy of the file would not help."""

    def __init__(self, message: str, way_out: str = "the file is damaged or incomplete: copy or download it again"):
        super().__init__(message)
        self.way_out = way_out


class ForeignGlobalError(ValueError):
    """A pickle refers to a class or function that is not on the list. name: `module.name`."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name
