"""Local unlearning of a classifier by plain full-batch steps, and its exact first variation.

A method is what it says about the logits z of the forget rows: one step is θ ← θ + (η/k) J(θ)ᵀ q(z; z₀, y), with z₀ the
logits at the history's own start. Two nearby histories then differ by δ_t with

    δ_{t+1} = δ_t + (η/k) [ Jᵀ dq + (dJ)ᵀ q ],   dq = (∂q/∂z) J(θ_t) δ_t + (∂q/∂z₀) J(θ_0) δ_0,

to first order. For squared loss in a linear world this is the difference map and exact; here the factors depend on the
state. Full batches are common batches: both histories see the same rows at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.classifier_training import one_hot
from retrain_equivalence.theory.classifiers import Classifier, centred, log_probabilities, probabilities
from retrain_equivalence.theory.digits import Labels


class LogitMethod(Protocol):
    """A local unlearning method, as a field on logits."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def expected(self) -> str:
        """What the linear world says of the on-span part of the gap: expanding, contracting, frozen, or a phase."""

    def pulls(self, logits: Array, start: Array, labels: Labels) -> Array:
        """Return q, shape [..., k, c], for logits and start logits of that shape and labels [k]."""

    def varies(self, logits: Array, start: Array, labels: Labels, change: Array, start_change: Array) -> Array:
        """Return dq for changes dz and dz₀ of the logits and of the start logits, shape [..., k, c]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """Gradient ascent on cross-entropy: q = p − y."""

    @property
    def name(self) -> str:
        """In tables."""
        return "ascent"

    @property
    def expected(self) -> str:
        """On the span, in the linear world."""
        return "expanding"

    def pulls(self, logits: Array, start: Array, labels: Labels) -> Array:
        """Return p − y."""
        return _excess(logits, labels)

    def varies(self, logits: Array, start: Array, labels: Labels, change: Array, start_change: Array) -> Array:
        """Return S(z) dz with S = diag(p) − p pᵀ."""
        return _spread(logits, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class NpoLike:
    """Weighted ascent, q = w (p − y), w = 2σ(−β(ℓ − ℓ₀)), ℓ₀ at the history's own start.

    Source: Zhang et al. 2024 (NPO), with one row in the place of a response.
    """

    beta: float = 1.0

    @property
    def name(self) -> str:
        """In tables."""
        return "NPO-like"

    @property
    def expected(self) -> str:
        """On the span, in the linear world."""
        return "expanding, then contracting"

    def pulls(self, logits: Array, start: Array, labels: Labels) -> Array:
        """Return w (p − y)."""
        return self._weights(logits, start, labels)[..., None] * _excess(logits, labels)

    def varies(self, logits: Array, start: Array, labels: Labels, change: Array, start_change: Array) -> Array:
        """Return w S dz + dw (p − y), dw = −β w (1 − w/2) (dℓ − dℓ₀)."""
        weights = self._weights(logits, start, labels)
        excess = _excess(logits, labels)
        d_loss = (excess * change).sum(axis=-1)
        d_start = (_excess(start, labels) * start_change).sum(axis=-1)
        d_weights = -self.beta * weights * (1 - weights / 2) * (d_loss - d_start)
        found: Array = weights[..., None] * _spread(logits, change) + d_weights[..., None] * excess
        return found

    def _weights(self, logits: Array, start: Array, labels: Labels) -> Array:
        found: Array = 2 * expit(-self.beta * (_losses(logits, labels) - _losses(start, labels)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentToUniform:
    """Descent of cross-entropy to the uniform distribution, one target for every history: q = 1/c − p."""

    @property
    def name(self) -> str:
        """In tables."""
        return "to a common target"

    @property
    def expected(self) -> str:
        """On the span, in the linear world, for a stable step."""
        return "contracting"

    def pulls(self, logits: Array, start: Array, labels: Labels) -> Array:
        """Return 1/c − p."""
        found: Array = 1 / logits.shape[-1] - probabilities(logits)
        return found

    def varies(self, logits: Array, start: Array, labels: Labels, change: Array, start_change: Array) -> Array:
        """Return −S(z) dz."""
        return -_spread(logits, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentToOwn:
    """Descent to the history's own outputs with the label's logit lowered: q = softmax(z₀ − κ y) − p.

    Source: Dong et al. 2024 (UNDIAL), with the reference at the history's own start.
    """

    lowered: float = 5.0
    """κ, in nats."""

    @property
    def name(self) -> str:
        """In tables."""
        return "to own outputs"

    @property
    def expected(self) -> str:
        """On the span, in the linear world."""
        return "frozen"

    def pulls(self, logits: Array, start: Array, labels: Labels) -> Array:
        """Return softmax(z₀ − κ y) − p."""
        return probabilities(self._target(start, labels)) - probabilities(logits)

    def varies(self, logits: Array, start: Array, labels: Labels, change: Array, start_change: Array) -> Array:
        """Return S(z₀ − κ y) dz₀ − S(z) dz."""
        found: Array = _spread(self._target(start, labels), start_change) - _spread(logits, change)
        return found

    def _target(self, start: Array, labels: Labels) -> Array:
        found: Array = start - self.lowered * one_hot(labels, start.shape[-1])
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionToOwn:
    """Descent of ½‖C(z − z₀ + κ y)‖²: the same target, squared loss. Frozen exactly if z is linear in θ.

    C subtracts the mean over classes, which no prediction depends on.
    """

    lowered: float = 5.0
    """κ, in nats."""

    @property
    def name(self) -> str:
        """In tables."""
        return "to own logits"

    @property
    def expected(self) -> str:
        """On the span, in the linear world."""
        return "frozen"

    def pulls(self, logits: Array, start: Array, labels: Labels) -> Array:
        """Return C(z₀ − κ y − z)."""
        return centred(start - self.lowered * one_hot(labels, start.shape[-1]) - logits)

    def varies(self, logits: Array, start: Array, labels: Labels, change: Array, start_change: Array) -> Array:
        """Return C(dz₀ − dz)."""
        return centred(start_change - change)


METHODS: tuple[LogitMethod, ...] = (Ascent(), NpoLike(), DescentToUniform(), DescentToOwn(), RegressionToOwn())


def unlearn(
    model: Classifier,
    method: LogitMethod,
    thetas: Array,
    inputs: Array,
    labels: Labels,
    *,
    learning_rate: float,
    n_steps: int,
) -> Array:
    """Return every state of every history, shape [n_steps + 1, H, p].

    Args:
        model: the classifier.
        method: what is done to the forget rows.
        thetas: where the histories end and unlearning starts, shape [H, p].
        inputs: X_U, shape [k, d].
        labels: shape [k].
        learning_rate: η.
        n_steps: plain steps on all k rows.

    Raises:
        InputError: E-DATA-102 for a step size that is not positive, E-DATA-133 if a state overflows.
    """
    eta = positive(learning_rate, "learning_rate") / len(labels)
    path = np.empty((n_steps + 1, *thetas.shape))
    path[0] = theta = thetas
    start = model.logits(thetas, inputs)
    for step in range(n_steps):
        cotangent = method.pulls(model.logits(theta, inputs), start, labels)
        theta = theta + eta * model.pull(theta, inputs, cotangent)
        path[step + 1] = theta
    _refuse_overflow(path[-1], f"unlearning by {method.name}", n_steps)
    return path


def first_variation(
    model: Classifier,
    method: LogitMethod,
    path: Array,
    inputs: Array,
    labels: Labels,
    delta: Array,
    *,
    learning_rate: float,
    at_start: bool = False,
) -> Array:
    """Return δ_t along trajectories, shape [n_steps + 1, H, p], exact for δ_0 -> 0.

    Args:
        model: the classifier.
        method: the method that made the path.
        path: from `unlearn`, shape [n_steps + 1, H, p].
        inputs: X_U, shape [k, d].
        labels: shape [k].
        delta: δ_0, shape [H, p].
        learning_rate: η of the path.
        at_start: hold every derivative at the start of the path: a linear world with the start's curvature.

    Raises:
        InputError: E-DATA-133 if it overflows.

    Source: derived (see the module's equation); for NPO it is J_t, K_t of the exact first variation.
    """
    eta = positive(learning_rate, "learning_rate") / len(labels)
    found = np.empty((len(path), *delta.shape))
    found[0] = delta
    start = model.logits(path[0], inputs)
    start_change = model.push(path[0], inputs, delta)
    for step in range(len(path) - 1):
        theta = path[0] if at_start else path[step]
        logits = start if at_start else model.logits(theta, inputs)
        change = model.push(theta, inputs, found[step])
        varied = method.varies(logits, start, labels, change, start_change)
        moved = model.pull(theta, inputs, varied)
        if not model.is_linear:
            moved = moved + model.bend(theta, inputs, method.pulls(logits, start, labels), found[step])
        found[step + 1] = found[step] + eta * moved
    _refuse_overflow(found[-1], f"the first variation of {method.name}", len(path) - 1)
    return found


def stable_learning_rate(model: Classifier, inputs: Array) -> float:
    """Return 2/L, up to which descent to a common target never expands the gap of a linear classifier.

    L = ½ λ_max(X_Uᵀ X_U / k) for softmax, ¼ λ_max for the binary model, bounds the curvature of cross-entropy
    (diag(p) − ppᵀ ⪯ ½ I; p(1 − p) ≤ ¼). A descent step on a convex L-smooth function does not expand for η ≤ 2/L.

    Raises:
        ValueError: for a model that is not linear in its parameters: there is no such bound.
    """
    if not model.is_linear:
        raise ValueError("a network's cross-entropy is not convex in its parameters: no step size is always stable")
    top = np.linalg.norm(inputs, 2) ** 2 / len(inputs)
    is_binary = model.n_parameters == inputs.shape[1]
    return float(2 / (top * (0.25 if is_binary else 0.5)))


def _refuse_overflow(end: Array, what: str, n_steps: int) -> None:
    if not np.isfinite(end).all():
        raise InputError.of(
            "E-DATA-133", "learning_rate", f"{what} overflows within {n_steps} steps",
            "lower the step size, or take fewer steps",
        )  # fmt: skip


def _losses(logits: Array, labels: Labels) -> Array:
    found: Array = -log_probabilities(logits)[..., np.arange(len(labels)), labels]
    return found


def _excess(logits: Array, labels: Labels) -> Array:
    found: Array = probabilities(logits) - one_hot(labels, logits.shape[-1])
    return found


def _spread(logits: Array, change: Array) -> Array:
    p = probabilities(logits)
    found: Array = p * (change - (p * change).sum(axis=-1, keepdims=True))
    return found
