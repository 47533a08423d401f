"""The speed law: along an autonomous flow, the gap of two histories grows as the flow's speed does.

If θ' = F(θ) then d/dt F(θ(t)) = DF(θ(t)) F(θ(t)): the velocity solves the same variational equation as an infinitely
small difference of two solutions. So a difference that starts along the flow, Δ_0 = c F(θ_0), is Δ_t = c F(θ_t): what
stays fixed is the time by which one history is ahead. For a scalar level the flow is the only direction there is:

    gap(t) / gap(0) = v(ℓ_t) / v(ℓ_0).

A method expands the gap iff it accelerates, freezes it at constant speed and contracts it when it slows down. What is
not along the flow at the start (the transverse part) obeys no such law.

The worked flows here are the unlearning losses on one logistic example of unit length, with margin m, probability
p = σ(m) of the label to be forgotten and loss ℓ = −log p; one unit of time is 1/η small steps. Several
examples are summed by `ExamplesFlow`. Source: derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from scipy import integrate, special

from retrain_equivalence.theory.arrays import Array, matrix, positive, vector

Speed: TypeAlias = Callable[[Array], Array]
"""v: from margins to dm/dt, elementwise, for an example of unit length."""

INTEGRATION_TOLERANCE = 1e-11
"""Relative and absolute, of the flows: gaps of 1e-6 of the level keep five digits."""


class SpeedPhase(StrEnum):
    """What a flow does to a small gap at one level."""

    EXPANDING = "expanding"
    FROZEN = "frozen"
    CONTRACTING = "contracting"


class NoRatio(StrEnum):
    """Why a ratio of speeds does not exist."""

    STANDS_STILL = "undefined: the flow stands still at the start, so no history is ahead of another by any time"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginFlow:
    """One unlearning loss as a flow of the margin of a logistic example."""

    name: str
    formula: str
    """v(m) in words, for tables."""
    speed: Speed


def log_loss(margins: Array) -> Array:
    """Return ℓ = log(1 + e^{−m}), elementwise."""
    found: Array = np.logaddexp(0.0, -np.asarray(margins, dtype=np.float64))
    return found


def ascent() -> MarginFlow:
    """GA: m' = −(1 − p). Accelerates towards speed 1."""
    return MarginFlow(name="ga", formula="−(1−p)", speed=lambda m: -_sigmoid(-m))


def npo(*, beta: float, reference: float) -> MarginFlow:
    """NPO with one *common* reference margin: m' = −w(1 − p), w = 2σ(−β(ℓ(m) − ℓ(reference))).

    With the history's own reference the flow is another one for every history: see `npo_weights`.
    """
    level = float(log_loss(np.array(reference)))
    rate = positive(beta, "beta")
    return MarginFlow(
        name="npo, common reference", formula="−2σ(−β(ℓ−ℓ_ref))(1−p)",
        speed=lambda m: -2 * _sigmoid(-rate * (log_loss(m) - level)) * _sigmoid(-m),
    )  # fmt: skip


def simnpo(*, beta: float, gamma: float = 0.0) -> MarginFlow:
    """SimNPO on an answer of one token: m' = −w(1 − p), w = 2σ(−β(ℓ − γ)); no reference."""
    rate = positive(beta, "beta")
    return MarginFlow(
        name="simnpo", formula="−2σ(−β(ℓ−γ))(1−p)",
        speed=lambda m: -2 * _sigmoid(-rate * (log_loss(m) - gamma)) * _sigmoid(-m),
    )  # fmt: skip


def weighted_ascent(*, beta: float) -> MarginFlow:
    """WGA: m' = −p^β (1 − p), the weight held fixed under the gradient."""
    rate = positive(beta, "beta")
    return MarginFlow(
        name="wga", formula="−p^β(1−p)", speed=lambda m: -np.exp(-rate * log_loss(m)) * _sigmoid(-m)
    )  # fmt: skip


def relabelling() -> MarginFlow:
    """Descent to the other label (IDK, a wrong fixed answer): m' = −p."""
    return MarginFlow(name="idk", formula="−p", speed=lambda m: -_sigmoid(m))


