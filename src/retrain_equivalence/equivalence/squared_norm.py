"""Debiased squared norms with an interval that holds: on the scale `log(x + shift)`.

A path gap, a bias to the oracle, a variance between histories are squared lengths of a mean vector, debiased. Their
spread shrinks with them, so low estimates come with short intervals: on their own scale a 95 % upper bound lies below
the truth in up to 20 % of studies where runs scatter in one direction, in 11 % where in three, in 6 % where in twenty.
The log alone does not help, since debiased norms may be 0 or negative. With twice the noise of the squared mean added,
each one-sided bound errs in at most 6.7 % of studies from five replicates on, in simulations with 1, 2, 3 and 20
directions and norms from a fiftieth of the noise to eight times it; but for one direction, a norm of a tenth of the
noise and 20 replicates, where 10 % say EQUIVALENT. See `docs/calibration.md`.

Legend: R replicates.
"""

from __future__ import annotations

import math

import numpy as np

from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.jackknife import Jackknifed
from retrain_equivalence.equivalence.measurements import Floats

SHIFTS = 2.0
"""The shift, in units of the noise. Four would err in up to 16 %."""
FEWEST_FOR_KERNEL = 4
"""Replicates below which the inner products have no degrees of freedom left for their noise."""
LEAST = 1e-3
"""Lower end of the scale, in shifts: where a replicate without which the number falls below stands."""


def noise_of_mean(kernel_RR: Floats, at_most: float) -> float:
    """Return the noise of a debiased squared norm, from the inner products that it is the mean of.

    `sqrt(sum over r != s of e_rs^2 / (n (n - 3))) / n` with `e_rs` what an additive fit by replicate leaves of
    `<delta_r, delta_s>`. It estimates `sqrt(tr(Sigma^2)) / n`: where all scatter is along one direction this is
    `tr(Sigma) / n`, what the seeds add to the squared mean, and less where it is not. Whatever the two runs of a
    replicate share is accounted for.

    Args:
        kernel_RR: `<delta_r, delta_s>`, r != s; the diagonal is not read; nan where there is none.
        at_most: what independent seeds would add; returned where the kernel says more, or is incomplete, or has fewer
            than four replicates.

    Source: least squares of a two-way layout without its diagonal.

    >>> e = np.array([1.0, -1.0, 1.0, -1.0, 0.0])
    >>> round(noise_of_mean(5.0 + np.outer(e, e), at_most=9.0), 3)
    0.207
    """
    present = np.isfinite(kernel_RR).sum(axis=1) > 1
    kernel = kernel_RR[np.ix_(present, present)].copy()
    n = len(kernel)
    np.fill_diagonal(kernel, 0.0)
    if n < FEWEST_FOR_KERNEL or not np.isfinite(kernel).all():
        return at_most
    mean = kernel.sum() / (n * (n - 1))
    own_R = (kernel.sum(axis=1) - (n - 1) * mean) / (n - 2)
    left_RR = kernel - mean - own_R[:, None] - own_R[None, :]
    np.fill_diagonal(left_RR, 0.0)
    return min(at_most, float(np.sqrt(np.square(left_RR).sum() / (n * (n - 3)))) / n)


def of_squared_norm(number: Jackknifed, noise: float, *, unit: str, method: str, undefined: str) -> Estimate:
    """Return the estimate of a debiased squared norm, its jackknife t interval on the scale `log(x + shift)`.

    `shift = 2 noise`, held fixed where a replicate is removed.

    Args:
        number: `||mean||^2 - noise`, with its leave-one-out values; may be negative.
        noise: `noise_of_mean`, >= 0, in the unit of `number`.
        unit: of the number.
        method: how it was computed.
        undefined: the reason that is given where it is nan.

    Returns:
        The estimate in its unit; with a plain t interval if there is no noise, or where the number lies below the
        scale, as a few per cent of those do that are 0 in truth.

    Source: this package's own; the shift is the started logarithm of Tukey 1977, in units of the noise.

    >>> number = Jackknifed(
    ...     value=1.0, joint_N=np.array([0.5, 1.0, 1.5]), own_N=np.ones(3), oracle_N=np.ones(3),
    ...     runs_N=np.ones(3, dtype=bool), oracles_N=np.zeros(3, dtype=bool))
    >>> found = of_squared_norm(number, 0.5, unit="", method="", undefined="")
    >>> print(*(f"{number:.3f}" for number in (found.estimate, *found.interval)))
    1.000 -0.440 6.138
    """
    plain = of_jackknife(number, unit=unit, method=method, undefined=undefined)
    shift = SHIFTS * noise
    if plain.value is None or not shift > 0:
        return plain

    def log(x: Floats) -> Floats:
        return np.log(np.maximum(x + shift, LEAST * shift))

    if number.value <= (LEAST - 1) * shift:
        return plain
    return of_jackknife(
        number.through(log),
        unit=unit,
        method=method,
        undefined=undefined,
        shown=lambda x: math.exp(x) - shift,
        scaled=lambda x: math.log(x + shift),
    )
