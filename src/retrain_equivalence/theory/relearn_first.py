"""Learn the forget set once more, then ascend: a delay, not a remedy, since residual and gap shrink alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.difference_map import ModeFactors
from retrain_equivalence.theory.forget_span import ForgetSpan


class BreakEven(StrEnum):
    """Why a mode has no step at which ascent has undone what relearning did."""

    NEVER_STARTS = "relearning removed the mode; ascent has nothing to raise"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelearnThenAscend:
    """T steps of descent on the forget set, then t of ascent: mode j is multiplied by (1 − η_r h_j)^T (1 + η_a h_j)^t.

    Forget residual and path gap on the span have the *same* factor, so at equal forgetting nothing is won.
    """

    name: ClassVar[str] = "relearn by steps, then ascend"
    condition: ClassVar[str] = "shrinks first iff η_r times the largest curvature is below 2; then expands as ascent"
    relearn_rate: float
    """η_r."""
    relearn_steps: int
    """T ≥ 0."""
    learning_rate: float
    """η_a of the ascent."""

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return a_j = (1 − η_r h_j)^T and b_j = 1 + η_a h_j.

        Raises:
            InputError: E-DATA-112 for T < 0, E-DATA-102 for a step size that is not above 0.

        >>> method = RelearnThenAscend(relearn_rate=0.5, relearn_steps=2, learning_rate=0.5)
        >>> method.factors(ForgetSpan.of([[1.0, 0.0]])).once.tolist()  # h = 2: one step interpolates
        [0.0]
        """
        if self.relearn_steps < 0:
            raise InputError.of("E-DATA-112", "relearn_steps", f"{self.relearn_steps} is below 0", "take 0 or more")
        once = (1 - span.rates(self.relearn_rate)) ** self.relearn_steps
        return ModeFactors(once=once, change=span.rates(self.learning_rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeThenAscend:
    """A proximal ridge stage on the forget set, then t steps of ascent: μ/(s_j² + μ) · (1 + x_j)^t."""

    name: ClassVar[str] = "relearn by proximal ridge, then ascend"
    condition: ClassVar[str] = "any penalty above 0: shrinks every mode, removes none; then expands as ascent"
    penalty: float
    """μ."""
    learning_rate: float
    """η of the ascent."""

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return a_j = μ/(s_j² + μ) and b_j = 1 + x_j.

        Raises:
            InputError: E-DATA-102 for a penalty or step size that is not above 0.
        """
        penalty = positive(self.penalty, "penalty")
        once: Array = penalty / (span.singular_values**2 + penalty)
        return ModeFactors(once=once, change=span.rates(self.learning_rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpolateThenAscend:
    """Relearning to convergence: the residual on the forget set is 0, so the squared-loss ascent never starts."""

    name: ClassVar[str] = "relearn to convergence, then ascend"
    condition: ClassVar[str] = "targets common to all histories; exact interpolation, or rounding is what ascent raises"
    learning_rate: float
    """η of the ascent; it has nothing to act on."""

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return a_j = 0: removed on the span, frozen off it, whatever t."""
        return ModeFactors(once=np.zeros(span.n_rows), change=span.rates(self.learning_rate))


def break_even(method: RelearnThenAscend | RidgeThenAscend, span: ForgetSpan) -> tuple[float | BreakEven, ...]:
    """Return for each mode the t at which |a_j b_j^t| = 1: t = −log|a_j| / log(1 + η_a h_j).

    Args:
        method: relearning and ascent.
        span: the modes.

    Returns:
        Steps, not whole in general; 0 or less if relearning expands the mode (η_r h_j ≥ 2).

    >>> method = RidgeThenAscend(penalty=1.0, learning_rate=0.5)
    >>> [round(t, 6) for t in break_even(method, ForgetSpan.of([[1.0, 0.0]]))]  # a = 1/2, b = 2
    [1.0]
    """
    found = method.factors(span)
    rates = found.log_rates
    return tuple(
        BreakEven.NEVER_STARTS if a == 0 else -float(np.log(abs(a))) / float(rate)
        for a, rate in zip(found.once, rates, strict=True)
    )
