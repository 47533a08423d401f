"""The floor: the least RE distance that any method local to the forget inputs can reach, whatever its loss or step.

Under plain steps (full batch or minibatches, any loss of X_U θ, any per-example weights, momentum started at zero,
clipping) every update lies in span(X_Uᵀ). So θ_t stays in θ_0 + span(X_Uᵀ), and d(θ_t, r) is at least the least
distance over that affine space. Adam and other preconditioners, weight decay, LoRA and retain terms leave the span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, vector
from retrain_equivalence.theory.forget_span import ForgetSpan

ZERO_SHARE = 1e-9
"""√floor below this share of the largest prediction it was computed from is rounding, and reported as zero."""


class FloorOutcome(StrEnum):
    """Whether a method local to the forget inputs could reach the reference, and if so, why."""

    POSITIVE = "positive: no local method reaches the reference on these test inputs"
    ON_FORGET_INPUTS = "zero: the test inputs lie in the span of the forget inputs"
    FEW_TEST_ROWS = "zero: no more test rows than forget rows (m <= k), so their outputs can be set at will"
    DIFFERENCE_ON_SPAN = "zero: theta_0 - r lies in the span of the forget inputs (as for a whole last stage)"
    INVISIBLE = "zero: what is off the span changes no test prediction that the span cannot correct"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Floor:
    """The floor of one history against one reference."""

    value: float
    """min over v in span(X_Uᵀ) of d(θ_0 + v, r); exactly 0 for every named outcome but POSITIVE."""
    outcome: FloorOutcome
    """Why it is zero, or that it is not."""
    nearest: Array
    """The state in θ_0 + span(X_Uᵀ) that attains it, nearest to θ_0, shape [d]."""
    at_oracle_targets: float
    """d at the end of descent to the reference's own outputs on the forget inputs: (1/m)‖X_test(I − P)(θ_0 − r)‖²."""
    at_start: float
    """d(θ_0, r)."""


def floor(span: ForgetSpan, theta: Array, reference: Array, test_inputs: Array) -> Floor:
    """Return the least RE distance over θ_0 + span(X_Uᵀ).

    `floor = (1/m) ‖(I − Π) X_test (I − P)(θ_0 − r)‖²`, Π the projector on col(X_test P): a least-squares problem in the
    k coordinates on the span. It holds for every t ≥ 0, every loss of X_U θ and every weighting under plain steps. It
    is positive iff X_test(I − P)(θ_0 − r) is not in col(X_test P): generic when m > k, d > k and θ_0 − r is not in
    span(X_Uᵀ).

    Args:
        span: of the forget inputs X_U, k rows in d dimensions.
        theta: θ_0, the state before unlearning, shape [d].
        reference: r, the oracle or any other state, shape [d].
        test_inputs: X_test, shape [m, d].

    Raises:
        InputError: E-DATA-100 or -101 for other shapes or values that are not finite.

    Source: derived; not in Yu et al. (2025). Their Theorem 3.1 needs t ≥ t0, this holds at every t, 0 included.

    One forget row along the first axis of the plane; the test rows see both axes:

    >>> span = ForgetSpan.of([[1.0, 0.0]])
    >>> f = floor(span, np.array([3.0, 2.0]), np.zeros(2), np.array([[1.0, 0.0], [1.0, 1.0]]))
    >>> round(f.value, 12), round(f.at_oracle_targets, 12), f.at_start
    (1.0, 2.0, 17.0)
    """
    d = span.inputs.shape[1]
    start, rows = vector(theta, "theta", d), matrix(test_inputs, "test inputs", columns=d)
    difference = start - vector(reference, "reference", d)
    off = span.off_span(difference)
    visible: Array = rows @ off
    movable: Array = rows @ span.basis.T
    moved, *_ = np.linalg.lstsq(movable, -visible, rcond=None)
    left_over: Array = visible + movable @ moved
    m = len(rows)
    outcome = _outcome(span, difference, off, rows, left_over)
    # Coordinates of the attaining state: on the span it is r + moved, off the span it is θ_0.
    nearest: Array = start - span.on_span(difference) + moved @ span.basis
    return Floor(
        value=float(left_over @ left_over) / m if outcome is FloorOutcome.POSITIVE else 0.0,
        outcome=outcome,
        nearest=nearest,
        at_oracle_targets=float(visible @ visible) / m,
        at_start=float(np.square(rows @ difference).sum()) / m,
    )


