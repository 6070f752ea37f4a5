"""How the layers of a network are called: by the names its owner knows, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from generator.network import ops
from generator.network.graph import INPUT


class Names:
    """Gives out names, in the order in which layers begin.

    parameters: the paths of all parameters. A name that is given again gets a number: `conv@2` is a layer's second use.
    """

    def __init__(self, parameters: Iterable[str]):
        self._kernels = {_stem(path) for path in parameters if path.rpartition("/")[2] in ops.KERNEL_NAMES}
        self._taken = {INPUT}
        self._given: Counter[tuple[str, int]] = Counter()

    def of_kernel(self, path: str) -> str:
        """A layer with a kernel is called after the kernel's path."""
        return self._free(_stem(path))

    def of_scope(self, name: str) -> str:
        """What has no kernel after the owner's layer that it is part of; the name itself is for that layer's kernel, if any."""
        return self._free(name, first=2 if name in self._kernels else 1)

    def of_kind(self, kind: str) -> str:
        """... and if it is part of none, after what it does."""
        return self._free(kind, "_", first=0)

    def _free(self, stem: str, mark: str = "@", first: int = 1) -> str:
        while True:
            number = first + self._given[stem, first]
            self._given[stem, first] += 1
            name = stem if (number, mark) == (1, "@") else f"{stem}{mark}{number + (mark == '_')}"
            if name not in self._taken:
                self._taken.add(name)
                return name


def _stem(path: str) -> str:
    *parents, leaf = path.removeprefix("params/").split("/")
    return "/".join(parents) if parents and leaf in ops.KERNEL_NAMES else "/".join([*parents, leaf])
