"""Certified removal for logistic regression: a Newton step, and how far from retraining it can be.

The measure of "how far" is the gradient of the retained objective at the new weights, ‖∇L(w⁻; D')‖: zero at the
retrained minimum, and what objective perturbation turns into (ε, δ). Three bounds on it, from what is known before any
data is seen to what one more pass over the data shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import linalg, special

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.removal_rows import split_rows
from retrain_equivalence.theory.row_loss import RowLoss

PAPER_LIPSCHITZ = 0.25
"""γ as Guo et al. give it for the logistic loss."""
LIPSCHITZ = 1 / (6 * sqrt(3))
"""The smallest γ with |l''(a) − l''(b)| ≤ γ|a − b| for l(z) = log(1 + e^−z): max |l'''| = 1/(6√3) = .0962."""
ROUNDING = 1e-12
"""By how much ‖x‖ may exceed 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticObjective:
    """L(w; D) = Σ_i [log(1 + exp(−y_i wᵀx_i)) + (λ/2)‖w‖²] + bᵀw, with ‖x_i‖ ≤ 1 and y_i = ±1."""

    inputs: Array
    """X, shape [n, d]; rows of norm at most 1, which the bounds need (C = 1)."""
    labels: Array
    """y, shape [n]; each −1 or 1."""
    penalty: float
    """λ > 0, per row."""
    noise: Array | None = None
    """b, shape [d]; None for none."""

    def __post_init__(self) -> None:
        n, d = matrix(self.inputs, "inputs").shape
        labels = vector(self.labels, "labels", n)
        positive(self.penalty, "penalty")
        if self.noise is not None:
            vector(self.noise, "noise", d)
        longest = float(np.linalg.norm(self.inputs, axis=1).max())
        if longest > 1 + ROUNDING or not (np.abs(labels) == 1).all():
            raise InputError.of(
                "E-DATA-126", "inputs" if longest > 1 + ROUNDING else "labels",
                f"expected rows of norm at most 1 and labels −1 or 1, found norm {longest:.6g} and labels "
                f"{sorted(set(labels.tolist()))[:3]}", "divide the inputs by their largest norm; recode the labels",
            )  # fmt: skip

    @property
    def n_rows(self) -> int:
        """n."""
        return len(self.labels)

    def gradient(self, weights: Array) -> Array:
        """Return ∇L(w), shape [d]."""
        slopes = RowLoss.LOGISTIC.slopes(self.inputs @ weights, self.labels)
        found: Array = slopes @ self.inputs + self.n_rows * self.penalty * weights
        return found if self.noise is None else found + self.noise

    def hessian(self, weights: Array) -> Array:
        """Return ∇²L(w), shape [d, d]."""
        chance = special.expit(self.inputs @ weights)
        found: Array = (self.inputs.T * (chance * (1 - chance))) @ self.inputs
        found[np.diag_indices_from(found)] += self.n_rows * self.penalty
        return found

    def value(self, weights: Array) -> float:
        """Return L(w)."""
        losses = RowLoss.LOGISTIC.values(self.inputs @ weights, self.labels).sum()
        tilt = 0.0 if self.noise is None else float(self.noise @ weights)
        return float(losses + self.n_rows * self.penalty / 2 * (weights @ weights) + tilt)

    def minimum(self, *, tolerance: float = 1e-10, start: Array | None = None) -> Array:
        """Return weights with ‖∇L‖ ≤ tolerance, shape [d], by Newton steps that are halved until L falls enough.

        Args:
            tolerance: the optimiser's residual.
            start: where to begin; zero by default.

        Raises:
            InputError: E-DATA-129 if rounding keeps the gradient above `tolerance`.
        """
        positive(tolerance, "tolerance")
        w = np.zeros(self.inputs.shape[1]) if start is None else vector(start, "start", self.inputs.shape[1])
        for _ in range(100):
            gradient = self.gradient(w)
            if np.linalg.norm(gradient) <= tolerance:
                return w
            step: Array = -linalg.solve(self.hessian(w), gradient, assume_a="pos")
            size, now, slope = 1.0, self.value(w), float(gradient @ step)
            # Near the minimum L stops falling by rounding alone: the full step is right there.
            while -slope > 1e-9 * (1 + abs(now)) and self.value(w + size * step) > now + 1e-4 * size * slope:
                size /= 2
            w = w + size * step
        raise InputError.of(
            "E-DATA-129", "logistic regression", f"gradient norm {np.linalg.norm(gradient):.3g} after 100 steps, "
            f"above {tolerance:.3g}", "raise the tolerance or the penalty",
        )  # fmt: skip

    def without(self, rows: Sequence[int]) -> LogisticObjective:
        """Return the objective of the retained rows, with the same b.

        Raises:
            InputError: E-DATA-106 or E-DATA-127 for rows that cannot be removed.
        """
        kept, _ = split_rows(rows, self.n_rows)
        return LogisticObjective(
            inputs=self.inputs[kept], labels=self.labels[kept], penalty=self.penalty, noise=self.noise
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticRemoval:
    """One removal: new weights, and bounds on what it adds to ‖∇L(w; D')‖. Each is to be added to what was there."""

    weights: Array
    """w⁻ = w + H⁻¹Δ, shape [d]."""
    worst_case: float
    """From n, λ, the norm of b and the gradient that was there alone."""
    data_dependent: float
    """γ ‖X'‖₂ ‖H⁻¹Δ‖₂ ‖X'H⁻¹Δ‖₂ over the retained rows X', as Guo et al. (Corollary 1)."""
    tight: float
    """½ γ ‖X'‖₂ ‖(X'H⁻¹Δ)²‖₂, the square taken row by row: the same argument with nothing given away."""
    added: float
    """‖∇L(w⁻; D') − ∇L(w; D)‖: what it added in truth, by one pass over the retained rows."""


def logistic_removal(
    objective: LogisticObjective,
    weights: Array,
    rows: Sequence[int],
    *,
    lipschitz: float = PAPER_LIPSCHITZ,
) -> LogisticRemoval:
    """Remove rows by one Newton step: `w⁻ = w + H⁻¹Δ`, `Δ = Σ_removed [λw + ∇l(wᵀx_i, y_i)]`, `H = ∇²L(w; D')`.

    With v = H⁻¹Δ, `∇L(w⁻; D') = ∇L(w; D) + Σ_kept x_i x_iᵀv ∫₀¹ [l''((w + ηv)ᵀx_i) − l''(wᵀx_i)] dη`. So whatever
    gradient w had (the optimiser's residual, or that of earlier removals) stays, and the integral is added; it is what
    the bounds bound.

    - *worst case:* `γ(n − m)‖v‖²` with `‖v‖ ≤ ‖Δ‖/(λ(n − m))` and `‖Δ‖ ≤ m(C + λ‖w‖) ≤ m(2C + (‖b‖ + r)/n)`, r the
      gradient norm of w. For m = 1 and b = r = 0 it is Guo et al.'s `4γC²/(λ²(n − 1))`; that form leaves out b, with
      which `‖w‖ ≤ C/λ` does not hold.
    - *data dependent:* integrand at most γη|x_iᵀv|; `½` from the integral and `max|x_iᵀv| ≤ ‖v‖` are given away.

    Args:
        objective: of all rows, n of them.
        weights: w, shape [d]: the minimum up to the optimiser's residual, or the result of earlier removals.
        rows: to be removed, m of them.
        lipschitz: γ; `PAPER_LIPSCHITZ`, or the smaller `LIPSCHITZ`.

    Raises:
        InputError: E-DATA-100 or -101 for bad weights, E-DATA-102 for a bad γ, E-DATA-106 or -127 for bad rows.

    Source: Guo et al. (2020), Theorem 1 and Corollary 1; the term in b and r, the tight form and γ = 1/(6√3) derived.
    """
    w = vector(weights, "weights", objective.inputs.shape[1])
    gamma = positive(lipschitz, "lipschitz")
    _, gone = split_rows(rows, objective.n_rows)
    inputs, labels = objective.inputs[gone], objective.labels[gone]
    slopes = RowLoss.LOGISTIC.slopes(inputs @ w, labels)
    delta: Array = slopes @ inputs + len(gone) * objective.penalty * w
    retained = objective.without(rows)
    step: Array = linalg.solve(retained.hessian(w), delta, assume_a="pos")
    moved: Array = retained.inputs @ step
    spectral = float(np.linalg.norm(retained.inputs, 2))
    b = 0.0 if objective.noise is None else float(np.linalg.norm(objective.noise))
    before = objective.gradient(w)
    new: Array = w + step
    return LogisticRemoval(
        weights=new,
        worst_case=worst_case_residual(
            objective.n_rows,
            objective.penalty,
            n_removed=len(gone),
            tilt=b + float(np.linalg.norm(before)),
            lipschitz=gamma,
        ),
        data_dependent=gamma * spectral * float(np.linalg.norm(step)) * float(np.linalg.norm(moved)),
        tight=gamma / 2 * spectral * float(np.linalg.norm(moved**2)),
        added=float(np.linalg.norm(retained.gradient(new) - before)),
    )


def worst_case_residual(
    n_rows: int, penalty: float, *, n_removed: int = 1, tilt: float = 0.0, lipschitz: float = PAPER_LIPSCHITZ
) -> float:
    """Return `γ m² (2C + τ/n)² / (λ²(n − m))`, C = 1: what removing m of n rows adds to the gradient at most.

    Args:
        n_rows: n before the removal.
        penalty: λ > 0.
        n_removed: m, below n.
        tilt: τ = ‖b‖ plus the gradient norm that was there; 0 gives Guo et al.'s Theorem 1.
        lipschitz: γ.

    Raises:
        InputError: E-DATA-102 for a bad λ or γ, E-DATA-127 if no row is left or removed.

    Source: Guo et al. (2020), Theorem 1, and its batch form; τ derived.

    >>> worst_case_residual(101, 0.1)
    0.9999999999999998
    """
    if not 1 <= n_removed < n_rows:
        raise InputError.of(
            "E-DATA-127",
            "rows to remove",
            f"{n_removed} of {n_rows}",
            "remove at least one row, and leave at least one",
        )
    gamma, lam = positive(lipschitz, "lipschitz"), positive(penalty, "penalty")
    return gamma * n_removed**2 * (2 + tilt / n_rows) ** 2 / (lam**2 * (n_rows - n_removed))
