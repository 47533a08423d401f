"""How many runs of each group: what two independent sets of runs can show equivalent, before anything is run.

In units of the standard deviation between runs. For paired replicates of a study `equivalence.power` has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from retrain_equivalence.equivalence.finding import ALPHA
from retrain_equivalence.equivalence.power import over_sd

SHARES = 32
"""Nodes of the quadrature over the share of one group in the variance."""


def power_of_equivalence(margin: float, n: int) -> float:
    """Return P(EQUIVALENT) for two groups of n runs with equal means and spreads, `margin` in sd between runs.

    `E[2 Phi(m sqrt(n/2) - t(.95, df) s) - 1]` over the pooled sd s (`2(n-1) s^2` is chi-squared) and over the share w
    of one group in it (`w ~ Beta((n-1)/2, (n-1)/2)`, independent of s), with Welch's `df = (n-1) / (w^2 + (1-w)^2)`.

    Args:
        margin: above 0.
        n: runs of each group, at least 2.

    Source: Schuirmann 1987 for the rule, Welch 1947 for the degrees of freedom; checked by simulation.
    """
    reach = margin * math.sqrt(n / 2)
    nodes, weights = np.polynomial.legendre.leggauss(SHARES)
    shares = special.betaincinv((n - 1) / 2, (n - 1) / 2, (nodes + 1) / 2)
    critical = special.stdtrit((n - 1) / (shares**2 + (1 - shares) ** 2), 1 - ALPHA)
    given_share = [over_sd(_passes(reach, t), 2 * (n - 1), reach / t) for t in critical.tolist()]
    return float(np.dot(weights, given_share) / 2)


def _passes(reach: float, critical: float) -> Callable[[float], float]:
    """Return the chance of EQUIVALENT at a pooled sd."""
    return lambda s: float(2 * special.ndtr(reach - critical * s) - 1)


def margin_each(n: int, power: float = 0.8) -> float:
    """Return the margin, in sd between runs, that n runs of each group pass with `power` if their means are equal.

    >>> round(margin_each(5), 1), round(margin_each(10), 1)
    (2.1, 1.4)
    """
    return float(optimize.brentq(lambda margin: power_of_equivalence(margin, n) - power, 1e-3, 200.0, xtol=1e-9))
