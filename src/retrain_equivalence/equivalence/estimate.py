"""An estimate with its standard error and degrees of freedom, and the t bounds that follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy import stats

from retrain_equivalence.equivalence.finding import LEVEL
from retrain_equivalence.equivalence.jackknife import Jackknifed
from retrain_equivalence.equivalence.measurements import Floats

JACKKNIFE_NEEDS = 5
"""Replicates from which the jackknife's error rates were established (at most 6.5 % at nominal 5 %)."""
T_NEEDS = 3
"""Replicates below which a t interval decides nothing in practice (margin of 2.7 sd needed at 3)."""


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: int) -> float:
    """Return the quantile of Student's t."""
    return float(stats.t.ppf(probability, df))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number on the scale where its t interval holds."""

    value: float | None
    """Null if undefined; `undefined` says why."""
    se: float | None
    """Standard error on that scale; null below two replicates."""
    n: int
    unit: str
    method: str
    needs: int
    """Replicates from which a verdict may be read."""
    n_oracles: int | None = None
    shows: int = 2
    """Replicates below which no interval is given, because it was not found to cover."""
    shown: Callable[[float], float] = float
    """From the scale of the interval to the unit: `exp` for ratios."""
    scaled: Callable[[float], float] = float
    """The inverse of `shown`: takes a margin to the scale of the interval."""
    undefined: str = ""
    sample_R: tuple[float, ...] | None = field(default=None, compare=False, repr=False)
    """The one number per replicate that it is the mean of, nan where a run does not count; null if it is no mean."""

    def bounds(self, level: float) -> tuple[float | None, float | None]:
        """Return the two-sided t interval of confidence `level` on n - 1 degrees of freedom, in the unit."""
        if self.value is None or self.se is None or self.n < self.shows:
            return None, None
        half = t_quantile((1 + level) / 2, self.n - 1) * self.se
        return finite(self.shown(self.value - half)), finite(self.shown(self.value + half))

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The 95 % interval that describes."""
        return self.bounds(LEVEL)

    @property
    def estimate(self) -> float | None:
        """The number in its unit."""
        return None if self.value is None else finite(self.shown(self.value))


def nothing(*, unit: str, method: str, undefined: str) -> Estimate:
    """Return an estimate that is undefined for the given reason."""
    return Estimate(value=None, se=None, n=0, unit=unit, method=method, needs=0, undefined=undefined)


def finite(value: float) -> float | None:
    """Return the value, or null where it is not finite: undefined stays undefined."""
    return float(value) if math.isfinite(value) else None


def of_jackknife(
    number: Jackknifed,
    *,
    unit: str,
    method: str,
    undefined: str,
    shown: Callable[[float], float] = float,
    scaled: Callable[[float], float] = float,
) -> Estimate:
    """Return the estimate of a distance statistic; `undefined` is the reason that is given where it is nan."""
    value = finite(number.value)
    se = None if value is None else finite(number.standard_error())
    return Estimate(
        value=value,
        se=se,
        n=number.n,
        n_oracles=number.n_oracles or None,
        unit=unit,
        method=method,
        needs=JACKKNIFE_NEEDS,
        shown=shown,
        scaled=scaled,
        undefined=undefined if value is None else "",
    )


def of_sample(values: Floats, *, unit: str, method: str, undefined: str) -> Estimate:
    """Return mean and standard error of one number per replicate; nan entries are runs that do not count."""
    kept = values[np.isfinite(values)]
    return Estimate(
        value=float(kept.mean()) if len(kept) else None,
        se=float(kept.std(ddof=1) / math.sqrt(len(kept))) if len(kept) > 1 else None,
        n=len(kept),
        unit=unit,
        method=method,
        needs=T_NEEDS,
        undefined="" if len(kept) else undefined,
        sample_R=tuple(values.tolist()),
    )