def distillation(*, teacher: float = 0.0) -> MarginFlow:
    """Descent to one common teacher's probability σ(teacher): m' = −(p − σ(teacher)); 0 is the uniform answer."""
    level = float(special.expit(teacher))
    return MarginFlow(
        name="uniform" if teacher == 0 else "distillation, common teacher", formula="−(p−q)",
        speed=lambda m: -(_sigmoid(m) - level),
    )  # fmt: skip


def gap_factor(speed: Speed, start: float, end: float) -> float | NoRatio:
    """Return v(end) / v(start): by how much a small gap along the flow has been multiplied.

    Args:
        speed: v, of an autonomous flow.
        start: the level at which the gap was small.
        end: the level reached from there.

    Source: derived (module docstring). Exact for an infinitely small gap; a gap g adds a relative error of order g.

    >>> round(gap_factor(ascent().speed, 3.0, -3.0), 6)  # (1 − σ(−3)) / (1 − σ(3))
    20.085537
    """
    at_start, at_end = (float(v) for v in speed(np.array([start, end], dtype=np.float64)))
    return NoRatio.STANDS_STILL if at_start == 0 else at_end / at_start


def phase_at(speed: Speed, level: float, *, width: float = 1e-5) -> SpeedPhase:
    """Return what the flow does to a small gap at this level: the sign of v'(level), by a central difference.

    A slope below 1e-9 of the speed counts as zero: rounding of the difference is some 1e-11.
    """
    low, at, high = speed(np.array([level - width, level, level + width], dtype=np.float64))
    slope = float(high - low) / (2 * width)
    if abs(slope) <= 1e-9 * max(abs(float(at)), np.finfo(np.float64).tiny):
        return SpeedPhase.FROZEN
    return SpeedPhase.EXPANDING if slope > 0 else SpeedPhase.CONTRACTING


def flowed(speed: Speed, starts: Array, times: Sequence[float]) -> Array:
    """Return m(t) from each start, shape [H, T], by an embedded Runge-Kutta method of order 8.

    Args:
        speed: v.
        starts: m(0), shape [H].
        times: ascending, from 0 on.
    """
    found = integrate.solve_ivp(
        lambda _, m: speed(m), (0.0, float(max(times))), vector(starts, "starts"), method="DOP853",
        t_eval=np.asarray(times, dtype=np.float64), rtol=INTEGRATION_TOLERANCE, atol=INTEGRATION_TOLERANCE,
    )  # fmt: skip
    levels: Array = found.y
    return levels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExamplesFlow:
    """θ' = (1/n) Σ_i v(m_i) x_i with m = Xθ: an unlearning loss averaged over n logistic examples."""

    inputs: Array
    """X, each row times its label's sign, shape [n, d]."""
    speed: Speed

    def field(self, theta: Array) -> Array:
        """Return F(θ), shape [d]."""
        found: Array = self.speed(self.inputs @ theta) @ self.inputs / len(self.inputs)
        return found

    def states(self, start: Array, times: Sequence[float]) -> Array:
        """Return θ(t), shape [T, d]."""
        rows = matrix(self.inputs, "inputs")
        found = integrate.solve_ivp(
            lambda _, theta: self.field(theta), (0.0, float(max(times))), vector(start, "start", rows.shape[1]),
            method="DOP853", t_eval=np.asarray(times, dtype=np.float64), rtol=INTEGRATION_TOLERANCE,
            atol=INTEGRATION_TOLERANCE,
        )  # fmt: skip
        path: Array = found.y.T
        return path


def speed_ratio(flow: ExamplesFlow, path: Array) -> Array:
    """Return ‖F(θ_t)‖ / ‖F(θ_0)‖ at each state of a path, shape [T]: the factor of a difference that started along F.

    Args:
        flow: the autonomous flow.
        path: states of one history, the first at time 0, shape [T, d].
    """
    speeds = np.array([np.linalg.norm(flow.field(theta)) for theta in path])
    found: Array = speeds / speeds[0]
    return found


def ahead_by(flow: ExamplesFlow, theta: Array, difference: Array) -> tuple[float, float]:
    """Split a difference into c F(θ) and the rest.

    Returns:
        c, the time by which one history is ahead, and the norm of the transverse rest.
    """
    velocity = flow.field(theta)
    ahead = float(velocity @ difference / (velocity @ velocity))
    return ahead, float(np.linalg.norm(difference - ahead * velocity))


def _sigmoid(values: Array) -> Array:
    found: Array = special.expit(values)
    return found
