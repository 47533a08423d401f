"""When to stop: the first step at which two histories are too far apart, the best step of each, and the price of one.

Steps are scanned in closed form, in blocks that double, and the scan ends with a certificate: a lower bound that grows
with t has passed what was looked for. So a minimum is the global one over all t, not the best of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.theorem import Bound
from retrain_equivalence.theory.trajectory import log_path_distances, log_re_distances

FIRST_BLOCK, LONGEST_BLOCK = 64, 16_384
"""Steps per block of a scan: blocks double up to the longest."""
MOST_STEPS = 200_000
"""Where a scan without a certificate gives up, unless told otherwise."""


class ScanOutcome(StrEnum):
    """How a scan over steps ended."""

    FOUND = "found"
    NEVER = "never: the gap does not change, since the histories do not differ on the span"
    NOT_WITHIN = "not within the steps scanned"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStep:
    """The first step at which something happens."""

    step: int | None
    """None unless found."""
    outcome: ScanOutcome


def first_above(
    span: ForgetSpan,
    delta: Array,
    test_inputs: Array,
    *,
    learning_rate: float,
    log_level: float,
    most: int = MOST_STEPS,
) -> FirstStep:
    """Return the first t ≥ 0 with log d(θ_a, θ_b) above a level under ascent.

    With the level log 4ε it is the first step at which no common reference serves both histories (Corollary 1's
    conclusion, checked on the true gap); with 2 log(2√ε + √d(r_a, r_b)) at least one of them violates ε-RE with respect
    to its own oracle. It can come long before t* or t0, which are sufficient only. d need not grow at first (the frozen
    and the growing part can cancel), so steps are scanned, not bisected.

    Args:
        span: of the forget inputs.
        delta: Δ_0 = θ_a − θ_b, shape [d].
        test_inputs: X_test, shape [m, d].
        learning_rate: η > 0.
        log_level: natural logarithm of the level.
        most: the last step that is looked at.

    Raises:
        InputError: E-DATA-100, -101, -102 as in `theorem.bound`.

    Source: derived.

    The gap of 1 on the span doubles at every step, so d = 4^t / 2 on two test rows, and 100 is passed at t = 4:

    >>> first_above(
    ...     ForgetSpan.of([[1.0, 0.0]]), np.array([1.0, 0.0]), np.eye(2), learning_rate=0.5, log_level=np.log(100)
    ... ).step
    4
    """
    gap = vector(delta, "delta", span.inputs.shape[1])[None]
    still = bool(np.linalg.norm(span.on_span(gap)) <= 1e-12 * np.linalg.norm(gap))
    for steps in _blocks(0 if still else most):
        logs = log_path_distances(span, gap, test_inputs, learning_rate=learning_rate, steps=steps)[0]
        above = np.flatnonzero(logs > log_level)
        if len(above):
            return FirstStep(step=steps[int(above[0])], outcome=ScanOutcome.FOUND)
    return FirstStep(step=None, outcome=ScanOutcome.NEVER if still else ScanOutcome.NOT_WITHIN)


def first_step_for_good(
    found: Bound, span: ForgetSpan, delta: Array, test_inputs: Array, *, learning_rate: float
) -> int:
    """Return the least t such that d(s) ≥ the theorem's bound at every s ≥ t, 0 included: what t0 is an upper bound of.

    From max(tight t0, 0) on the bound is proved, so only the steps before it are looked at, from the last one down.

    Args:
        found: the constants, as `theorem.bound` returns them for the same arguments; must not be vacuous.
        span: of the forget inputs.
        delta: Δ_0, shape [d].
        test_inputs: X_test, shape [m, d].
        learning_rate: η > 0.

    Raises:
        InputError: E-DATA-113 if the bound is vacuous.

    Source: derived.
    """
    end = found.start_tight
    gap = vector(delta, "delta", span.inputs.shape[1])[None]
    while end > 0:
        steps = range(max(0, end - LONGEST_BLOCK), end)
        logs = log_path_distances(span, gap, test_inputs, learning_rate=learning_rate, steps=steps)[0]
        below = np.flatnonzero(logs < found.log_at(steps))
        if len(below):
            return steps[int(below[-1])] + 1
        end = steps.start
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The step at which one trajectory is nearest to its reference."""

    step: int
    """The first that attains the least distance."""
    value: float
    """d(θ_t, r) there."""
    at_start: float
    """d(θ_0, r)."""
    is_certified: bool
    """Whether no later step can be nearer; otherwise it is the best of the steps scanned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """The best step of each history, and one step for all of them."""

    best: tuple[Stop, ...]
    """Per history, each against its own reference."""
    universal_step: int
    """The t with the least mean distance over the histories."""
    universal: tuple[float, ...]
    """d of each history there."""
    worst_case_step: int
    """The t with the least largest distance over the histories."""
    worst_case: tuple[float, ...]
    """d of each history there."""

    @property
    def price(self) -> float:
        """Mean over histories of what `universal_step` is above the best step of each: never negative."""
        return float(np.mean([d - stop.value for d, stop in zip(self.universal, self.best, strict=True)]))

    @property
    def relative_price(self) -> float:
        """The price as a share of the mean best distance; 0 if both are 0, infinite if only the latter is."""
        best = float(np.mean([stop.value for stop in self.best]))
        return self.price / best if best else (0.0 if self.price == 0 else float("inf"))


def stopping(
    span: ForgetSpan,
    targets: Array,
    thetas: Array,
    references: Array,
    test_inputs: Array,
    *,
    learning_rate: float,
    most: int = MOST_STEPS,
) -> Stopping:
    """Return the best step of ascent of each history and the best single one, over all t ≥ 0.

    `X_test(θ_t − r) = Σ_j (1 + x_j)^t c_j X_test v_j + X_test w`, with X_U θ* = y, c the coordinates of θ_0 − θ* on the
    span and w what does not move. So `√(m d)` is at least `σ_U ‖(1 + x)^t c‖ − ‖X_test w‖`, and at least the length of
    the fastest mode less those of all others. The first grows with t; the second does once it is positive. When one of
    them is above the least distance found, no later step is nearer, and the scan ends.

    Args:
        span: of the forget inputs.
        targets: y of the forget rows, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        references: r of each history, shape [H, d]; equal rows for a common oracle.
        test_inputs: X_test, shape [m, d].
        learning_rate: η > 0.
        most: where the scan gives up without a certificate (as for a history that already fits its forget rows).

    Raises:
        InputError: E-DATA-100, -101, -102 for bad input, E-DATA-115 if there is not one reference per history.

    Source: derived; answers why one universal t is compared rather than a t per path.
    """
    starts, ends = matrix(thetas, "thetas"), matrix(references, "references")
    if starts.shape != ends.shape:
        raise InputError.of(
            "E-DATA-115", "references", f"expected shape {starts.shape}, found {ends.shape}",
            "give one reference per history, the same row again for a common oracle",
        )  # fmt: skip
    positive(most, "most")
    rows = matrix(test_inputs, "test inputs")
    wanted: Array = vector(targets, "targets", span.n_rows) @ span.left / span.singular_values
    moving: Array = span.coordinates(starts) - wanted
    fixed: Array = rows @ (wanted @ span.basis + span.off_span(starts) - ends).T
    seen: Array = rows @ span.basis.T
    sigma = float(np.linalg.svd(seen, compute_uv=False)[-1]) if len(rows) >= span.n_rows else 0.0
    growth = np.log1p(span.rates(learning_rate))

    with np.errstate(divide="ignore"):
        log_fixed = np.log(np.linalg.norm(fixed, axis=0))
        log_moving = np.log(np.abs(moving))
        log_lengths = log_moving + np.log(np.linalg.norm(seen, axis=0))
        log_sigma = np.log(sigma)

    def least_later(t: int) -> Array:
        """Return log of a lower bound of d at every step from t on, per history."""
        whole = log_sigma + np.logaddexp.reduce(2 * (log_moving + t * growth), axis=1) / 2
        modes = log_lengths + t * growth
        others = np.logaddexp(np.logaddexp.reduce(modes[:, 1:], axis=1, initial=-np.inf), log_fixed)
        best = np.maximum(_log_less(whole, log_fixed), _log_less(modes[:, 0], others))
        found: Array = 2 * best - np.log(len(rows))
        return found

    blocks: list[Array] = []
    certified = np.zeros(len(starts), dtype=np.bool_)
    for steps in _blocks(most):
        blocks.append(log_re_distances(span, targets, starts, ends, rows, learning_rate=learning_rate, steps=steps))
        # The best single step may come after the best of each, so its mean and its maximum need the certificate too.
        logs = np.concatenate(blocks, axis=1)
        later = least_later(steps[-1] + 1)
        certified = later >= logs.min(axis=1)
        mean_best = np.logaddexp.reduce(logs, axis=0).min()
        worst_best = logs.max(axis=0).min()
        if certified.all() and np.logaddexp.reduce(later) >= mean_best and later.max() >= worst_best:
            break
    logs = np.concatenate(blocks, axis=1)
    mean_at = int(np.argmin(np.logaddexp.reduce(logs, axis=0)))
    worst_at = int(np.argmin(logs.max(axis=0)))
    best_at = np.argmin(logs, axis=1)
    return Stopping(
        best=tuple(
            Stop(step=int(t), value=float(np.exp(row[t])), at_start=float(np.exp(row[0])), is_certified=bool(sure))
            for t, row, sure in zip(best_at, logs, certified, strict=True)
        ),
        universal_step=mean_at,
        universal=tuple(float(v) for v in np.exp(logs[:, mean_at])),
        worst_case_step=worst_at,
        worst_case=tuple(float(v) for v in np.exp(logs[:, worst_at])),
    )


def _log_less(first: Array, second: Array) -> Array:
    """Return log(e^first − e^second), −inf where that is not positive."""
    found = np.full(first.shape, -np.inf)
    above = first > second
    found[above] = first[above] + np.log(-np.expm1(second[above] - first[above]))
    return found


def _blocks(most: int) -> Iterator[range]:
    start, size = 0, FIRST_BLOCK
    while start <= most:
        yield range(start, min(start + size, most + 1))
        start, size = start + size, min(2 * size, LONGEST_BLOCK)
