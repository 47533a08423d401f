"""What an optimiser does to the freeze off the span, and how fast a gap can grow under it.

The gradient of any loss of XΘᵀ with respect to Θ (p outputs × d inputs) has its rows in span(X). Plain steps, momentum
started at zero and clipping only add and scale gradients, so the off-span part of Θ never moves. Adam divides
coordinate by coordinate, weight decay shrinks everything, LoRA moves Θ through its factors: each breaks the freeze.
Clipping and Adam also bound the step, so that under them a gap grows at most linearly, whatever the loss.

Arrays may carry leading axes (worlds, histories): [..., p, d]; an optimiser treats each separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, positive

Gradient: TypeAlias = Callable[[Array], Array]
"""From parameters [..., p, d] to the gradient of the forget loss, same shape."""


class OffSpan(StrEnum):
    """What is exact about the off-span part of a difference, for any loss of XΘᵀ."""

    FROZEN = "frozen"
    SHRINKS = "shrinks by 1 − ηλ per step"
    MOVES = "moves"


class Optimizer(Protocol):
    """Ascends a loss; every rule here is deterministic and starts with empty state."""

    @property
    def name(self) -> str:
        """Of the rule, for tables."""

    @property
    def off_span(self) -> OffSpan:
        """What it does off the span of the inputs."""

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """Return Θ_0 .. Θ_n, shape [n_steps + 1, ..., p, d].

        Raises:
            InputError: E-DATA-123 if they leave float64.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Θ ← Θ + η g."""

    learning_rate: float
    name: str = "plain"
    off_span: OffSpan = OffSpan.FROZEN

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """See `Optimizer`."""
        return _iterated(lambda theta, _: theta + self.learning_rate * gradient(theta), start, n_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentum:
    """V ← ρV + g from V = 0, Θ ← Θ + η V: the velocity is a sum of gradients, so it stays in their span."""

    learning_rate: float
    momentum: float = 0.9
    name: str = "momentum"
    off_span: OffSpan = OffSpan.FROZEN

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """See `Optimizer`.

        Raises:
            InputError: E-DATA-125 if ρ is not in [0, 1).
        """
        share = fraction(self.momentum, "momentum")
        velocity = np.zeros_like(start)

        def step(theta: Array, _: int) -> Array:
            nonlocal velocity
            velocity = share * velocity + gradient(theta)
            moved: Array = theta + self.learning_rate * velocity
            return moved

        return _iterated(step, start, n_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """Θ ← Θ + η g min(1, G/‖g‖): clipped by the norm over all of Θ."""

    learning_rate: float
    clip: float = 1.0
    """G."""
    name: str = "clipped"
    off_span: OffSpan = OffSpan.FROZEN

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """See `Optimizer`."""
        most = positive(self.clip, "clip")

        def step(theta: Array, _: int) -> Array:
            found = gradient(theta)
            norms = np.linalg.norm(found, axis=(-2, -1), keepdims=True)
            moved: Array = theta + self.learning_rate * found * np.minimum(1, most / np.maximum(norms, 1e-300))
            return moved

        return _iterated(step, start, n_steps)

    def gap_bound(self, gap: float, n_steps: int) -> float:
        """Return ‖Δ_0‖₂ + 2ηtG ≥ ‖Δ_t‖₂: two steps of length at most ηG can point apart.

        >>> Clipped(learning_rate=0.1, clip=2.0).gap_bound(1.0, 10)
        5.0
        """
        return gap + 2 * self.learning_rate * n_steps * self.clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Decayed:
    """Θ ← (1 − ηλ)Θ + η g: off the span the difference is (1 − ηλ)^t Δ_0, exactly."""

    learning_rate: float
    decay: float = 0.01
    """λ."""
    name: str = "weight decay"
    off_span: OffSpan = OffSpan.SHRINKS

    @property
    def factor(self) -> float:
        """1 − ηλ."""
        return 1 - self.learning_rate * self.decay

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """See `Optimizer`."""
        return _iterated(lambda theta, _: self.factor * theta + self.learning_rate * gradient(theta), start, n_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Adam without decay (Kingma & Ba 2015, algorithm 1), ascending."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    name: str = "adam"
    off_span: OffSpan = OffSpan.MOVES

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """See `Optimizer`.

        Raises:
            InputError: E-DATA-125 if β₁ or β₂ is not in [0, 1).
        """
        first, second = fraction(self.beta1, "beta1"), fraction(self.beta2, "beta2")
        mean, square = np.zeros_like(start), np.zeros_like(start)

        def step(theta: Array, number: int) -> Array:
            nonlocal mean, square
            found = gradient(theta)
            mean = first * mean + (1 - first) * found
            square = second * square + (1 - second) * found**2
            unbiased = np.sqrt(square / (1 - second ** (number + 1))) + self.epsilon
            moved: Array = theta + self.learning_rate * mean / (1 - first ** (number + 1)) / unbiased
            return moved

        return _iterated(step, start, n_steps)

    def largest_step(self, number: int | None = None) -> float:
        """Return c, the most by which step `number` (from 1) can move a coordinate, in units of η; None: any step.

        By Cauchy-Schwarz on the two running means, with q = β₁²/β₂ < 1,

            c_t = (1 − β₁)/√(1 − β₂) · √((1 − q^t)/(1 − q)) · √(1 − β₂^t)/(1 − β₁^t),

        reached by gradients that grow by β₂/β₁ per step. Steady gradients give 1, one gradient after long silence
        (1 − β₁)/√(1 − β₂), and these two are what Kingma & Ba (section 2.1) name. Gradients that grow exponentially,
        as ascent makes them, go beyond both.

        Raises:
            InputError: E-DATA-125 unless β₁² < β₂.

        >>> round(Adam(learning_rate=1.0).largest_step(), 3), Adam(learning_rate=1.0).largest_step(1)
        (7.27, 1.0)
        """
        first, second = fraction(self.beta1, "beta1"), fraction(self.beta2, "beta2")
        q = first**2 / second if second > 0 else float("inf")
        if q >= 1:
            raise InputError.of(
                "E-DATA-125", "beta1", f"no bound on the step: β₁² = {first**2:.3g} is not below β₂ = {second:.3g}",
                "use β₁ below √β₂",
            )  # fmt: skip
        ratio = (1 - first) / np.sqrt(1 - second)
        if number is None:
            return float(max(1.0, ratio * np.sqrt(1 / (1 - q))))
        kept = np.sqrt((1 - q**number) / (1 - q)) * np.sqrt(1 - second**number) / (1 - first**number)
        # At the first step mean and square hold one gradient, and the quotient of roundings is 1 only nearly.
        return float(ratio * kept) if number > 1 else 1.0

    def gap_bound(self, gap: float, n_steps: int) -> float:
        """Return ‖Δ_0‖_∞ + 2η Σ_{s≤t} c_s ≥ ‖Δ_t‖_∞: at most linear in t."""
        return gap + 2 * self.learning_rate * sum(self.largest_step(number) for number in range(1, n_steps + 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRank:
    """LoRA: Θ = Θ_0 + BA with B = 0 at the start, plain steps on B and, unless frozen, on A.

    With A frozen the rows of Θ_t − Θ_0 lie in span(X A_0ᵀA_0), exactly, which is not span(X).
    """

    learning_rate: float
    down: Array
    """A_0, shape [r, d], common to all histories."""
    frozen_down: bool = False
    name: str = "lora"
    off_span: OffSpan = OffSpan.MOVES

    def states(self, gradient: Gradient, start: Array, n_steps: int) -> Array:
        """See `Optimizer`."""
        base = np.asarray(start, dtype=np.float64)
        down = np.broadcast_to(self.down, (*base.shape[:-2], *self.down.shape)).copy()
        up = np.zeros((*base.shape[:-1], self.down.shape[0]))

        def step(theta: Array, _: int) -> Array:
            nonlocal up, down
            found = gradient(theta)
            step_up, step_down = found @ np.swapaxes(down, -1, -2), np.swapaxes(up, -1, -2) @ found
            up = up + self.learning_rate * step_up
            if not self.frozen_down:
                down = down + self.learning_rate * step_down
            moved: Array = base + up @ down
            return moved

        return _iterated(step, base, n_steps)


def squared_loss_gradient(inputs: Array, targets: Array) -> Gradient:
    """Return Θ ↦ (2/k)(XΘᵀ − Y)ᵀX, the gradient of the mean squared loss.

    Args:
        inputs: X, shape [..., k, d].
        targets: Y, shape [..., k, p].
    """
    rows = inputs.shape[-2]

    def gradient(theta: Array) -> Array:
        error = inputs @ np.swapaxes(theta, -1, -2) - targets
        found: Array = 2 / rows * np.swapaxes(error, -1, -2) @ inputs
        return found

    return gradient


def fraction(value: float, name: str) -> float:
    """Return a decay constant in [0, 1).

    Raises:
        InputError: E-DATA-125 otherwise.
    """
    if not (np.isfinite(value) and 0 <= value < 1):
        raise InputError.of("E-DATA-125", name, f"expected a number in [0, 1), found {value}", f"lower {name}")
    return float(value)


def _iterated(step: Callable[[Array, int], Array], start: Array, n_steps: int) -> Array:
    path = [np.asarray(start, dtype=np.float64)]
    with np.errstate(over="ignore", invalid="ignore"):
        for number in range(n_steps):
            path.append(step(path[-1], number))
    found = np.stack(path)
    if not np.isfinite(found).all():
        last = int(np.isfinite(found).reshape(len(found), -1).all(axis=1).argmin()) - 1
        raise InputError.of(
            "E-DATA-123", "ascent", f"the parameters leave float64 after {last} of {n_steps} steps",
            "take fewer steps or a smaller step size",
        )  # fmt: skip
    return found
