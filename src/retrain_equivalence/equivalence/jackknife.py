"""Means over pairs of different replicates, and the joint leave-one-replicate-out jackknife.

Legend: R history replicates, N oracle replicates (the first R of them share the histories' seeds), i a replicate.

Design. A distance statistic is a smooth function of U-statistics `mean over r != s of d(x_r, y_s)`. A `Jackknifed`
number carries its value and the values with replicate i removed: everything of it (`joint`), only its history runs
(`own`), only its oracle (`oracle`). Arithmetic is elementwise, so `log(D_ho / D_oo)` is written as in a paper.

Variance. With as many oracles as histories it is the joint jackknife, `((n-1)/n) sum_i (theta_(i) - mean)^2`.
Oracle-only replicates make the two sample sizes unequal; then a replicate's contribution is
`c_i = (N-1)/N d_i + ((R-1)/R - (N-1)/N) d_i^own`, `d_i = theta - theta_(i)`, which is exact for whatever is linear in
the two samples (the covariance of a history run with the oracle of its own seed included). The oracle-only replicates
add their number times the variance of `(N-1)/N d_j^oracle`, estimated on all oracles since these are exchangeable.
Deviation: the source states the balanced case; for unequal sizes one factor (n-1)/n is wrong for one of the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from retrain_equivalence.equivalence.measurements import Flags, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Jackknifed:
    """A statistic and its values with one replicate removed."""

    value: float
    joint_N: Floats
    """Everything of replicate i removed."""
    own_N: Floats
    """Only the history runs of replicate i removed."""
    oracle_N: Floats
    """Only the oracle of replicate i removed."""
    runs_N: Flags
    """Which replicates have history runs in it."""
    oracles_N: Flags
    """Which replicates have oracles in it."""

    def through(self, function: Callable[[Floats], Floats]) -> Jackknifed:
        """Return the elementwise image; what the function cannot map is nan."""
        with np.errstate(all="ignore"):
            return Jackknifed(
                value=float(function(np.array([self.value]))[0]),
                joint_N=function(self.joint_N),
                own_N=function(self.own_N),
                oracle_N=function(self.oracle_N),
                runs_N=self.runs_N,
                oracles_N=self.oracles_N,
            )

    def log(self) -> Jackknifed:
        """Return the natural logarithm; nan unless positive."""
        return self.through(lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), np.nan))

    def __add__(self, other: Jackknifed) -> Jackknifed:
        return Jackknifed(
            value=self.value + other.value,
            joint_N=self.joint_N + other.joint_N,
            own_N=self.own_N + other.own_N,
            oracle_N=self.oracle_N + other.oracle_N,
            runs_N=self.runs_N | other.runs_N,
            oracles_N=self.oracles_N | other.oracles_N,
        )

    def __rmul__(self, factor: float) -> Jackknifed:
        return self.through(lambda x: factor * x)

    def __sub__(self, other: Jackknifed) -> Jackknifed:
        return self + (-1.0) * other

    def over(self, other: Jackknifed) -> Jackknifed:
        """Return the ratio of two statistics of the same history runs; nan unless `other` is above 0."""
        value = self.value / other.value if other.value > 0 else float("nan")
        return of_runs(value, ratio(self.joint_N, other.joint_N), self.runs_N)

    @property
    def n(self) -> int:
        """Independent replicates: of the histories, or of the oracles where no history enters."""
        return int(self.runs_N.sum()) or int(self.oracles_N.sum())

    @property
    def n_oracles(self) -> int:
        """Oracle replicates in it."""
        return int(self.oracles_N.sum())

    def standard_error(self) -> float:
        """Return the jackknife standard error; nan with fewer than two replicates or where a removal is undefined."""
        n_runs, n_oracles = int(self.runs_N.sum()), int(self.oracles_N.sum())
        weight = (n_oracles - 1) / n_oracles if n_oracles else 0.0
        by_oracle = weight * (self.value - self.oracle_N[self.oracles_N])
        if not n_runs:
            return float(np.sqrt(n_oracles * _variance(by_oracle))) if n_oracles > 1 else float("nan")
        if n_runs < 2:
            return float("nan")
        whole = self.value - self.joint_N[self.runs_N]
        own = self.value - self.own_N[self.runs_N]
        share = (n_runs - 1) / n_runs
        contribution = weight * whole + (share - weight) * own if n_oracles else share * whole
        variance = n_runs * _variance(contribution)
        only_oracle = int((self.oracles_N & ~self.runs_N).sum())
        if only_oracle:
            variance += only_oracle * _variance(by_oracle)
        return float(np.sqrt(variance))


def _variance(values: Floats) -> float:
    if len(values) < 2:
        return float("nan")
    centred = values - values.mean()
    return float(centred @ centred) / (len(values) - 1)


def ratio(total: Floats, count: Floats) -> Floats:
    """Return the quotients, nan where what is divided by is not above 0."""
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def between(distances_NN: Floats) -> Jackknifed:
    """Return `D_ho`: the mean over r != s from runs (rows) to oracles (columns); nan entries do not count."""
    there = np.isfinite(distances_NN)
    np.fill_diagonal(there, False)
    filled, counts = np.where(there, distances_NN, 0.0), there.astype(np.float64)
    total, count = filled.sum(), counts.sum()
    row, column = filled.sum(axis=1), filled.sum(axis=0)
    n_row, n_column = counts.sum(axis=1), counts.sum(axis=0)
    return Jackknifed(
        value=float(total / count) if count else float("nan"),
        joint_N=ratio(total - row - column, count - n_row - n_column),
        own_N=ratio(total - row, count - n_row),
        oracle_N=ratio(total - column, count - n_column),
        runs_N=np.any(there, axis=1),
        oracles_N=np.any(there, axis=0),
    )


def removed(distances_GNN: Floats) -> tuple[Floats, Floats, Flags]:
    """Return for each of G matrices the mean over r != s, [G], and the same without replicate i on either side, [G, N].

    Returns:
        The means, those with one replicate removed, and which replicates take part, [G, N].
    """
    there = np.isfinite(distances_GNN) & ~np.eye(distances_GNN.shape[-1], dtype=bool)
    filled, counts = np.where(there, distances_GNN, 0.0), there.astype(np.float64)
    total, count = filled.sum(axis=(1, 2)), counts.sum(axis=(1, 2))
    without = ratio(
        total[:, None] - filled.sum(axis=2) - filled.sum(axis=1),
        count[:, None] - counts.sum(axis=2) - counts.sum(axis=1),
    )
    return ratio(total, count), without, np.any(there, axis=2) | np.any(there, axis=1)


def of_runs(value: float, without_N: Floats, present_N: Flags) -> Jackknifed:
    """Return a statistic of history runs alone from its value and those with replicate i removed."""
    return Jackknifed(
        value=value,
        joint_N=without_N,
        own_N=without_N,
        oracle_N=np.full(len(without_N), value),
        runs_N=present_N,
        oracles_N=np.zeros(len(without_N), dtype=bool),
    )


def among_runs(distances_NN: Floats) -> Jackknifed:
    """Return `D_ab` or `D_hh`: the mean over r != s between runs; replicate i is removed from both sides."""
    (value,), (without,), (present,) = removed(distances_NN[None])
    return of_runs(float(value), without, present)


def among_oracles(distances_NN: Floats) -> Jackknifed:
    """Return `D_oo`: the mean over r != s between oracles; replicate i is removed from both sides."""
    (value,), (without,), (present,) = removed(distances_NN[None])
    value = float(value)
    return Jackknifed(
        value=value,
        joint_N=without,
        own_N=np.full(len(without), value),
        oracle_N=without,
        runs_N=np.zeros(len(without), dtype=bool),
        oracles_N=present,
    )


def means_without(values_N: Floats) -> tuple[float, Floats]:
    """Return the mean of what is there, and the mean without replicate i, [N]; nan where nothing is left."""
    there = np.isfinite(values_N)
    filled = np.where(there, values_N, 0.0)
    n, total = int(there.sum()), float(filled.sum())
    return total / n if n else float("nan"), ratio(total - filled, n - there.astype(np.float64))


def of_mean(values_N: Floats) -> Jackknifed:
    """Return the mean of one number per replicate; nan does not count."""
    return of_runs(*means_without(values_N), np.isfinite(values_N))


def over_whole_runs(distances_KKNN: Floats) -> Floats:
    """Return the distances among K states, [K, K, N, N], nan unless between two replicates that have all states.

    Args:
        distances_KKNN: `[k, l, r, s] = d(x_kr, x_ls)`; nan where there is none; equal replicates are not read.
    """
    there = np.isfinite(distances_KKNN)
    np.einsum("klrr->klr", there)[:] = False
    present = np.any(there, axis=3).all(axis=(0, 1))
    both = present[:, None] & present[None, :] & ~np.eye(len(present), dtype=bool)
    return np.where(both, distances_KKNN, np.nan)
