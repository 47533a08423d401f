"""Gradient ascent on one logistic example, in closed form: how long forgetting takes, and where the gap ends.

The margin obeys m' = −η‖x‖² σ(−m). Since dt = −(1 + e^m) dm / (η‖x‖²), the quantity s = m + e^m falls at constant
speed: s(t) = s(0) − η‖x‖² t. All that follows is this one line. Source: derived; small steps (η‖x‖² ≪ 1) are read as a
flow, and the deviation is measured in `docs/theory.md`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, positive


def clock(margins: Array) -> Array:
    """Return s = m + e^m, elementwise: ascent lowers it by η‖x‖² per step."""
    found: Array = np.asarray(margins, dtype=np.float64) + np.exp(margins)
    return found


def margin_at(clocks: Array) -> Array:
    """Return the margin at a clock, elementwise: m = log ω(s), with ω Wright's omega function (ω + log ω = s).

    >>> float(margin_at(clock(np.array([2.0])))[0].round(12))
    2.0
    """
    values = np.asarray(clocks, dtype=np.float64)
    omega = special.wrightomega(values)
    # log ω underflows where ω does, and s − ω cancels where ω is near s: each is used where it is exact.
    found: Array = np.where(values > 0, np.log(np.maximum(omega, np.finfo(np.float64).tiny)), values - omega)
    return found


def steps_to(start: float, end: float, *, learning_rate: float, squared_norm: float = 1.0) -> float:
    """Return the steps of ascent from margin `start` down to `end`: [(m − c) + (e^m − e^c)] / (η‖x‖²).

    The exponential is recency: a memorised example has almost no gradient, so the last trained takes longest to leave.

    Args:
        start: m, the margin before unlearning.
        end: c, the margin at which the example counts as forgotten.
        learning_rate: η.
        squared_norm: ‖x‖².

    Raises:
        InputError: E-DATA-125 if `end` is above `start`: ascent only lowers margins; E-DATA-102 for a step size or
            norm that is not positive.

    >>> round(steps_to(3.0, 0.0, learning_rate=0.1), 3)  # (3 + e³ − 1) / 0.1
    220.855
    """
    if not (np.isfinite(start) and np.isfinite(end) and end <= start):
        raise InputError.of(
            "E-DATA-125", "end", f"ascent from margin {start} never comes to {end}: it only lowers margins",
            "name an end at or below the start",
        )  # fmt: skip
    per_step = positive(learning_rate, "learning_rate") * positive(squared_norm, "squared_norm")
    fallen = clock(np.array([start, end]))
    return float(fallen[0] - fallen[1]) / per_step


def extra_steps(first: float, second: float, *, learning_rate: float, squared_norm: float = 1.0) -> float:
    """Return how many more steps `first` needs than `second` to any common margin below both.

    [(m₁ − m₂) + (e^{m₁} − e^{m₂})] / (η‖x‖²): the limit of the margin gap, in steps at full speed.

    >>> round(extra_steps(3.0, 1.0, learning_rate=1.0), 4)
    19.3673
    """
    per_step = positive(learning_rate, "learning_rate") * positive(squared_norm, "squared_norm")
    return limit_gap(first, second) / per_step


def limit_gap(first: float, second: float) -> float:
    """Return lim m₁(t) − m₂(t) = (m₁ − m₂) + (e^{m₁} − e^{m₂}): ascent expands a margin gap, but to a finite value.

    >>> round(limit_gap(3.0, 1.0), 4)
    19.3673
    """
    at = clock(np.array([first, second]))
    return float(at[0] - at[1])


def margins_after(starts: Array, times: Array) -> Array:
    """Return m(t) from each start after each time η‖x‖² t, shape [H, T], in closed form."""
    left = clock(np.asarray(starts, dtype=np.float64))[:, None] - np.asarray(times, dtype=np.float64)[None, :]
    return margin_at(left)


def iterate(starts: Array, *, step: float, n_steps: int) -> Array:
    """Return the margins of explicit steps m ← m − step·σ(−m), shape [H, n_steps + 1]: for comparison.

    Args:
        starts: shape [H].
        step: η‖x‖².
        n_steps: how many.
    """
    path = [np.asarray(starts, dtype=np.float64)]
    for _ in range(n_steps):
        path.append(path[-1] - positive(step, "step") * special.expit(-path[-1]))
    found: Array = np.stack(path, axis=1)
    return found


def count_steps(start: float, end: float, *, step: float, most: int = 1_000_000) -> int | None:
    """Return how many explicit steps bring the margin to `end` or below; None if more than `most`: for comparison.

    >>> count_steps(0.2, 0.0, step=0.25), count_steps(30.0, 0.0, step=0.1, most=1000)
    (2, None)
    """
    margin = start
    for number in range(most + 1):
        if margin <= end:
            return number
        margin -= step / (1 + math.exp(margin)) if margin < 700 else 0.0
    return None
