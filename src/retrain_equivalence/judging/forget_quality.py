"""Forget quality: what its KS p-value says, and what it cannot.

TOFU's forget quality is the p-value of a two-sample Kolmogorov-Smirnov test between the truth ratios of one unlearned
and one retrained model, item by item. It takes items as independent and knows a single run of each side. So it is
recomputed here for every pair, and put beside the same p-values of the retrained models against each other: a retrained
model that "fails" the test against another shows the size of the test. The number to judge is the KS distance itself,
beyond the distance that retrained models have to each other.

Legend: L runs of both groups together, U unlearned, O retrained.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from retrain_equivalence.equivalence.finding import ALPHA
from retrain_equivalence.equivalence.measurements import Flags, Floats
from retrain_equivalence.judging.run_jackknife import GroupsJackknifed, of_groups
from retrain_equivalence.judging.runs import Run

SENTENCE = (
    "The KS p-value of forget quality treats items as independent runs, which they are not, and sees one run of each "
    "side; a large one is no evidence of equivalence and a p-value is never a score."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """KS distances and p-values of one run against the retrained models, itself left out."""

    run: str
    group: str
    """`unlearned` or `retrained`."""
    distance: float
    """Mean KS distance, 0 to 1."""
    smallest_p: float
    median_p: float
    largest_p: float
    n_against: int
    """Retrained models that it was compared with."""
    logged_p: float | None
    """What its own log says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetQuality:
    """All runs' forget quality."""

    runs: tuple[Quality, ...]
    n_items: int
    """Items of the smallest run."""
    own_pairs: int
    """Pairs of different retrained models."""
    own_below: int
    """Pairs of retrained models with p below 5 %: about 5 % of them if items were independent runs."""
    own_smallest_p: float | None
    own_median_p: float | None
    sentence: str = SENTENCE


def ks(one_I: Floats, two_J: Floats) -> tuple[float, float]:
    """Return distance and p-value of the two-sample Kolmogorov-Smirnov test.

    `D = sup_x |F_1(x) - F_2(x)|`. Truth ratio and its inverse give the same D and p: it depends on ranks alone.

    Source: `scipy.stats.ks_2samp`, two-sided, as `get_forget_quality` of open-unlearning calls it.

    >>> distance, p_value = ks(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    >>> distance, round(p_value, 3)
    (1.0, 0.1)
    """
    with warnings.catch_warnings():
        # Where scipy cannot compute the exact p-value it takes the asymptotic one, as theirs does.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ks_2samp(one_I, two_J)
    return float(found.statistic), float(found.pvalue)


def distances(ratios_L: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return KS distances and p-values between all runs, two [L, L]; the diagonals are 0 and 1."""
    n = len(ratios_L)
    distance_LL, p_LL = np.zeros((n, n)), np.ones((n, n))
    for i in range(n):
        for j in range(i):
            distance_LL[i, j], p_LL[i, j] = ks(ratios_L[i], ratios_L[j])
            distance_LL[j, i], p_LL[j, i] = distance_LL[i, j], p_LL[i, j]
    return distance_LL, p_LL


def ratios_of(run: Run) -> Floats:
    """Return the truth ratios that are defined."""
    return np.array([value for value in run.truth_ratios.values() if value is not None], dtype=float)


def of_runs(unlearned: Sequence[Run], retrained: Sequence[Run]) -> ForgetQuality | None:
    """Return the forget quality of every run against every retrained one; null where truth ratios are missing."""
    runs = [*unlearned, *retrained]
    ratios = [ratios_of(run) for run in runs]
    if not unlearned or not retrained or not all(len(found) for found in ratios):
        return None
    distance_LL, p_LL = distances(ratios)
    oracles = range(len(unlearned), len(runs))
    listed = []
    for i, run in enumerate(runs):
        others = [j for j in oracles if j != i]
        if others:
            listed.append(
                Quality(
                    run=run.name,
                    group="unlearned" if i < len(unlearned) else "retrained",
                    distance=float(distance_LL[i, others].mean()),
                    smallest_p=float(p_LL[i, others].min()),
                    median_p=float(np.median(p_LL[i, others])),
                    largest_p=float(p_LL[i, others].max()),
                    n_against=len(others),
                    logged_p=run.logged_forget_quality,
                )
            )
    own_p = np.array([p_LL[i, j] for i in oracles for j in oracles if j < i])
    return ForgetQuality(
        runs=tuple(listed),
        n_items=min(len(found) for found in ratios),
        own_pairs=len(own_p),
        own_below=int((own_p < ALPHA).sum()),
        own_smallest_p=float(own_p.min()) if len(own_p) else None,
        own_median_p=float(np.median(own_p)) if len(own_p) else None,
    )


def excess(distance_LL: Floats, unlearned_L: Flags) -> GroupsJackknifed | None:
    """Return how much farther unlearned models are from retrained ones than these are from each other.

    `mean_uo D - mean_{o != o'} D`: 0 if the two laws are one, never truncated.

    Args:
        distance_LL: distances between all runs, [L, L].
        unlearned_L: which runs are unlearned; the others are retrained, at least three of them.

    Returns:
        Value with leave-one-run-out variances (unlearned, retrained); null with fewer than three retrained runs, since
        the jackknife needs a pair when one is left out.

    Source: the KS distance in place of the distances of `equivalence.oracle_distance`; runs instead of items as units.
    """
    if not unlearned_L.any() or int((~unlearned_L).sum()) < 3:
        return None

    def beyond(kept_L: Flags) -> float:
        return mean_across(distance_LL, unlearned_L & kept_L, ~unlearned_L & kept_L) - mean_among(
            distance_LL, ~unlearned_L & kept_L
        )

    return of_groups(beyond, np.where(unlearned_L, 0, 1).tolist())


def mean_across(distance_LL: Floats, one_L: Flags, two_L: Flags) -> float:
    """Return the mean distance between two sets of runs."""
    return float(distance_LL[np.ix_(one_L, two_L)].mean())


def mean_among(distance_LL: Floats, one_L: Flags) -> float:
    """Return the mean distance between different runs of one set; nan for one run."""
    n = int(one_L.sum())
    return float(distance_LL[np.ix_(one_L, one_L)].sum() / (n * (n - 1))) if n > 1 else float("nan")