def population_floor(span: ForgetSpan, theta: Array, reference: Array, covariance: Array) -> float:
    """Return the floor over the law of the test inputs in place of a sample.

    `δ_⊥ᵀ (Σ_⊥⊥ − Σ_⊥U Σ_UU⁻¹ Σ_U⊥) δ_⊥`, with δ_⊥ = (I − P)(θ_0 − r) and Σ = E[xxᵀ]: the variance of xᵀδ_⊥ that the
    coordinates of x on the span do not explain. In a sample of m > k normal rows the expected floor is (1 − k/m) of it,
    since the k coordinates are fitted to the sample.

    Args:
        span: of the forget inputs.
        theta: θ_0, shape [d].
        reference: r, shape [d].
        covariance: Σ, shape [d, d], or its diagonal, shape [d].

    Raises:
        InputError: E-DATA-100 or -101 for other shapes or values that are not finite.

    >>> span, covariance = ForgetSpan.of([[1.0, 0.0]]), np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> population_floor(span, np.array([3.0, 2.0]), np.zeros(2), covariance)
    3.0
    """
    d = span.inputs.shape[1]
    off = span.off_span(vector(theta, "theta", d) - vector(reference, "reference", d))
    if np.ndim(covariance) == 1:
        spread: Array = vector(covariance, "covariance", d) * off
        across: Array = (span.basis * covariance) @ span.basis.T
    else:
        full = matrix(covariance, "covariance")
        if full.shape != (d, d):
            raise InputError.of(
                "E-DATA-100", "covariance", f"expected shape {(d, d)}, found {full.shape}", "give E[xxᵀ]"
            )
        spread = full @ off
        across = span.basis @ full @ span.basis.T
    shared: Array = span.basis @ spread
    # lstsq: a direction of the span that the law never shows explains nothing.
    explained, *_ = np.linalg.lstsq(across, shared, rcond=None)
    return max(float(off @ spread - shared @ explained), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The nearest that one trajectory comes to its reference."""

    value: float
    """min over the steps of d(θ_t, r)."""
    step: int
    """The first step that attains it."""


def reached(log_distances: npt.ArrayLike, steps: Sequence[int]) -> Reached:
    """Return the least distance of one trajectory and when it is reached.

    Args:
        log_distances: log d(θ_t, r), shape [T]; −inf where d = 0.
        steps: t of each, shape [T].

    Raises:
        InputError: E-DATA-100 if the two disagree or are empty.

    >>> reached(np.log([4.0, 1.0, 9.0]), [0, 1, 2])
    Reached(value=1.0, step=1)
    """
    found = np.asarray(log_distances, dtype=np.float64)
    if found.ndim != 1 or not found.size or found.size != len(steps):
        raise InputError.of(
            "E-DATA-100", "log distances", f"expected one per step ({len(steps)}), found shape {found.shape}",
            "give the distances of one history at the same steps",
        )  # fmt: skip
    at = int(np.argmin(found))
    return Reached(value=float(np.exp(found[at])), step=int(steps[at]))


def _outcome(span: ForgetSpan, difference: Array, off: Array, rows: Array, left_over: Array) -> FloorOutcome:
    """Name the outcome; the structural reasons come before the one that has no name of its own."""
    if np.linalg.norm(off) <= ZERO_SHARE * np.linalg.norm(difference):
        return FloorOutcome.DIFFERENCE_ON_SPAN
    if np.linalg.norm(span.off_span(rows)) <= ZERO_SHARE * np.linalg.norm(rows):
        return FloorOutcome.ON_FORGET_INPUTS
    scale = np.linalg.norm(rows) * np.linalg.norm(difference)
    if np.linalg.norm(left_over) > ZERO_SHARE * scale:
        return FloorOutcome.POSITIVE
    return FloorOutcome.FEW_TEST_ROWS if len(rows) <= span.n_rows else FloorOutcome.INVISIBLE
