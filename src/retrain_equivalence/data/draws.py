"""Random choices for generated rows: the same on every machine and in every version of Python and numpy.

Neither `random` nor numpy promises its streams across versions, and a generated data set is its bytes. So choices come
from SHA-256 in counter mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of choices named by what it is for.

    Args:
        *name: numbers and words, for example (kind, seed, row, attempt).
    """

    def __init__(self, *name: int | str) -> None:
        self._name = "\0".join(map(str, name)).encode()
        self._counter = 0
        self._words: list[int] = []

    def below(self, n: int) -> int:
        """Return a number in [0, n). The bias of the remainder is below n / 2**64.

        >>> 0 <= Draws("example", 0).below(10) < 10
        True
        """
        if not self._words:
            block = hashlib.sha256(self._name + b"\0" + str(self._counter).encode()).digest()
            self._counter += 1
            self._words = [int.from_bytes(block[at : at + 8], "big") for at in range(0, 32, 8)]
        return self._words.pop() % n

    def between(self, low: int, high: int) -> int:
        """Return a number in [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of `options`."""
        return options[self.below(len(options))]

    def several(self, options: Sequence[T], n: int) -> list[T]:
        """Return `n` different ones of `options`, in random order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(n)]
