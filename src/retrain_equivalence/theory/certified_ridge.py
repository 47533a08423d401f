"""Certified removal for ridge regression: the Newton step of the retained rows is retraining, exactly.

The loss is quadratic, so its Hessian does not depend on w (γ = 0 in the bound for general losses) and one Newton step
from anywhere ends at the minimum. It needs the Hessian of the *retained* rows: it is path independent and retrain
equivalent, and pays with locality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.removal_rows import split_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RidgeObjective:
    """L(w; D) = Σ_i [½(wᵀx_i − y_i)² + (λ/2)‖w‖²] + bᵀw. The penalty is per row, so it shrinks with each removal."""

    inputs: Array
    """X, shape [n, d]."""
    targets: Array
    """y, shape [n]."""
    penalty: float
    """λ > 0."""
    noise: Array | None = None
    """b, shape [d]; None for none."""

    def __post_init__(self) -> None:
        n, d = matrix(self.inputs, "inputs").shape
        vector(self.targets, "targets", n)
        positive(self.penalty, "penalty")
        if self.noise is not None:
            vector(self.noise, "noise", d)

    @property
    def hessian(self) -> Array:
        """XᵀX + nλI, shape [d, d]."""
        n, d = self.inputs.shape
        found: Array = self.inputs.T @ self.inputs + n * self.penalty * np.eye(d)
        return found

    def gradient(self, weights: Array) -> Array:
        """Return Xᵀ(Xw − y) + nλw + b, shape [d]."""
        found: Array = self.inputs.T @ (self.inputs @ weights - self.targets)
        found = found + len(self.targets) * self.penalty * weights
        return found if self.noise is None else found + self.noise

    def minimum(self) -> Array:
        """Return the minimiser, shape [d]: from scratch."""
        pull: Array = self.inputs.T @ self.targets
        found: Array = linalg.solve(self.hessian, pull if self.noise is None else pull - self.noise, assume_a="pos")
        return found

    def without(self, rows: Sequence[int]) -> RidgeObjective:
        """Return the objective of the retained rows, with the same b.

        Raises:
            InputError: E-DATA-106 or E-DATA-127 for rows that cannot be removed.
        """
        kept, _ = split_rows(rows, len(self.targets))
        return RidgeObjective(
            inputs=self.inputs[kept], targets=self.targets[kept], penalty=self.penalty, noise=self.noise
        )


def ridge_removal(objective: RidgeObjective, weights: Array, rows: Sequence[int]) -> Array:
    """Remove rows by one Newton step: `w⁻ = w + H⁻¹Δ`, `Δ = Σ_removed [x_i(wᵀx_i − y_i) + λw]`, H of the rows kept.

    From the minimum w* it ends at the minimum of the retained rows exactly. From a w with gradient g it ends where the
    retained gradient is g: the optimiser's residual is neither removed nor enlarged. Neither needs labels that are
    kept.

    Args:
        objective: of all rows.
        weights: w, shape [d], trained on all rows.
        rows: to be removed.

    Raises:
        InputError: E-DATA-100 or -101 for bad weights, E-DATA-106 or -127 for bad rows.

    Source: Guo et al. (2020), section 3.1, for one row; the sum over several rows is the same algebra.

    >>> data = RidgeObjective(inputs=np.array([[1.0], [1.0]]), targets=np.array([1.0, 5.0]), penalty=1.0)
    >>> data.minimum().tolist(), ridge_removal(data, data.minimum(), [1]).tolist()
    ([1.5], [0.5])
    """
    w = vector(weights, "weights", objective.inputs.shape[1])
    kept, gone = split_rows(rows, len(objective.targets))
    removed = objective.inputs[gone]
    delta: Array = removed.T @ (removed @ w - objective.targets[gone]) + len(gone) * objective.penalty * w
    # From the rows that stay, not by downdating XᵀX: cancellation would cost what the step is exact in.
    retained = objective.inputs[kept]
    hessian: Array = retained.T @ retained + len(kept) * objective.penalty * np.eye(len(w))
    step: Array = linalg.solve(hessian, delta, assume_a="pos")
    return w + step


def proximal_effect(retained: Array, forgotten: Array, targets: Array, theta: Array, *, penalty: float) -> Array:
    """Return what some rows did to the end of one proximal stage: `u = (X_rᵀX_r + μI)⁻¹X_fᵀ(y_f − X_fθ)`, shape [d].

    θ is the end of `argmin ‖Xθ − y‖² + μ‖θ − θ_prev‖²` over all rows; θ − u is its end over the retained rows. It is
    the ridge step, with a penalty that does not depend on n, and needs neither θ_prev nor the labels that are kept.
    With no rows kept it is `u = X_fᵀ(y_f − X_fθ)/μ`: one ascent step of η = k/(2μ) on the mean loss.

    Args:
        retained: X_r, shape [n − k, d]; no rows if the whole stage is forgotten.
        forgotten: X_f, shape [k, d].
        targets: y_f, shape [k].
        theta: the end of the stage, shape [d].
        penalty: μ > 0.

    Raises:
        InputError: E-DATA-100 to -102 for arrays or a penalty that do not fit.

    Source: derived.

    X_r = (1), X_f = (1), y = (1, 5), μ = 1, θ_prev = 0: with both rows θ = 2, without the second ½.

    >>> proximal_effect(np.ones((1, 1)), np.ones((1, 1)), np.array([5.0]), np.array([2.0]), penalty=1.0).tolist()
    [1.5]
    """
    rows = matrix(forgotten, "forgotten inputs")
    k, d = rows.shape
    state, labels, mu = vector(theta, "theta", d), vector(targets, "forgotten targets", k), positive(penalty, "penalty")
    pull: Array = rows.T @ (labels - rows @ state)
    if not np.size(retained):
        return pull / mu
    kept = matrix(retained, "retained inputs")
    if kept.shape[1] != d:
        raise InputError.of(
            "E-DATA-100", "retained inputs", f"{kept.shape[1]} dimensions, the forgotten have {d}",
            "give the rows of one stage",
        )  # fmt: skip
    # (X'X + μI)⁻¹ by the n' × n' system (Woodbury): stages have fewer rows than dimensions.
    small: Array = linalg.solve(kept @ kept.T + mu * np.eye(len(kept)), kept @ pull, assume_a="pos")
    found: Array = (pull - kept.T @ small) / mu
    return found
