"""Two one-sided t-tests of equivalence, and the paired t-test of no difference."""

from __future__ import annotations

import math

from scipy import stats

PAIRED_T = "paired t"
"""How findings name the paired t-test."""


def paired_t(mean: float, se: float, n: int) -> float | None:
    """Return the two-sided p-value of `mean = 0` for n paired differences; null if they do not vary.

    Source: Student's t; agrees with `scipy.stats.ttest_rel`.
    """
    if se <= 0:
        return None
    return float(2 * stats.t.sf(abs(mean) / se, n - 1))


def tost(mean: float, se: float, n: int, margin: float) -> float | None:
    """Return the p-value of TOST: the larger of `P(mean <= -margin)` and `P(mean >= margin)`; null if nothing varies.

    Below .05 exactly if the 90 % interval lies inside (-margin, margin).

    Source: Schuirmann 1987; agrees with `statsmodels.stats.weightstats.ttost_paired`.
    """
    if se <= 0 or not math.isfinite(margin):
        return None
    return outside(mean, se, n - 1, margin)


def outside(mean: float, se: float, df: float, margin: float) -> float:
    """Return the larger of `P(mean <= -margin)` and `P(mean >= margin)` by a t law on `df` degrees of freedom."""
    lower = stats.t.sf((mean + margin) / se, df)
    upper = stats.t.cdf((mean - margin) / se, df)
    return float(max(lower, upper))
