"""The fewest replicates that would do."""

from __future__ import annotations

from collections.abc import Callable


def fewest(would_do: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the smallest n from `least` to `most` that would do; null if none does.

    Doubling, then halving, since a large n may cost more to try than a small one.

    Args:
        would_do: once true, true for every larger n.
        least: where the search begins, 1 or more.
        most: where it gives up.

    >>> fewest(lambda n: n * n > 200, 2, 1_000), fewest(lambda n: False, 2, 1_000)
    (15, None)
    """
    low = high = least
    while not would_do(high):
        if high >= most:
            return None
        low, high = high + 1, min(2 * high, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if would_do(middle) else (middle + 1, high)
    return high
