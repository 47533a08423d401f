"""A level that is itself a mean over oracles, and the noise it brings into whatever is read at it.

Steps to a level, or outcomes at it, depend on the level, and the level is known from N oracles only. With y_r(c) what
replicate r shows at level c and c the mean over oracles, the number is `theta = mean_r y_r(c)`; it is computed again
without replicate i, its run and its oracle, at the level that the other oracles give:

    theta_(i) = mean over r != i of y_r(c_(i))

so that the leave-one-replicate-out jackknife holds both the noise of the runs and that of the level, and what the two
share, since run and oracle of a replicate have their seeds in common.

Legend: R history replicates, N oracle replicates (the first R of them share the histories' seeds), L = 1 + 3N levels:
the level, then N each with replicate i removed from everything, from the runs alone, from the oracles alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrain_equivalence.equivalence.jackknife import Jackknifed, means_without, ratio
from retrain_equivalence.equivalence.measurements import Flags, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level, and what it is without each replicate."""

    at_L: Floats
    """Nats per token: the level, then with one replicate removed, as the legend says."""
    oracles_N: Flags
    """Which replicates have an oracle in it."""

    @property
    def value(self) -> float:
        """The level, nats/token."""
        return float(self.at_L[0])

    @property
    def lost(self) -> int:
        """Registered replicates without an oracle in it."""
        return int((~self.oracles_N).sum())


def mean_of_oracles(losses_N: Floats) -> Level | None:
    """Return the mean over oracles; null if there is none. One oracle alone has no removal: those levels are nan.

    >>> level = mean_of_oracles(np.array([1.0, 2.0, 6.0]))
    >>> level.value, level.at_L[1:4].tolist()
    (3.0, [4.0, 3.5, 1.5])
    """
    present = np.isfinite(losses_N)
    if not present.any():
        return None
    value, without_N = means_without(losses_N)
    at_L = np.concatenate([[value], without_N, np.full(len(losses_N), value), without_N])
    return Level(at_L=at_L, oracles_N=present)


def halfway(oracle: Level, starts_HR: Floats) -> Level | None:
    """Return the level half the way from the highest mean start among the histories to the oracle's level.

    Args:
        oracle: the oracle's level.
        starts_HR: loss of each run before unlearning, nats/token, nan where there is none.

    Returns:
        Null without starts, or where the highest one is past the oracle already.
    """
    N = len(oracle.oracles_N)
    padded_HN = np.full((len(starts_HR), N), np.nan)
    padded_HN[:, : starts_HR.shape[1]] = starts_HR
    means = [means_without(row) for row in padded_HN if np.isfinite(row).any()]
    if not means or max(mean for mean, _ in means) >= oracle.value:
        return None
    value = max(mean for mean, _ in means)
    without_N = np.max([without for _, without in means], axis=0)
    start_L = np.concatenate([[value], without_N, without_N, np.full(N, value)])
    return Level(at_L=0.5 * (start_L + oracle.at_L), oracles_N=oracle.oracles_N)


def jackknifed(values_LR: Floats, kept_R: Flags, oracles_N: Flags) -> Jackknifed:
    """Return the mean over replicates of what each shows at a level, with the level computed again at each removal.

    Args:
        values_LR: what each run shows at each of the L levels; nan where it shows nothing.
        kept_R: the runs that count.
        oracles_N: the oracles that are in the level.
    """
    R, N = len(kept_R), len(oracles_N)
    there_LR = np.isfinite(values_LR) & kept_R
    filled_LR = np.where(there_LR, values_LR, 0.0)
    total_L, count_L = filled_LR.sum(axis=1), there_LR.sum(axis=1).astype(np.float64)
    runs_N = np.zeros(N, dtype=bool)
    runs_N[:R] = kept_R
    replicates = np.arange(R)

    def means(first: int, *, without_own: bool) -> Floats:
        total_N, count_N = total_L[first : first + N].copy(), count_L[first : first + N].copy()
        if without_own:
            total_N[:R] -= filled_LR[first + replicates, replicates]
            count_N[:R] -= there_LR[first + replicates, replicates]
        return ratio(total_N, count_N)

    return Jackknifed(
        value=float(total_L[0] / count_L[0]) if count_L[0] else float("nan"),
        joint_N=means(1, without_own=True),
        own_N=means(1 + N, without_own=True),
        oracle_N=means(1 + 2 * N, without_own=False),
        runs_N=runs_N,
        oracles_N=oracles_N,
    )
