"""How a gap grows: rates in two windows, and a class decided by simultaneous intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from retrain_equivalence.theory.arrays import Array, matrix, positive
from retrain_equivalence.theory.summary import half_width


class Growth(StrEnum):
    """What the rates of log gap say, for a declared margin κ below which a rate counts as none."""

    FLAT = "flat"
    """Both rates within ±κ."""
    SATURATING = "saturating"
    """Early rate above κ, late rate within ±κ."""
    TURNING = "expanding, then contracting"
    """Early rate above κ, late rate below −κ."""
    EXPONENTIAL = "exponential"
    """Both above κ, and equal within κ."""
    SLOWING = "slower than exponential"
    """Both above κ, the late one lower by more than κ."""
    CONTRACTING = "contracting"
    """Early rate below −κ."""
    INCONCLUSIVE = "inconclusive"
    """The intervals decide none of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """Rates of one gap over seeds, in nats per step, each with its simultaneous interval."""

    early: tuple[float, float, float]
    """Mean, low, high of the rate in the first quarter."""
    late: tuple[float, float, float]
    """The same for the last quarter."""
    slowing: tuple[float, float, float]
    """The same for late − early."""
    kind: Growth


def growing(log_gaps: Array, margin: float, level: float = 0.95) -> Growing:
    """Classify the growth of a gap.

    The rate is the least-squares slope of log gap against the step, per seed, in the first and the last quarter of the
    steps; the three intervals (early, late, difference) are t intervals over seeds at 1 − (1 − level)/3 each, so that
    together they hold with probability `level`.

    Args:
        log_gaps: one row per seed, one column per step 0..T, shape [seeds, T + 1]; at least two seeds and T ≥ 4.
        margin: κ > 0, nats per step.
        level: of the three intervals together.

    Raises:
        InputError: E-DATA-100, -101 or -102 for another shape, values that are not finite, or κ ≤ 0.

    >>> growing(np.array([[0.0, 1, 2, 3, 4], [0.0, 1, 2, 3, 4]]), margin=0.1).kind
    <Growth.EXPONENTIAL: 'exponential'>
    """
    found = matrix(log_gaps, "log gaps")
    kappa = positive(margin, "margin")
    quarter = max((found.shape[1] - 1) // 4, 1)
    first, last = slopes(found[:, : quarter + 1]), slopes(found[:, -quarter - 1 :])
    early, late, slowing = (_interval(v, 1 - (1 - level) / 3) for v in (first, last, last - first))
    return Growing(early=early, late=late, slowing=slowing, kind=_decide(early, late, slowing, kappa))


def slopes(log_gaps: Array) -> Array:
    """Return the least-squares slope of each row against the column's number, shape [rows].

    >>> slopes(np.array([[1.0, 3.0, 5.0]])).tolist()
    [2.0]
    """
    steps = np.arange(log_gaps.shape[1]) - (log_gaps.shape[1] - 1) / 2
    found: Array = log_gaps @ steps / (steps @ steps)
    return found


def _interval(values: Array, level: float) -> tuple[float, float, float]:
    # One seed bounds nothing: every class but INCONCLUSIVE needs two.
    mean, half = float(values.mean()), float(half_width(values, level))
    return mean, mean - half, mean + half


Interval = tuple[float, float, float]


def _decide(early: Interval, late: Interval, slowing: Interval, margin: float) -> Growth:
    if early[2] < -margin:
        return Growth.CONTRACTING
    is_late_flat = -margin < late[1] and late[2] < margin
    if -margin < early[1] and early[2] < margin and is_late_flat:
        return Growth.FLAT
    if early[1] > margin:
        if is_late_flat:
            return Growth.SATURATING
        if late[2] < -margin:
            return Growth.TURNING
        if late[1] > margin and -margin < slowing[1] and slowing[2] < margin:
            return Growth.EXPONENTIAL
        if late[1] > margin and slowing[2] < -margin:
            return Growth.SLOWING
    return Growth.INCONCLUSIVE
