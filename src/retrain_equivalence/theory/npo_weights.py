"""NPO and SimNPO by their exact first variation: when they expand a gap, and when they contract it.

Both ascend with weights: θ_{t+1} = θ_t + (η/n) Σ_i w_i ∇ℓ_i(θ_t), w_i = 2σ(−β(ℓ_i(θ_t) − r_i)). The reference loss
r_i is ℓ_i(θ_0) for NPO with the history's *own* reference (the usual one), a constant for NPO with a *common*
reference, and γ for SimNPO (ℓ then per token). Two histories whose parameters differ by a small Δ then obey

    Δ_{t+1} = J_t Δ_t + K_t Δ_0,
    J_t = I + (η/n) Σ w_i [∇²ℓ_i − β(1 − w_i/2) ∇ℓ_i ∇ℓ_iᵀ]        all at θ_t,
    K_t = (η/n) Σ w_i β(1 − w_i/2) ∇ℓ_i(θ_t) ∇ℓ_i(θ_0)ᵀ            own reference only.

Source: Zhang et al. 2024 (NPO), Fan et al. 2024 (SimNPO) for the losses; the variation is derived.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.speed_law import SpeedPhase, log_loss


class Reference(StrEnum):
    """What the loss is compared with."""

    OWN = "own"
    """ℓ(θ_0) of the same history: NPO as published."""
    COMMON = "common"
    """One number for all histories."""


def weights(losses: Array, references: Array, *, beta: float) -> Array:
    """Return w = 2σ(−β(ℓ − r)), elementwise: 1 where the loss is at its reference, 0 far above it.

    >>> weights(np.array([1.0]), np.array([1.0]), beta=0.5).tolist()
    [1.0]
    """
    found: Array = 2 * special.expit(-positive(beta, "beta") * (np.asarray(losses) - np.asarray(references)))
    return found


def state_map(weight: Array, gradients: Array, hessians: Array, *, beta: float, learning_rate: float) -> Array:
    """Return J_t, shape [d, d], for any loss that is twice differentiable.

    Args:
        weight: w_i, shape [n].
        gradients: ∇ℓ_i at θ_t, shape [n, d].
        hessians: ∇²ℓ_i at θ_t, shape [n, d, d].
        beta: β.
        learning_rate: η.
    """
    pull = weight * beta * (1 - weight / 2)
    moved = np.einsum("n,nij->ij", weight, hessians) - np.einsum("n,ni,nj->ij", pull, gradients, gradients)
    found: Array = np.eye(gradients.shape[1]) + learning_rate / len(weight) * moved
    return found


def start_map(weight: Array, gradients: Array, starts: Array, *, beta: float, learning_rate: float) -> Array:
    """Return K_t, shape [d, d], of NPO with the history's own reference; it is zero for every other reference.

    Args:
        weight: w_i, shape [n].
        gradients: ∇ℓ_i at θ_t, shape [n, d].
        starts: ∇ℓ_i at θ_0, shape [n, d].
        beta: β.
        learning_rate: η.
    """
    pull = weight * beta * (1 - weight / 2)
    found: Array = learning_rate / len(weight) * np.einsum("n,ni,nj->ij", pull, gradients, starts)
    return found


def phase(weight: float, gradient: Array, hessian: Array, *, beta: float) -> SpeedPhase:
    """Return what J_t does along ∇ℓ of one example.

    Expanding iff gᵀHg/‖g‖² > β(1 − w/2)‖g‖². Near the start w ≈ 1, so half of β is felt; far above the
    reference w ≈ 0 and all of it is, while the step itself vanishes.

    Args:
        weight: w.
        gradient: g = ∇ℓ, shape [d]; not zero.
        hessian: H = ∇²ℓ, shape [d, d].
        beta: β.
    """
    squared = float(gradient @ gradient)
    balance = float(gradient @ hessian @ gradient) / squared - beta * (1 - weight / 2) * squared
    if balance == 0:
        return SpeedPhase.FROZEN
    return SpeedPhase.EXPANDING if balance > 0 else SpeedPhase.CONTRACTING


def loss_at_constant_gradient(start: Array, times: Array, *, beta: float, reference: Array | float) -> Array:
    """Return ℓ(t) where ‖∇ℓ‖² = g² no longer changes, shape [H, T]; time is g²ηt.

    Then ℓ' = 2σ(−β(ℓ − r)), so β(ℓ − r) + e^{β(ℓ − r)} rises at constant speed 2β: ℓ = r + log ω(·) / β with Wright's
    ω. Two histories with one r: the gap falls as 1/t. Each with its own r = ℓ(0): the gap is frozen at ℓ_a(0) − ℓ_b(0).

    Args:
        start: ℓ(0), shape [H].
        times: g²ηt, shape [T].
        beta: β.
        reference: r, one per history or one for all.

    Source: derived. On a logistic example ‖∇ℓ‖² = (1 − p)²‖x‖² is constant once the answer is unlikely.
    """
    begin = np.asarray(start, dtype=np.float64)
    level = np.broadcast_to(np.asarray(reference, dtype=np.float64), begin.shape)
    scaled = positive(beta, "beta") * (begin - level)
    clocks = (scaled + np.exp(scaled))[:, None] + 2 * beta * np.asarray(times, dtype=np.float64)[None, :]
    found: Array = level[:, None] + np.log(special.wrightomega(clocks)) / beta
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightedAscent:
    """NPO or SimNPO on logistic examples: explicit steps, and the first variation along them."""

    inputs: Array
    """X, each row times its label's sign, shape [n, d]; margins are Xθ."""
    beta: float
    learning_rate: float
    reference: Reference = Reference.OWN
    common: float = 0.0
    """r for every example under a common reference: a loss in nats; γ of SimNPO."""

    def references(self, start: Array) -> Array:
        """Return r_i for a history that starts at `start`, shape [n]."""
        if self.reference is Reference.OWN:
            return log_loss(self.inputs @ start)
        return np.full(len(self.inputs), float(self.common))

    def states(self, start: Array, n_steps: int) -> Array:
        """Return θ_0 .. θ_n, shape [n_steps + 1, d]."""
        level = self.references(start)
        path = [np.asarray(start, dtype=np.float64)]
        for _ in range(n_steps):
            weight, gradients = self._at(path[-1], level)
            path.append(path[-1] + self.learning_rate / len(weight) * weight @ gradients)
        return np.stack(path)

    def differences(self, path: Array, difference: Array) -> Array:
        """Return Δ_t to first order along a path, shape [T, d], by J_t and K_t.

        Args:
            path: as from `states`.
            difference: Δ_0, shape [d].
        """
        level = self.references(path[0])
        starts = self._at(path[0], level)[1]
        found = [np.asarray(difference, dtype=np.float64)]
        for theta in path[:-1]:
            weight, gradients = self._at(theta, level)
            likely = special.expit(self.inputs @ theta)
            hessians = np.einsum("n,ni,nj->nij", likely * (1 - likely), self.inputs, self.inputs)
            moved = found[-1] @ state_map(
                weight, gradients, hessians, beta=self.beta, learning_rate=self.learning_rate
            ).T  # fmt: skip
            if self.reference is Reference.OWN:
                moved = moved + found[0] @ start_map(
                    weight, gradients, starts, beta=self.beta, learning_rate=self.learning_rate
                ).T  # fmt: skip
            found.append(moved)
        return np.stack(found)

    def _at(self, theta: Array, level: Array) -> tuple[Array, Array]:
        margins = self.inputs @ theta
        gradients: Array = -special.expit(-margins)[:, None] * self.inputs
        return weights(log_loss(margins), level, beta=self.beta), gradients
