"""Which numbers stand beside a logarithmic axis."""

from __future__ import annotations

from math import ceil, floor, log10

MOST = 6
"""Labels that an axis of a panel has room for."""


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers within `[low, high]`: 1-2-5 steps over few decades, decades or every n-th decade over many.

    Args:
        low: smallest value shown, > 0.
        high: largest value shown, > low.

    >>> log_ticks(0.9, 7.5), log_ticks(2e-5, 0.3)
    ([1.0, 2.0, 3.0, 5.0], [0.0001, 0.001, 0.01, 0.1])
    >>> log_ticks(1.1, 1.9)
    [1.2, 1.4, 1.6, 1.8]
    """
    first, last = floor(log10(low)), ceil(log10(high))
    for steps in (
        (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 8),
        (1, 1.5, 2, 3, 4, 5, 7),
        (1, 2, 3, 5),
        (1, 2, 5),
        (1, 3),
        (1,),
    ):
        found = [float(f"{m}e{e}") for e in range(first, last + 1) for m in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= MOST:
            return found
    every = ceil((last - first) / MOST)
    return [tick for e in range(first, last + 1, every) if low <= (tick := float(f"1e{e}")) <= high]
