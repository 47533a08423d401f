"""One training stage of a linear world, and the rules by which it can be trained.

Every deterministic rule is a *spectral filter*: with X = U S Vᵀ and the residual r = y − Xθ, training from θ ends at
θ + V diag(s_j f(s_j)) Uᵀ r, where f is the rule's gain. The path that a stage takes matters only through f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector

RANK_TOLERANCE = 1e-10
"""Singular values below this share of the largest count as zero."""


@dataclass(frozen=True, eq=False)
class LinearStage:
    """Rows to learn: min over θ of ‖Xθ − y‖²."""

    name: str
    inputs: Array
    """X, shape [n, d]."""
    targets: Array
    """y, shape [n]."""

    def __post_init__(self) -> None:
        matrix(self.inputs, f"{self.name}.inputs")
        vector(self.targets, f"{self.name}.targets", self.inputs.shape[0])

    @cached_property
    def _svd(self) -> tuple[Array, Array, Array]:
        left, singular, right = np.linalg.svd(self.inputs, full_matrices=False)
        kept = singular > RANK_TOLERANCE * max(singular[0], np.finfo(np.float64).tiny)
        return left[:, kept], singular[kept], right[kept]

    @property
    def singular_values(self) -> Array:
        """The non-zero ones, descending, shape [rank]."""
        return self._svd[1]

    def filtered(self, theta: Array, gain: Array) -> Array:
        """Return θ + V diag(s f) Uᵀ(y − Xθ) for one or more θ.

        Args:
            theta: where training starts, shape [..., d].
            gain: f at the non-zero singular values, shape [rank].
        """
        left, singular, right = self._svd
        residual = self.targets - theta @ self.inputs.T
        moved: Array = theta + (residual @ left) * (singular * gain) @ right
        return moved

    def without(self, rows: Sequence[int]) -> LinearStage | None:
        """Return the stage without some rows; None if none is left."""
        kept = np.setdiff1d(np.arange(len(self.targets)), np.asarray(rows, dtype=np.int64))
        if not len(kept):
            return None
        return LinearStage(self.name, self.inputs[kept], self.targets[kept])


class StageRule(Protocol):
    """How a stage is trained."""

    def train(self, theta: Array, stage: LinearStage) -> Array:
        """Return the end of training from `theta`, shape [..., d]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProximalRidge:
    """argmin ‖Xθ − y‖² + μ‖θ − θ_prev‖²: the paper's stage (Eq. 1). Gain 1 / (s² + μ)."""

    penalty: float = 0.1
    """μ > 0; 0 only where XᵀX is invertible."""

    def train(self, theta: Array, stage: LinearStage) -> Array:
        """Return (XᵀX + μI)⁻¹(Xᵀy + μθ).

        Raises:
            InputError: E-DATA-104 if μ = 0 and the stage does not determine θ; E-DATA-102 if μ < 0 or not finite.
        """
        if self.penalty == 0 and len(stage.singular_values) < stage.inputs.shape[1]:
            raise InputError.of(
                "E-DATA-104", stage.name,
                f"singular: rank {len(stage.singular_values)} of {stage.inputs.shape[1]} dimensions, and no penalty",
                "give the stage a penalty above 0, or train it to convergence",
            )  # fmt: skip
        if self.penalty != 0:
            positive(self.penalty, "penalty")
        return stage.filtered(theta, 1 / (stage.singular_values**2 + self.penalty))


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSteps:
    """T steps of gradient descent on (1/n)‖Xθ − y‖². Gain (1 − (1 − 2ηs²/n)^T) / s²."""

    n_steps: int
    learning_rate: float

    def train(self, theta: Array, stage: LinearStage) -> Array:
        """Return the T-th iterate, in closed form.

        Raises:
            InputError: E-DATA-105 if the step size makes descent diverge: 2η s₁²/n > 2; E-DATA-102 for a step size or
                number of steps that is not above 0.
        """
        positive(self.learning_rate, "learning_rate")
        positive(self.n_steps, "n_steps")
        rates = 2 * self.learning_rate * stage.singular_values**2 / len(stage.targets)
        # A stage of zeros has no singular values.
        largest = float(rates.max(initial=0.0))
        if largest > 2:
            raise InputError.of(
                "E-DATA-105", stage.name, f"descent diverges: η times the largest curvature is {largest:.3g}, above 2",
                f"a learning rate below {2 * self.learning_rate / largest:.3g}",
            )  # fmt: skip
        # Odd powers of a negative factor (1 < rate ≤ 2) are negative: no logarithm here.
        return stage.filtered(theta, (1 - (1 - rates) ** self.n_steps) / stage.singular_values**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converged:
    """Gradient flow to its end: the least-squares solution nearest to where training started. Gain 1 / s²."""

    def train(self, theta: Array, stage: LinearStage) -> Array:
        """Return θ + X⁺(y − Xθ)."""
        return stage.filtered(theta, 1 / stage.singular_values**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticSteps:
    """Minibatch gradient descent by simulation: no closed form, an order of rows keyed by its seed alone."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    seed: int = 0

    def train(self, theta: Array, stage: LinearStage) -> Array:
        """Return the last iterate; the same rows in the same order whatever `theta` is.

        Raises:
            InputError: E-DATA-105 if the iterates leave float64; E-DATA-102 for a step size, number of epochs or batch
                size that is not above 0.
        """
        positive(self.learning_rate, "learning_rate")
        positive(self.n_epochs, "n_epochs")
        positive(self.batch_size, "batch_size")
        rng = np.random.default_rng(self.seed)
        moving = np.array(theta, dtype=np.float64)
        for _ in range(self.n_epochs):
            order = rng.permutation(len(stage.targets))
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                inputs = stage.inputs[rows]
                with np.errstate(over="ignore", invalid="ignore"):
                    gradient = 2 / len(rows) * (moving @ inputs.T - stage.targets[rows]) @ inputs
                    moving = moving - self.learning_rate * gradient
        if not np.isfinite(moving).all():
            raise InputError.of("E-DATA-105", stage.name, "minibatch descent diverges", "lower its learning rate")
        return moving
