"""What the readers of single formats raise; `read_checkpoint` adds the place and the way out."""

from __future__ import annotations


class DamagedError(ValueError):
    """The bytes are not a complete, well-formed file of the format they seem to have."""


class ForeignGlobalError(ValueError):
    """A pickle refers to a class or function that is not on the list. name: `module.name`."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name
