"""Subtract what learning the forget set once more would add: one bounded expansion, or none from a common base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from retrain_equivalence.theory.arrays import positive
from retrain_equivalence.theory.difference_map import ModeFactors
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.relearn_first import RelearnThenAscend


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTaskVector:
    """θ − α(θ' − θ), θ' = the history itself after T steps of descent on the forget set.

    Relearning multiplies mode j of the difference by c_j = (1 − η_r h_j)^T, so the subtraction multiplies it by
    1 + α(1 − c_j), once. While η_r h_j ≤ 1, or T is even and η_r h_j ≤ 2, c_j is in [0, 1] and the factor in
    [1, 1 + α]. For odd T and 1 < η_r h_j < 2, c_j is negative and the factor can reach 1 + 2α.
    """

    name: ClassVar[str] = "task vector from the history itself"
    condition: ClassVar[str] = "at most 1 + α while every c_j is at least 0: relearning does not overshoot"
    strength: float
    """α."""
    relearn_rate: float
    """η_r."""
    relearn_steps: int
    """T."""

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return a_j = 1 + α(1 − c_j), b_j = 1.

        Raises:
            InputError: E-DATA-112 for T < 0, E-DATA-102 for a strength or step size that is not above 0.

        >>> method = OwnTaskVector(strength=1.0, relearn_rate=0.25, relearn_steps=1)
        >>> method.factors(ForgetSpan.of([[1.0, 0.0]])).once.tolist()  # h = 2, c = 1/2
        [1.5]
        """
        relearn = RelearnThenAscend(
            relearn_rate=self.relearn_rate, relearn_steps=self.relearn_steps, learning_rate=self.relearn_rate
        )
        once = 1 + positive(self.strength, "strength") * (1 - relearn.factors(span).once)
        return ModeFactors(once=once, change=np.zeros(span.n_rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonTaskVector:
    """θ − α(β' − β), β a base common to all histories and β' the base after learning the forget set: a translation."""

    name: ClassVar[str] = "task vector from a common base"
    condition: ClassVar[str] = "one vector for all histories, whatever made it; exact for any model and any loss"
    strength: float
    """α."""

    def factors(self, span: ForgetSpan) -> ModeFactors:
        """Return 1 everywhere.

        Raises:
            InputError: E-DATA-102 for a strength that is not above 0.
        """
        positive(self.strength, "strength")
        return ModeFactors(once=np.ones(span.n_rows), change=np.zeros(span.n_rows))
