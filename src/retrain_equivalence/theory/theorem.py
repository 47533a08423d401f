"""Theorem 3.1 and Corollary 1 as functions of arrays: every constant, the bound, and when it starts to hold.

Two histories with difference Δ_0 are unlearned by the same gradient ascent on the forget inputs. On the span the
difference is multiplied by I + M_U at every step, off the span it is frozen, and the theorem follows from

    ‖X_test Δ_t‖ ≥ σ_U ‖(I + M_U)^t P Δ_0‖ − ‖X_test (I − P) Δ_0‖ ≥ σ_U (1 + ρ*)^t ‖P Δ_0‖ − C_0

(the first step by the triangle inequality, the second by Jensen's inequality on x → (1 + x)^{2t}), once the last term
is at most half of the one before it. Everything is kept as a logarithm, so any t can be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf, log, log1p

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.forget_span import ForgetSpan

ROUNDING = 1e-12
"""A part of Δ_0, or a singular value, below this share of the whole is rounding and counts as zero."""


class BoundOutcome(StrEnum):
    """Whether the theorem says anything, and from when."""

    FROM_T0 = "holds at every t >= max(t0, 0)"
    AT_EVERY_STEP = "holds at every t >= 0: nothing of the difference lies off the span (C0 = 0, t0 = -infinity)"
    FEW_TEST_ROWS = "vacuous: fewer test rows than forget rows (m < k), so sigma_U = 0; the gap may still grow"
    UNSEEN_DIRECTION = "vacuous: a direction of the span changes no test prediction, so sigma_U = 0"
    NO_DIFFERENCE = "vacuous: the histories do not differ on the span of the forget inputs, so the gap stays as it is"


VACUOUS = frozenset({BoundOutcome.FEW_TEST_ROWS, BoundOutcome.UNSEEN_DIRECTION, BoundOutcome.NO_DIFFERENCE})
"""Outcomes in which the lower bound is 0 and there is no t0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The constants of Theorem 3.1 for one pair of histories.

    `d(t) ≥ σ_U² ‖PΔ_0‖² / (4m) · (1 + ρ*)^{2t}` for every integer `t ≥ max(t0, 0)`.
    """

    rho: float
    """ρ* = ⟨PΔ_0, M_U PΔ_0⟩ / ‖PΔ_0‖², the mean rate; 0 if PΔ_0 = 0."""
    fastest_rate: float
    """x_1 = λ_max(M_U): the rate that the true gap approaches."""
    sigma: float
    """σ_U, the k-th singular value of X_test P (its smallest that is not zero by construction)."""
    on_span: float
    """‖PΔ_0‖."""
    c0: float
    """C_0 = ‖X_test‖_op ‖(I − P)Δ_0‖, as printed."""
    c0_seen: float
    """‖X_test (I − P)Δ_0‖ ≤ C_0: what the proof needs."""
    test_rows: int
    """m."""
    outcome: BoundOutcome
    t0: int | None
    """⌈log(2 C_0 / (σ_U ‖PΔ_0‖)) / log(1 + ρ*)⌉, may be negative; None where the outcome has no t0."""
    t0_tight: int | None
    """The same with `c0_seen` in place of C_0; None also if that is zero, which holds at every step."""
    t0_modes: int | None
    """First t ≥ 0 with σ_U ‖(I + M_U)^t PΔ_0‖ ≥ 2 ‖X_test (I − P)Δ_0‖: the proof's condition itself, without Jensen."""

    @property
    def is_vacuous(self) -> bool:
        """Whether the lower bound is 0."""
        return self.outcome in VACUOUS

    @property
    def start(self) -> int:
        """max(t0, 0), the first step at which the theorem as printed says something.

        Raises:
            InputError: E-DATA-113 if the bound is vacuous.
        """
        self._needs_bound("start")
        return 0 if self.t0 is None else max(self.t0, 0)

    @property
    def start_tight(self) -> int:
        """max(tight t0, 0).

        Raises:
            InputError: E-DATA-113 if the bound is vacuous.
        """
        self._needs_bound("start")
        return 0 if self.t0_tight is None else max(self.t0_tight, 0)

    def log_at(self, steps: Sequence[int] | npt.NDArray[np.int64]) -> Array:
        """Return the natural logarithm of the lower bound at each step, shape [T]; −inf where it is vacuous.

        It bounds d(t) only for t ≥ `start` (or `start_tight`).
        """
        t = np.asarray(steps, dtype=np.float64)
        if self.is_vacuous:
            return np.full(t.shape, -np.inf)
        level = 2 * log(self.sigma) + 2 * log(self.on_span) - log(4 * self.test_rows)
        found: Array = level + 2 * t * log1p(self.rho)
        return found

    def _needs_bound(self, what: str) -> None:
        if self.is_vacuous:
            raise InputError.of(
                "E-DATA-113",
                what,
                f"the bound is {self.outcome.value}",
                "ask `is_vacuous` first, or draw a world with m >= k",
            )


