"""The package's formulas with one more axis, for many studies at once; compared with the package in the same run.

Legend: M studies, R replicates, N replicates with oracle-only ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from retrain_equivalence.equivalence import squared_norm
from retrain_equivalence.equivalence.estimate import t_quantile
from retrain_equivalence.equivalence.measurements import Flags, Floats
from retrain_equivalence.equivalence.verdict import Rule

Verdicts = tuple[float, float, float]
"""Numbers of EQUIVALENT, DIFFERENT, INCONCLUSIVE."""
_HIGHEST = 700.0
"""Largest exponent of a float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Numbers with t intervals, one a study."""

    value_M: Floats
    se_M: Floats
    n: int
    shift_M: Floats | None = None
    """Where they stand on the scale `log(x + shift)`; nan for a study whose number stands on its own."""

    def bounds(self, level: float) -> tuple[Floats, Floats]:
        """Two-sided t interval, in the unit."""
        half = t_quantile((1 + level) / 2, self.n - 1) * self.se_M
        return self._shown(self.value_M - half), self._shown(self.value_M + half)

    def _shown(self, ends_M: Floats) -> Floats:
        if self.shift_M is None:
            return ends_M
        shown: Floats = np.where(np.isnan(self.shift_M), ends_M, np.exp(np.minimum(ends_M, _HIGHEST)) - self.shift_M)
        return shown

    def covers(self, truth: float, level: float = 0.95) -> int:
        """Studies whose interval holds the truth."""
        low, high = self.bounds(level)
        return int(np.sum((low <= truth) & (truth <= high)))

    def verdicts(self, margin: float, rule: Rule, alpha: float = 0.05) -> Floats:
        """Numbers of EQUIVALENT, DIFFERENT and INCONCLUSIVE, [3]."""
        low, high = self.bounds(1 - 2 * alpha)
        if rule is Rule.SIGNED:
            equivalent = (-margin < low) & (high < margin)
            different = (low > margin) | (high < -margin)
        else:
            equivalent, different = high < margin, low > margin
        neither = ~equivalent & ~different
        return np.array([equivalent.sum(), different.sum(), neither.sum()], dtype=np.float64)


def of_sample(values_MR: Floats) -> Estimates:
    """Mean over replicates."""
    n = values_MR.shape[1]
    return Estimates(value_M=values_MR.mean(axis=1), se_M=values_MR.std(axis=1, ddof=1) / np.sqrt(n), n=n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jackknives:
    """Statistics with their values without replicate i; `jackknife.Jackknifed` with an axis of studies."""

    value_M: Floats
    joint_MN: Floats
    own_MN: Floats
    oracle_MN: Floats
    runs_N: Flags
    oracles_N: Flags

    def log(self) -> Jackknives:
        """Natural logarithm."""
        return replace(
            self,
            value_M=np.log(self.value_M),
            joint_MN=np.log(self.joint_MN),
            own_MN=np.log(self.own_MN),
            oracle_MN=np.log(self.oracle_MN),
        )

    def plus(self, factor: float, other: Jackknives) -> Jackknives:
        """This plus a multiple of another one."""
        return Jackknives(
            value_M=self.value_M + factor * other.value_M,
            joint_MN=self.joint_MN + factor * other.joint_MN,
            own_MN=self.own_MN + factor * other.own_MN,
            oracle_MN=self.oracle_MN + factor * other.oracle_MN,
            runs_N=self.runs_N | other.runs_N,
            oracles_N=self.oracles_N | other.oracles_N,
        )

    def estimates(self) -> Estimates:
        """Value and jackknife standard error."""
        n_runs, n_oracles = int(self.runs_N.sum()), int(self.oracles_N.sum())
        weight = (n_oracles - 1) / n_oracles if n_oracles else 0.0
        value = self.value_M[:, None]
        by_oracle = weight * (value - self.oracle_MN[:, self.oracles_N])
        if not n_runs:
            variance = n_oracles * by_oracle.var(axis=1, ddof=1)
            return Estimates(value_M=self.value_M, se_M=np.sqrt(variance), n=n_oracles)
        share = (n_runs - 1) / n_runs
        whole, own = value - self.joint_MN[:, self.runs_N], value - self.own_MN[:, self.runs_N]
        contribution = weight * whole + (share - weight) * own if n_oracles else share * whole
        variance = n_runs * contribution.var(axis=1, ddof=1)
        only_oracle = int((self.oracles_N & ~self.runs_N).sum())
        if only_oracle:
            variance = variance + only_oracle * by_oracle.var(axis=1, ddof=1)
        return Estimates(value_M=self.value_M, se_M=np.sqrt(variance), n=n_runs)


def of_squared_norm(number: Jackknives, noise_M: Floats) -> Estimates:
    """`squared_norm.of_squared_norm` of each study: jackknife and t on the scale `log(x + shift)`."""
    shift_M = squared_norm.SHIFTS * noise_M
    shift = shift_M[:, None]

    def log(values_MN: Floats) -> Floats:
        found: Floats = np.log(np.maximum(values_MN + shift, squared_norm.LEAST * shift))
        return found

    moved = replace(
        number,
        value_M=log(number.value_M[:, None])[:, 0],
        joint_MN=log(number.joint_MN),
        own_MN=log(number.own_MN),
        oracle_MN=log(number.oracle_MN),
    )
    plain, scaled = number.estimates(), moved.estimates()
    on_own = number.value_M <= (squared_norm.LEAST - 1) * shift_M
    return Estimates(
        value_M=np.where(on_own, plain.value_M, scaled.value_M),
        se_M=np.where(on_own, plain.se_M, scaled.se_M),
        n=plain.n,
        shift_M=np.where(on_own, np.nan, shift_M),
    )


def noise_of_mean(kernels_MRR: Floats, at_most_M: Floats) -> Floats:
    """`squared_norm.noise_of_mean` of each study."""
    n = kernels_MRR.shape[1]
    if n < squared_norm.FEWEST_FOR_KERNEL:
        return at_most_M
    apart = 1.0 - np.eye(n)
    kernels = kernels_MRR * apart
    mean_M = kernels.sum(axis=(1, 2)) / (n * (n - 1))
    own_MR = (kernels.sum(axis=2) - (n - 1) * mean_M[:, None]) / (n - 2)
    left = (kernels - mean_M[:, None, None] - own_MR[:, :, None] - own_MR[:, None, :]) * apart
    found: Floats = np.minimum(at_most_M, np.sqrt(np.square(left).sum(axis=(1, 2)) / (n * (n - 3))) / n)
    return found


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def between(distances_MRN: Floats) -> Jackknives:
    """`D_ho` from runs 0..R-1 to oracles 0..N-1, over r != s; R <= N."""
    M, R, N = distances_MRN.shape
    apart_RN = 1.0 - np.eye(R, N)
    filled = np.zeros((M, N, N))
    filled[:, :R] = distances_MRN * apart_RN
    counts = np.zeros((N, N))
    counts[:R] = apart_RN
    total, row, column = filled.sum(axis=(1, 2))[:, None], filled.sum(axis=2), filled.sum(axis=1)
    count, n_row, n_column = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    return Jackknives(
        value_M=total[:, 0] / count,
        joint_MN=_ratio(total - row - column, count - n_row - n_column),
        own_MN=_ratio(total - row, count - n_row),
        oracle_MN=_ratio(total - column, count - n_column),
        runs_N=np.arange(N) < R,
        oracles_N=np.ones(N, dtype=bool),
    )


def _among(distances_MSS: Floats) -> tuple[Floats, Floats]:
    S = distances_MSS.shape[1]
    filled = distances_MSS * (1.0 - np.eye(S))
    total = filled.sum(axis=(1, 2))
    without = (total[:, None] - filled.sum(axis=1) - filled.sum(axis=2)) / ((S - 1) * (S - 2)) if S > 2 else np.nan
    return total / (S * (S - 1)), without * np.ones((len(filled), S))


def among_runs(distances_MRR: Floats, N: int | None = None) -> Jackknives:
    """`D_ab` or `D_hh` over r != s of R runs, among N replicates in all."""
    value, without_MR = _among(distances_MRR)
    R = distances_MRR.shape[1]
    N = R if N is None else N
    without = np.repeat(value[:, None], N, axis=1)
    without[:, :R] = without_MR
    return Jackknives(
        value_M=value,
        joint_MN=without,
        own_MN=without,
        oracle_MN=np.repeat(value[:, None], N, axis=1),
        runs_N=np.arange(N) < R,
        oracles_N=np.zeros(N, dtype=bool),
    )


def among_oracles(distances_MNN: Floats) -> Jackknives:
    """`D_oo` over r != s."""
    value, without = _among(distances_MNN)
    N = distances_MNN.shape[1]
    return Jackknives(
        value_M=value,
        joint_MN=without,
        own_MN=np.repeat(value[:, None], N, axis=1),
        oracle_MN=without,
        runs_N=np.zeros(N, dtype=bool),
        oracles_N=np.ones(N, dtype=bool),
    )
