"""Leave-one-run-out jackknife of a number that is computed from several independent groups of runs.

Legend: L runs of all groups together, G groups.

For a difference of two means it is Welch's formula, standard error and degrees of freedom alike, so that other numbers
(ratios of mean distances, differences of absolute values) come with the same kind of interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from retrain_equivalence.equivalence.measurements import Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsJackknifed:
    """A number over groups of runs, with what each group adds to its variance."""

    value: float
    variances: tuple[float, ...]
    """One for each group: `n_g` times what its runs add to the squared standard error; 0 for a group of one run, which
    is held fixed."""
    counts: tuple[int, ...]
    """Runs of each group."""

    @property
    def se(self) -> float | None:
        """Standard error; null if nothing varies."""
        squared = sum(v / n for v, n in zip(self.variances, self.counts, strict=True))
        return math.sqrt(squared) if squared > 0 else None

    @property
    def df(self) -> float | None:
        """Degrees of freedom of Welch and Satterthwaite; null if nothing varies."""
        return satterthwaite(self.variances, self.counts)

    def bounds(self, level: float) -> tuple[float | None, float | None]:
        """Return the two-sided t interval of confidence `level`."""
        if self.se is None or self.df is None or not math.isfinite(self.value):
            return None, None
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.se
        return self.value - half, self.value + half


def satterthwaite(variances: Sequence[float], counts: Sequence[int]) -> float | None:
    """Return `(sum v_g/n_g)^2 / sum (v_g/n_g)^2/(n_g - 1)` over the groups that vary; null if none does.

    Source: Satterthwaite 1946; Welch 1947.

    >>> satterthwaite((1.0, 1.0), (5, 5))
    8.0
    """
    parts = [(v / n, n) for v, n in zip(variances, counts, strict=True) if v > 0 and n > 1]
    if not parts:
        return None
    return sum(v for v, _ in parts) ** 2 / sum(v * v / (n - 1) for v, n in parts)


def of_groups(statistic: Callable[[Flags], float], labels_L: Sequence[int]) -> GroupsJackknifed:
    """Return a statistic of the kept runs with its leave-one-run-out variances.

    `v_g = (n_g - 1) sum_i (theta_(gi) - mean_i theta_(gi))^2`, `se^2 = sum_g v_g / n_g`.

    Args:
        statistic: from which runs are kept, [L], to a number; also with any one run of a group of two or more left out.
        labels_L: group of each run, 0 to G - 1, every group with at least one run.

    Source: Efron and Stein 1981 for one sample; groups are independent, so their variances add up.

    >>> x = np.array([1.0, 2.0, 3.0, 0.0, 1.0])
    >>> found = of_groups(lambda kept: float(x[:3][kept[:3]].mean() - x[3:][kept[3:]].mean()), [0, 0, 0, 1, 1])
    >>> round(found.value, 2), round(found.se or 0.0, 3), round(found.df or 0.0, 2)
    (1.5, 0.764, 2.88)
    """
    labels = np.asarray(labels_L)
    everyone = np.ones(len(labels), dtype=bool)
    counts = tuple(int((labels == group).sum()) for group in range(int(labels.max()) + 1))
    variances = []
    for group, n in enumerate(counts):
        without = []
        for left_out in np.flatnonzero(labels == group) if n > 1 else ():
            kept = everyone.copy()
            kept[left_out] = False
            without.append(statistic(kept))
        # A statistic that does not exist without a run (one pair left) has no variance to speak of: nan stays nan.
        variances.append((n - 1) * float(np.sum((np.array(without) - np.mean(without)) ** 2)) if without else 0.0)
    return GroupsJackknifed(value=statistic(everyone), variances=tuple(variances), counts=counts)
