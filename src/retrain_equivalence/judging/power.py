"""How many runs of each group: what two independent sets of runs can show equivalent, before anything is run.

In units of the standard deviation between runs. For paired replicates of a study `equivalence.power` has the numbers.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import integrate, optimize, special

from retrain_equivalence.equivalence.finding import ALPHA

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
    given_share = [_over_pooled_sd(reach, float(t), 2 * (n - 1)) for t in critical]
    return float(np.dot(weights, given_share) / 2)


def _over_pooled_sd(reach: float, critical: float, df: int) -> float:
    constant = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)

    def integrand(s: float) -> float:
        log_density = constant + (df - 1) * math.log(s) - df * s * s / 2
        return math.exp(log_density) * float(2 * special.ndtr(reach - critical * s) - 1)

    # The law of s has no mass beyond; without the cut a long range hides its peak from the quadrature.
    value, _ = integrate.quad(integrand, 0.0, min(reach / critical, 1 + 12 / math.sqrt(2 * df)), limit=200)
    return float(value)


def margin_each(n: int, power: float = 0.8) -> float:
    """Return the margin, in sd between runs, that n runs of each group pass with `power` if their means are equal.

    >>> round(margin_each(5), 1), round(margin_each(10), 1)
    (2.1, 1.4)
    """
    return float(optimize.brentq(lambda margin: power_of_equivalence(margin, n) - power, 1e-3, 200.0, xtol=1e-9))
