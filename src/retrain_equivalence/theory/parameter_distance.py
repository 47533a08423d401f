"""Distance of parameters against distance of predictions: what one says of the other, and two different floors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrain_equivalence.theory.arrays import Array, matrix, vector
from retrain_equivalence.theory.forget_span import ForgetSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoDistances:
    """One pair of states in both measures."""

    parameter: float
    """‖Δ‖²."""
    prediction: float
    """d = (1/m)‖X_test Δ‖²."""
    least: float
    """The smallest d that ‖Δ‖² allows: σ_d²‖Δ‖²/m; 0 if m < d, since some difference is then invisible."""
    largest: float
    """The largest d that ‖Δ‖² allows: σ_1²‖Δ‖²/m."""


def two_distances(delta: Array, test_inputs: Array) -> TwoDistances:
    """Return both distances of a pair, and the range in which the parameters alone would place d.

    `σ_d² ‖Δ‖² / m ≤ d ≤ σ_1² ‖Δ‖² / m`, σ the singular values of X_test. A small parameter distance bounds d; a small d
    bounds the parameters only if m ≥ d and X_test has full column rank.

    Args:
        delta: Δ, shape [d].
        test_inputs: X_test, shape [m, d].

    Raises:
        InputError: E-DATA-100 or -101 for other shapes or values that are not finite.

    >>> two_distances(np.array([0.0, 3.0]), np.array([[1.0, 0.0]]))
    TwoDistances(parameter=9.0, prediction=0.0, least=0.0, largest=9.0)
    """
    rows = matrix(test_inputs, "test inputs")
    m, d = rows.shape
    away = vector(delta, "delta", d)
    spectrum = np.linalg.svd(rows, compute_uv=False)
    parameter = float(away @ away)
    return TwoDistances(
        parameter=parameter,
        prediction=float(np.square(rows @ away).sum()) / m,
        least=float(spectrum[-1] ** 2) * parameter / m if m >= d else 0.0,
        largest=float(spectrum[0] ** 2) * parameter / m,
    )


def parameter_floor(span: ForgetSpan, theta: Array, reference: Array) -> float:
    """Return the least ‖θ_t − r‖² of any method local to the forget inputs: `‖(I − P)(θ_0 − r)‖²`.

    Unlike the floor in prediction space it does not depend on test inputs, has no exception for few test rows, and *is*
    attained by descent to the oracle's own outputs on the forget inputs.

    Args:
        span: of the forget inputs.
        theta: θ_0, shape [d].
        reference: r, shape [d].

    Source: derived.
    """
    off = span.off_span(theta - reference)
    return float(off @ off)
