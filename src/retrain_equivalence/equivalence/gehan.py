"""Paired Gehan sign: which of two runs got to a level first, where some did not get there or began past it.

Legend: R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from retrain_equivalence.equivalence.measurements import Floats, Ints

METHOD = "paired Gehan sign flip"
"""How findings name this test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gehan:
    """Signs of paired times under censoring, and their test."""

    signs_R: Ints
    """W_r: 1 if the first run took longer, -1 if the second did, 0 if nobody can tell; of replicates with both runs."""
    estimate: float | None
    """Mean sign, in [-1, 1]; null without replicates."""
    p_value: float | None
    """Two-sided; null without replicates."""
    n: int
    """Replicates with both runs."""
    told: int
    """Those in which one run was first: the smallest p-value is `2^(1 - told)`."""


def paired(one_R: Floats, two_R: Floats, horizon: float) -> Gehan:
    """Return the paired Gehan signs of two runs' steps to a level, and the exact p-value of their sign flip.

    `W_r = sign(tau_one - tau_two)` with times known only to lie in [0, horizon]: two runs that were past the level at
    the start, or two that had not reached it by the horizon, give 0. Flipping the sign of whole replicates, the sum of
    W over k non-zero signs is `2 B - k`, B binomial(k, 1/2), so that the flips need not be drawn: the p-value is exact
    for every n. Ties make it conservative.

    Args:
        one_R: steps to the level, one per replicate; 0 or less: there at the start; above `horizon` or inf: not
            reached; nan: no such run, and the replicate does not count.
        two_R: those of the run it is paired with.
        horizon: steps after which nothing was recorded, > 0.

    Source: Gehan 1965, for pairs; the sign flip of the signs is the sign test.

    >>> paired(np.array([3.0, np.inf, 9.0, np.inf]), np.array([1.0, 4.0, 0.0, np.inf]), horizon=10.0).p_value
    0.25
    """
    there = ~(np.isnan(one_R) | np.isnan(two_R))
    first, second = (np.where(times > horizon, np.inf, np.maximum(times, 0.0))[there] for times in (one_R, two_R))
    signs = (first > second).astype(np.int64) - (first < second).astype(np.int64)
    told, total = int(np.abs(signs).sum()), int(signs.sum())
    longer = (told + abs(total)) // 2
    p_value = min(1.0, 2 * float(special.bdtrc(longer - 1, told, 0.5))) if total else 1.0
    return Gehan(
        signs_R=signs,
        estimate=total / len(signs) if len(signs) else None,
        p_value=p_value if len(signs) else None,
        n=len(signs),
        told=told,
    )