def bound(span: ForgetSpan, delta: Array, test_inputs: Array, *, learning_rate: float) -> Bound:
    """Return the constants of Theorem 3.1.

    `ρ* = Σ_j x_j c_j² / Σ_j c_j²` with c the coordinates of Δ_0 on the span and x_j = η h_j;
    `t0 = ⌈log(2 C_0 / (σ_U ‖PΔ_0‖)) / log(1 + ρ*)⌉`.

    Conditions: squared loss, full batch, a fixed step, plain ascent on the same forget rows in both histories; X_U of
    full row rank. Labels and training histories do not enter.

    Args:
        span: of the forget inputs X_U, k rows in d dimensions.
        delta: Δ_0 = θ_a − θ_b before unlearning, shape [d].
        test_inputs: X_test, shape [m, d].
        learning_rate: η > 0.

    Raises:
        InputError: E-DATA-100, -101 or -102 for other shapes, values that are not finite, or η ≤ 0.

    Source: Yu et al. (2025), Theorem 3.1 and appendix C. Deviations: σ_U is the smallest *non-zero* singular value
    (the literal one of the m × d matrix X_test P is 0 whenever k < d); the tight t0 and `t0_modes` are derived; zero
    constants are named outcomes.

    One forget row along the first axis, x_1 = 1 (η = 1/2); Δ_0 has 1 on the span and 2 off it, both seen by the test:

    >>> b = bound(ForgetSpan.of([[1.0, 0.0]]), np.array([1.0, 2.0]), np.eye(2), learning_rate=0.5)
    >>> round(b.rho, 12), round(b.sigma, 12), round(b.c0, 12), b.t0, np.exp(b.log_at([2, 3])).round(6).tolist()
    (1.0, 1.0, 2.0, 2, [2.0, 8.0])
    """
    d = span.inputs.shape[1]
    gap = vector(delta, "delta", d)
    rows = matrix(test_inputs, "test inputs", columns=d)
    m, k = len(rows), span.n_rows
    rates = span.rates(learning_rate)
    coordinates = span.coordinates(gap)
    whole, on_span = float(np.linalg.norm(gap)), float(np.linalg.norm(coordinates))
    off = span.off_span(gap)
    off_span = float(np.linalg.norm(off))
    largest = float(np.linalg.norm(rows, 2))
    seen: Array = rows @ span.basis.T
    sigma = float(np.linalg.svd(seen, compute_uv=False)[k - 1]) if m >= k else 0.0
    if on_span <= ROUNDING * whole or whole == 0:
        outcome = BoundOutcome.NO_DIFFERENCE
    elif m < k:
        outcome = BoundOutcome.FEW_TEST_ROWS
    elif sigma <= ROUNDING * largest:
        outcome = BoundOutcome.UNSEEN_DIRECTION
    elif off_span <= ROUNDING * whole:
        outcome = BoundOutcome.AT_EVERY_STEP
    else:
        outcome = BoundOutcome.FROM_T0
    c0 = largest * off_span if off_span > ROUNDING * whole else 0.0
    c0_seen = float(np.linalg.norm(rows @ off)) if c0 else 0.0
    c0_seen = c0_seen if c0_seen > ROUNDING * c0 else 0.0
    has_bound = outcome not in VACUOUS
    weights = (coordinates / on_span) ** 2 if has_bound else np.zeros(k)
    rho = float(weights @ rates)
    return Bound(
        rho=rho,
        fastest_rate=float(rates[0]),
        sigma=sigma,
        on_span=on_span,
        c0=c0,
        c0_seen=c0_seen,
        test_rows=m,
        outcome=outcome,
        t0=_first(c0, sigma * on_span, rho) if has_bound else None,
        t0_tight=_first(c0_seen, sigma * on_span, rho) if has_bound else None,
        t0_modes=_first_by_modes(c0_seen, sigma * on_span, weights, rates) if has_bound else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CorollaryStep:
    """Corollary 1's t*, and which of its two terms decides."""

    step: int
    """The least positive integer that both terms allow."""
    from_tolerance: float
    """[log(16 m ε) − log(σ_U² ‖PΔ_0‖²)] / (2 log(1 + ρ*)): when the bound itself reaches 4ε; may be negative."""
    is_t0_binding: bool
    """Whether t0 (or 1) decides, and not the tolerance: then the tolerance does not matter to the theorem."""


def corollary_step(found: Bound, tolerance: float, *, tight: bool = False) -> CorollaryStep:
    """Return the least t* > 0 at which Corollary 1 says that one of the two histories violates ε-RE.

    At t* the bound is at least 4ε. If both histories were strictly within ε of *one* reference, the gap would be below
    4ε by the triangle inequality on √d; the reference may be any state whatever, so long as it is common.

    Args:
        found: the constants; must not be vacuous.
        tolerance: ε > 0, in the unit of d.
        tight: use the tight t0.

    Raises:
        InputError: E-DATA-102 for ε ≤ 0, E-DATA-113 if the bound is vacuous.

    Source: Yu et al. (2025), Corollary 1. Deviation: where the bound equals 4ε exactly, the printed strict violation
    needs a gap strictly above 4ε; here as there t* is the first integer with a bound of at least 4ε.
    """
    positive(tolerance, "tolerance")
    start = found.start_tight if tight else found.start
    wanted = (log(4 * tolerance) - float(found.log_at([0])[0])) / (2 * log1p(found.rho))
    least = max(start, 1)
    return CorollaryStep(step=max(least, ceil(wanted)), from_tolerance=wanted, is_t0_binding=wanted <= least)


def violates_common(log_gap: Array, tolerance: float) -> npt.NDArray[np.bool_]:
    """Return where the gap forces one of two histories out of ε-RE with any one common reference: d > 4ε.

    Args:
        log_gap: log d(θ_a, θ_b), any shape; −inf for no gap.
        tolerance: ε > 0.

    Raises:
        InputError: E-DATA-102 for ε ≤ 0.

    Source: the triangle inequality of Corollary 1, Yu et al. (2025), applied to the true gap.

    >>> violates_common(np.log([3.9, 4.1]), 1.0).tolist()
    [False, True]
    """
    found: npt.NDArray[np.bool_] = np.asarray(log_gap) > log(4 * positive(tolerance, "tolerance"))
    return found


def violates_own(log_gap: Array, oracle_gap: float, tolerance: float) -> npt.NDArray[np.bool_]:
    """Return where one of two histories must violate ε-RE with respect to *its own* oracle.

    `√d(θ_a, θ_b) > 2√ε + √d(r_a, r_b)` is enough, by the triangle inequality θ_a, r_a, r_b, θ_b. With r_a = r_b it
    is the common form.

    Args:
        log_gap: log d(θ_a, θ_b), any shape.
        oracle_gap: d(r_a, r_b) ≥ 0.
        tolerance: ε > 0.

    Raises:
        InputError: E-DATA-102 for ε ≤ 0, E-DATA-114 for an oracle gap that is negative or not finite.

    Source: derived; Yu et al. (2025) compare both orders with one retrained model: right for a whole stage only.

    >>> violates_own(np.log([8.9, 9.1]), 1.0, 1.0).tolist()
    [False, True]
    """
    level = 2 * log(2 * positive(tolerance, "tolerance") ** 0.5 + _distance(oracle_gap) ** 0.5)
    found: npt.NDArray[np.bool_] = np.asarray(log_gap) > level
    return found


def log_worst_retrain_gap(log_gap: Array, oracle_gap: float) -> Array:
    """Return log of the least that the worse of two histories is away from its own oracle, as the gap implies it.

    `max_h √d(θ_h, r_h) ≥ ½ (√d(θ_a, θ_b) − √d(r_a, r_b))`; returned squared, as a distance, in log form; −inf where the
    gap implies nothing.

    Args:
        log_gap: log d(θ_a, θ_b), any shape.
        oracle_gap: d(r_a, r_b) ≥ 0; 0 for a common oracle.

    Raises:
        InputError: E-DATA-114 for an oracle gap that is negative or not finite.

    Source: derived.

    >>> np.round(np.exp(log_worst_retrain_gap(np.log([9.0, 0.5]), 1.0)), 12).tolist()
    [1.0, 0.0]
    """
    half = np.asarray(log_gap, dtype=np.float64) / 2
    oracle = _distance(oracle_gap)
    between = log(oracle) / 2 if oracle else -inf
    found = np.full(half.shape, -np.inf)
    above = half > between
    found[above] = 2 * (half[above] + np.log(-np.expm1(between - half[above])) - log(2))
    return found


def _distance(value: float) -> float:
    if not (np.isfinite(value) and value >= 0):
        raise InputError.of(
            "E-DATA-114", "oracle gap", f"expected a finite distance of at least 0, found {value}", "give d(r_a, r_b)"
        )
    return float(value)


def _first(off: float, on: float, rho: float) -> int | None:
    return ceil((log(2 * off) - log(on)) / log1p(rho)) if off else None


def _first_by_modes(off: float, on: float, weights: Array, rates: Array) -> int:
    """Bisect for the first t ≥ 0 with on · (Σ_j w_j (1 + x_j)^{2t})^½ ≥ 2 off, which grows with t."""
    if 2 * off <= on:
        return 0
    kept = weights > 0
    log_weights, growth = np.log(weights[kept]), np.log1p(rates[kept])
    wanted = 2 * (log(2 * off) - log(on))

    def reaches(t: int) -> bool:
        return float(np.logaddexp.reduce(log_weights + 2 * t * growth)) >= wanted

    low, high = 0, 1
    while not reaches(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
