"""How large an effect the replicates can show, before anything is run.

All numbers are in units of the standard deviation of the paired difference, which `plan` does not know: take it from
`shuffle_only` or a named pilot.

The powers of the t-test and of TOST are integrals over the law of the sample sd s (`(n-1) s^2` is chi-squared) of what
a normal mean does at that s. For the t-test this is the noncentral t; `scipy.stats.nct` itself returns nan in its tails
at n = 2. The power of the sign flip is simulated with a fixed seed.

Legend: M simulated studies, R replicates, F sign flips.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import integrate, optimize, special

from retrain_equivalence.equivalence import sign_flip
from retrain_equivalence.equivalence.fewest import fewest

SIGN_FLIP_STUDIES = 8_000
"""Simulated studies behind a stated power of the sign flip: Monte-Carlo sd at most .6 points."""
MOST_REPLICATES = 1_000
"""Where the search for replicates gives up: nobody trains more."""
_BLOCK = 500


def over_sd(given: Callable[[float], float], df: int, highest: float = math.inf) -> float:
    """Return `E[given(s)]` over the sd s of unit normals (`df s^2` is chi-squared), counting only s < highest."""
    constant = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)

    def integrand(s: float) -> float:
        log_density = constant + (df - 1) * math.log(s) - df * s * s / 2 if s > 0 else -math.inf
        return given(s) * math.exp(log_density)

    # The law of s has no mass beyond; without the cut an infinite range hides its peak from the quadrature.
    value, _ = integrate.quad(integrand, 0.0, min(highest, 1 + 12 / math.sqrt(2 * df)), limit=200)
    return float(value)


def power_of_t(effect: float, n: int, alpha: float = 0.05) -> float:
    """Return the power of the two-sided paired t-test at `effect = mean / sd` with n >= 2 pairs."""
    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))
    shift = effect * math.sqrt(n)
    return over_sd(lambda s: float(special.ndtr(shift - critical * s) + special.ndtr(-critical * s - shift)), n - 1)


def detectable_effect(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return d_z: the mean difference, in sd of the paired difference, found with `power` by n >= 2 replicates.

    >>> round(detectable_effect(8), 1)
    1.2
    """
    if n < 2:
        raise ValueError("one replicate has no spread: no effect is detectable")
    return float(optimize.brentq(lambda effect: power_of_t(effect, n, alpha) - power, 1e-6, 200.0, xtol=1e-9))


def power_of_tost(margin: float, n: int, alpha: float = 0.05) -> float:
    """Return P(EQUIVALENT) of TOST at zero effect, `margin` in sd of the paired difference, n >= 2 replicates."""
    critical = float(special.stdtrit(n - 1, 1 - alpha))
    reach = margin * math.sqrt(n)
    return over_sd(lambda s: float(2 * special.ndtr(reach - critical * s) - 1), n - 1, reach / critical)


def equivalence_margin(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the margin, in sd of the paired difference, that TOST passes with `power` at zero effect.

    >>> round(equivalence_margin(10), 1)
    1.0
    """
    if n < 2:
        raise ValueError("one replicate has no spread: nothing can be shown equivalent")
    return float(optimize.brentq(lambda margin: power_of_tost(margin, n, alpha) - power, 1e-3, 200.0, xtol=1e-9))


@lru_cache(maxsize=256)
def power_of_sign_flip(effect: float, n: int, alpha: float = 0.05) -> float:
    """Return the power of the two-sided sign flip of n >= 1 normal differences with `effect = mean / sd`.

    By simulation with a fixed seed, exact flips up to n = 14 as the test itself; 0 below the replicates that can reach
    alpha. A little under the t-test: at n = 6, where the size is 3.1 %, 48 % instead of 66 % for an effect of 1.2.

    >>> power_of_sign_flip(5.0, 5), power_of_sign_flip(5.0, 6) > 0.99
    (0.0, True)
    """
    signs_FR = sign_flip.flips(n, 0)
    allowed = math.floor(alpha * len(signs_FR) + 1e-9)
    if not allowed:
        return 0.0
    random = np.random.Generator(np.random.Philox(key=[0, n]))
    rejected = 0
    for _ in range(SIGN_FLIP_STUDIES // _BLOCK):
        differences_MR = effect + random.normal(size=(_BLOCK, n))
        sums_MF = np.abs(differences_MR @ signs_FR.T)
        as_large_M = np.sum(sums_MF >= sums_MF[:, :1] * (1 - sign_flip.TIES), axis=1)
        rejected += int(np.sum(as_large_M <= allowed))
    return rejected / (_BLOCK * (SIGN_FLIP_STUDIES // _BLOCK))


def n_for_power(
    effect: float,
    power: float = 0.8,
    alpha: float = 0.05,
    *,
    of: Callable[[float, int, float], float] = power_of_t,
) -> int | None:
    """Return the fewest replicates with which a test has `power` at an effect; null if more than 1,000.

    Args:
        effect: mean / sd of the paired difference, not 0; for `power_of_tost` the margin / sd.
        power: wanted, in (0, 1).
        alpha: level of the test.
        of: `power_of_t`, `power_of_sign_flip` or `power_of_tost`; increasing in n.

    >>> n_for_power(1.0), n_for_power(0.1), n_for_power(1.0, of=power_of_tost)
    (10, 787, 11)
    """
    return fewest(lambda n: of(effect, n, alpha) >= power, 2, MOST_REPLICATES)
