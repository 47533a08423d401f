"""How large an effect the replicates can show, before anything is run.

All numbers are in units of the standard deviation of the paired difference, which `plan` does not know: take it from
`shuffle_only` or a named pilot.

Both powers are integrals over the law of the sample sd s (`(n-1) s^2` is chi-squared) of what a normal mean does at
that s. For the t-test this is the noncentral t; `scipy.stats.nct` itself returns nan in its tails at n = 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import integrate, optimize, special


def _over_sd(given: Callable[[float], float], n: int, highest: float = math.inf) -> float:
    """Return `E[given(s)]` over the sample sd s of n unit normals, counting only s < highest."""
    df = n - 1
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
    return _over_sd(lambda s: float(special.ndtr(shift - critical * s) + special.ndtr(-critical * s - shift)), n)


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
    return _over_sd(lambda s: float(2 * special.ndtr(reach - critical * s) - 1), n, reach / critical)


def equivalence_margin(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the margin, in sd of the paired difference, that TOST passes with `power` at zero effect.

    >>> round(equivalence_margin(10), 1)
    1.0
    """
    if n < 2:
        raise ValueError("one replicate has no spread: nothing can be shown equivalent")
    return float(optimize.brentq(lambda margin: power_of_tost(margin, n, alpha) - power, 1e-3, 200.0, xtol=1e-9))
