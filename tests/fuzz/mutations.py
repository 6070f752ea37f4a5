"""Damaged copies of a file, always the same ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF]


def mutations(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` copies of `content`: cut off, bits flipped, lengths blown up, pieces lost, repeated or exchanged."""
    random = np.random.default_rng(seed)
    for number in range(count):
        damaged = bytearray(content)
        for _ in range(1 if number % 6 == 0 else int(random.integers(1, 5))):
            at = int(random.integers(max(1, len(damaged))))
            # Most formats keep what matters in their first bytes.
            at = at % 64 if random.random() < 0.3 else at
            some = int(random.integers(1, 40))
            match number % 6:
                case 0:
                    del damaged[at:]
                case 1 if damaged:
                    damaged[at % len(damaged)] ^= 1 << int(random.integers(8))
                case 2:
                    damaged[at : at + 4] = bytes([int(random.choice(_NUMBERS))]) * int(random.choice([1, 2, 4, 8]))
                case 3:
                    damaged[at : at + some] = random.bytes(int(random.integers(0, 40)))
                case 4:
                    damaged[at:at] = damaged[at : at + some] * int(random.integers(1, 30))
                case 5:
                    other = int(random.integers(max(1, len(damaged))))
                    damaged[at : at + some] = damaged[other : other + some]
        yield bytes(damaged)
