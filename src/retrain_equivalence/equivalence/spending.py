"""Error rates of declared interim looks: O'Brien-Fleming-type alpha spending.

Legend: K looks, the end included; G nodes of a quadrature.

Looking five times at 5 % finds something false in 15 % of studies. Alpha spending gives each look a share of one error
rate that is fixed by how much of the study has run, so early looks decide only what is plain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from scipy import optimize, special

from retrain_equivalence.equivalence.measurements import Floats

_NODES = 600
"""Quadrature nodes: with looks after every hundredth of a study 300 of them give the same levels to 1e-13."""
_LOWEST = -9.0
"""Where the path of the statistic is cut off, in sd at the end: less than 1e-18 lies beyond."""
_HIGHEST = 40.0


def spent(fraction: float, alpha: float = 0.05) -> float:
    """Return the error rate that may be used up by an information fraction in (0, 1].

    `alpha*(t) = 2 - 2 Phi(z(1 - alpha/2) / sqrt t)`.

    >>> round(spent(0.5), 5), round(spent(1.0), 5)
    (0.00557, 0.05)
    """
    return float(2 * special.ndtr(-special.ndtri(1 - alpha / 2) / math.sqrt(fraction)))


def levels(looks: Sequence[int], n: int, alpha: float = 0.05) -> tuple[float, ...]:
    """Return the nominal one-sided level at each look and at the end, which together err with rate `alpha`.

    With `t_k = n_k / n` the statistic is read as a Brownian motion W at t_k; the bound c_k solves
    `P(W(t_j) < c_j for j < k, W(t_k) >= c_k) = alpha*(t_k) - alpha*(t_(k-1))`, the level is `1 - Phi(c_k / sqrt t_k)`.
    The probabilities are integrated recursively, one look at a time. At each look a t bound of that level is used: the
    levels are exact for a known spread and hold to within a few tenths of a point from n = 5 on (simulated in the
    tests).

    Args:
        looks: replicates at which results are looked at before the end, ascending, in 1..n-1; may be empty.
        n: the registered replicates.
        alpha: one-sided error rate of the whole study, in (0, 0.5).

    Raises:
        ValueError: if the looks do not ascend within 1..n-1.

    Source: O'Brien and Fleming 1979; Lan and DeMets 1983; recursion of Armitage, McPherson and Rowe 1969.

    >>> [round(level, 4) for level in levels((5, 10, 15), 20)]
    [0.0001, 0.0055, 0.0219, 0.0427]
    """
    counts = (*looks, n)
    if counts[0] < 1 or any(one >= two for one, two in pairwise(counts)):
        raise ValueError(f"looks {tuple(looks)} of {n} replicates: each must lie below the next and below n")
    return _levels(counts, alpha)


def _excess(bound: float, at_G: Floats, mass_G: Floats, sd: float, share: float) -> float:
    """Return how much more than its share a bound lets through from the paths that got here."""
    return float(mass_G @ special.ndtr((at_G - bound) / sd)) - share


@lru_cache(maxsize=64)
def _levels(counts: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    nodes_G, weights_G = np.polynomial.legendre.leggauss(_NODES)
    found: list[float] = []
    at_G, mass_G = np.zeros(1), np.ones(1)
    time, used = 0.0, 0.0
    for count in counts:
        now = count / counts[-1]
        may_use, sd = spent(now, alpha), math.sqrt(now - time)
        excess = partial(_excess, at_G=at_G, mass_G=mass_G, sd=sd, share=may_use - used)
        bound = float(optimize.brentq(excess, _LOWEST, _HIGHEST, xtol=1e-13, rtol=1e-14))
        found.append(float(special.ndtr(-bound / math.sqrt(now))))
        half = (bound - _LOWEST) / 2
        next_G = _LOWEST + half * (1 + nodes_G)
        density_G = np.exp(-0.5 * ((next_G[:, None] - at_G) / sd) ** 2) @ mass_G / (sd * math.sqrt(2 * math.pi))
        at_G, mass_G = next_G, density_G * weights_G * half
        time, used = now, may_use
    return tuple(found)
