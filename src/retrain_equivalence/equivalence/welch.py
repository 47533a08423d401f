"""Difference of the means of two independent sets of runs with unequal variances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from retrain_equivalence.equivalence.finding import LEVEL
from retrain_equivalence.equivalence.measurements import Floats
from retrain_equivalence.equivalence.tost import outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Welch:
    """A difference of two means on Welch's t scale."""

    estimate: float
    """Mean of the first set minus mean of the second."""
    se: float | None
    """Standard error; null if a set has one run or nothing varies."""
    df: float | None
    """Welch-Satterthwaite degrees of freedom."""
    n: int
    """Runs of the first set."""
    m: int
    """Runs of the second set."""

    def bounds(self, level: float = LEVEL) -> tuple[float | None, float | None]:
        """Return the two-sided interval of confidence `level`; null without a standard error."""
        if self.se is None or self.df is None:
            return None, None
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.se
        return self.estimate - half, self.estimate + half

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of no difference; null without a standard error."""
        if self.se is None or self.df is None:
            return None
        return float(2 * stats.t.sf(abs(self.estimate) / self.se, self.df))

    def p_equivalence(self, margin: float) -> float | None:
        """Return the larger of the two one-sided p-values of TOST: the difference lies in (-margin, margin)."""
        if self.se is None or self.df is None:
            return None
        return outside(self.estimate, self.se, self.df, margin)


def difference(one: Floats, two: Floats) -> Welch:
    """Return the difference of means of two independent sets: `mean(one) - mean(two)`.

    `se^2 = s_1^2/n + s_2^2/m`, `df = se^4 / ((s_1^2/n)^2/(n-1) + (s_2^2/m)^2/(m-1))`.

    Args:
        one: [n], one finite number per run, n >= 1.
        two: [m], of independent runs, m >= 1.

    Raises:
        ValueError: if a set is empty.

    Source: Welch 1947; agrees with `scipy.stats.ttest_ind(equal_var=False)` and
    `statsmodels.stats.weightstats.ttost_ind(usevar="unequal")`.

    >>> found = difference(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0]))
    >>> round(found.estimate, 2), round(found.se or 0.0, 3), round(found.df or 0.0, 2)
    (1.5, 0.764, 2.88)
    """
    n, m = len(one), len(two)
    if not min(n, m):
        raise ValueError(f"sets of {n} and {m} runs: a mean needs at least one")
    estimate = float(np.mean(one) - np.mean(two))
    if min(n, m) < 2:
        return Welch(estimate=estimate, se=None, df=None, n=n, m=m)
    first, second = float(np.var(one, ddof=1)) / n, float(np.var(two, ddof=1)) / m
    variance = first + second
    if variance <= 0:
        return Welch(estimate=estimate, se=None, df=None, n=n, m=m)
    df = variance**2 / (first**2 / (n - 1) + second**2 / (m - 1))
    return Welch(estimate=estimate, se=math.sqrt(variance), df=df, n=n, m=m)
