"""Random choices that are the same on every machine and with every version of every library.

Python and NumPy promise neither for their generators' choices, and a data set must not change with an upgrade.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    """A stream of integers that ``key`` alone decides."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._block = 0
        self._numbers: list[int] = []

    def below(self, limit: int) -> int:
        """An integer from 0 to ``limit - 1``."""
        if not self._numbers:
            digest = hashlib.blake2b(f"{self._key}:{self._block}".encode()).digest()
            self._block += 1
            self._numbers = [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 64, 4)]
        return self._numbers.pop() % limit

    def between(self, lowest: int, highest: int) -> int:
        """An integer from ``lowest`` to ``highest``, both included."""
        return lowest + self.below(highest - lowest + 1)

    def pick(self, options: Sequence[Item]) -> Item:
        """One of ``options``."""
        return options[self.below(len(options))]

    def pick_several(self, options: Sequence[Item], number: int) -> list[Item]:
        """``number`` different ones of ``options``."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(number)]
