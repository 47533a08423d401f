"""Debiased squared norms with an interval that holds: on the scale `log(x + shift)`.

A path gap, a bias to the oracle, a variance between histories are squared lengths of a mean vector, debiased. Their
spread shrinks with them, so low estimates come with short intervals: on their own scale a 95 % upper bound lies below
the truth in up to 20 % of studies where runs scatter in one direction, in 11 % where in three, in 6 % where in twenty.
The log alone does not help, since debiased norms may be 0 or negative. With twice the noise of the mean added, which
keeps every estimate above 0, each one-sided bound errs in at most 6.5 % of studies from five replicates on, whatever
the number of directions; but for one direction, a gap of a tenth of the noise and 20 replicates (10 %). See
`docs/calibration.md`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.jackknife import Jackknifed
from retrain_equivalence.equivalence.measurements import Floats

SHIFTS = 2.0
"""The shift, in squared lengths of the mean's noise. One shift errs in up to 6.7 %, four in up to 16 %."""
LEAST = 1e-3
"""Lower end of the scale, in shifts: where a replicate without which the number falls below stands."""


def of_squared_norm(number: Jackknifed, noise: float, *, unit: str, method: str, undefined: str) -> Estimate:
    """Return the estimate of a debiased squared norm, its jackknife t interval on the scale `log(x + shift)`.

    `shift = 2 noise`, held fixed where a replicate is removed.

    Args:
        number: `||mean||^2 - noise`, with its leave-one-out values; may be negative.
        noise: what the seeds add to the squared norm of the mean, >= 0, in the unit of `number`; where runs share
            seeds it may be overstated, which only moves the scale towards the plain one.
        unit: of the number.
        method: how it was computed.
        undefined: the reason that is given where it is nan.

    Returns:
        The estimate in its unit; on its own scale if there is no noise; without an interval where the number lies
        below the scale, which a debiased norm does not unless a distance is missing.

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
        return replace(plain, se=None)
    return of_jackknife(
        number.through(log),
        unit=unit,
        method=method,
        undefined=undefined,
        shown=lambda x: math.exp(x) - shift,
        scaled=lambda x: math.log(x + shift),
    )
