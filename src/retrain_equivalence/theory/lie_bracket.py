"""The Lie bracket of two training stages: what their order changes, to second order in the step.

One step on A then one on B, against B then A, from the same θ:

    θ_AB − θ_BA = η² (H_B g_A − H_A g_B) + O(η³)

with gradients g and Hessians H at θ. For any smooth functional F of the end, `F(θ_AB) − F(θ_BA) = η² ⟨∇F, H_B g_A −
H_A g_B⟩ + O(η³)`: one score per pair of stages, from the start alone. With T steps in each stage η becomes ηT, as long
as ηTλ ≪ 1, λ the largest curvature; stages trained to convergence are out of its reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.row_loss import RowLoss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowSet:
    """Rows under the mean of a loss: a stage, a forget set or an evaluation set."""

    inputs: Array
    """X, shape [n, d]."""
    targets: Array
    """y, shape [n]."""
    loss: RowLoss = RowLoss.LOGISTIC

    def __post_init__(self) -> None:
        vector(self.targets, "targets", len(matrix(self.inputs, "inputs")))

    def value(self, theta: Array) -> Array:
        """Return L(θ), shape [...] for θ of shape [..., d]."""
        return self.loss.mean_loss(theta, self.inputs, self.targets)

    def gradient(self, theta: Array) -> Array:
        """Return ∇L(θ), shape [..., d]."""
        return self.loss.mean_gradient(theta, self.inputs, self.targets)

    def hessian_times(self, theta: Array, direction: Array) -> Array:
        """Return ∇²L(θ)·direction, both of shape [d], without forming ∇²L."""
        curvatures = self.loss.curvatures(self.inputs @ theta, self.targets)
        found: Array = (curvatures * (self.inputs @ direction)) @ self.inputs / len(self.targets)
        return found

    def speed(self, theta: Array) -> Array:
        """Return ‖∇L(θ)‖²: how fast L rises under ascent of unit rate, shape [...]."""
        found: Array = (self.gradient(theta) ** 2).sum(axis=-1)
        return found

    def trained(self, theta: Array, *, learning_rate: float, n_steps: int) -> Array:
        """Return the end of T full-batch steps of descent, shape [d].

        Raises:
            InputError: E-DATA-102 for a step size or number of steps that is not above 0.
        """
        rate = positive(learning_rate, "learning_rate")
        moving = theta
        for _ in range(int(positive(n_steps, "n_steps"))):
            moving = moving - rate * self.gradient(moving)
        return moving


def lie_bracket(theta: Array, first: RowSet, second: RowSet) -> Array:
    """Return H_B g_A − H_A g_B at θ, shape [d].

    Args:
        theta: where both orders start, shape [d].
        first: stage A.
        second: stage B.

    Source: derived by Taylor expansion; Sweeney (2026) uses it as a score.

    >>> import numpy as np
    >>> a = RowSet(inputs=np.eye(2)[:1], targets=np.array([1.0]), loss=RowLoss.SQUARED)
    >>> b = RowSet(inputs=np.ones((1, 2)), targets=np.array([1.0]), loss=RowLoss.SQUARED)
    >>> lie_bracket(np.zeros(2), a, b).tolist()
    [0.0, -4.0]
    """
    bent = second.hessian_times(theta, first.gradient(theta))
    found: Array = bent - first.hessian_times(theta, second.gradient(theta))
    return found


def loss_score(theta: Array, first: RowSet, second: RowSet, evaluation: RowSet) -> float:
    """Return ⟨g_E, H_B g_A − H_A g_B⟩: (L_E(θ_AB) − L_E(θ_BA)) / (ηT)² to leading order.

    Positive: the order AB ends with the higher loss on the evaluation rows.

    Source: Sweeney (2026), as quoted; sign by the convention above.
    """
    return float(evaluation.gradient(theta) @ lie_bracket(theta, first, second))


def speed_score(theta: Array, first: RowSet, second: RowSet, forget: RowSet) -> float:
    """Return ⟨2 H_U g_U, H_B g_A − H_A g_B⟩: (F(θ_AB) − F(θ_BA)) / (ηT)², F = ‖∇L_U‖², to leading order.

    Positive: after the order AB, ascent on the forget rows starts faster.

    Source: derived.
    """
    slope = 2 * forget.hessian_times(theta, forget.gradient(theta))
    return float(slope @ lie_bracket(theta, first, second))
