"""Ascent on the forget set with descent on a retain set: when does the retain term stop the expansion?

With common retain batches the difference map is (I + M_U − λM_R)^t, M = ηH, H_R = (2/n_R) X_Rᵀ X_R. It is symmetric, so
every mode stays bounded iff the spectrum of M_U − λM_R lies in [−2, 0].

*Upper edge.* On ker X_R the retain term does nothing, so for every λ the top eigenvalue is at least
η λ_max(H_U restricted to ker X_R). This is above 0 unless rowspan(X_U) ⊆ rowspan(X_R); it is also the limit for λ → ∞.
With the inclusion, the top eigenvalue is at most 0 iff λ ≥ λ_lo = λ_max(H_R^{+½} H_U H_R^{+½}).

*Lower edge.* λM_R ⪯ 2I + M_U iff λ ≤ λ_hi = 1 / λ_max((2I + M_U)^{−½} M_R (2I + M_U)^{−½}), which lies between
2 / (η λ_max(H_R)) and that plus λ_max(H_U)/λ_max(H_R). The window [λ_lo, λ_hi] is empty iff
η > 2 / λ_max(λ_lo H_R − H_U): a smaller step opens it.

Source: derived.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive
from retrain_equivalence.theory.difference_map import ModeFactors

RANK_TOLERANCE = 1e-10
"""Singular values, and shares of the forget rows outside the retain span, below this count as zero."""


class NoThreshold(StrEnum):
    """Why no retain weight bounds every mode."""

    NOT_NESTED = "some forget direction is unseen by the retain rows: it expands for every weight"


class Window(StrEnum):
    """Which weights keep every mode bounded."""

    OPEN = "the weights from the threshold to the lower edge"
    EMPTY = "none: the lower edge lies below the threshold; a smaller step size opens it"
    NONE = "none, whatever the step size: there is no threshold"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RetainModes:
    """Eigenmodes of M_U − λM_R that are not fixed; what is orthogonal to both row spans is frozen."""

    basis: Array
    """Orthonormal rows, shape [r, d], by descending eigenvalue."""
    factors: ModeFactors
    """b_j = 1 + eigenvalue."""

    @property
    def top(self) -> float:
        """Largest eigenvalue of M_U − λM_R, at least 0 if some direction is in neither span."""
        return float(self.factors.change[0])

    @property
    def bottom(self) -> float:
        """Smallest eigenvalue."""
        return float(self.factors.change[-1])

    @property
    def growth_rate(self) -> float:
        """Nats per step of the fastest mode: log max|1 + eigenvalue|; below 0 if all of them shrink."""
        return float(self.factors.log_rates.max())

    def coordinates(self, vectors: Array) -> Array:
        """Return coordinates on the modes, shape [..., r]."""
        found: Array = vectors @ self.basis.T
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class RetainTerm:
    """θ ← θ + η∇L_U − ηλ∇L_R on two sets of rows."""

    forget_inputs: npt.ArrayLike
    """X_U, shape [k, d]; rows may be dependent here."""
    retain_inputs: npt.ArrayLike
    """X_R, shape [n_R, d], not all zero."""
    learning_rate: float
    """η."""

    def __post_init__(self) -> None:
        forget, retain = matrix(self.forget_inputs, "forget inputs"), matrix(self.retain_inputs, "retain inputs")
        positive(self.learning_rate, "learning_rate")
        if forget.shape[1] != retain.shape[1]:
            raise InputError.of(
                "E-DATA-121", "retain inputs", f"{retain.shape[1]} dimensions, forget inputs have {forget.shape[1]}",
                "use rows of one dimension",
            )  # fmt: skip
        for rows, name in ((forget, "forget inputs"), (retain, "retain inputs")):
            if not rows.any():
                raise InputError.of("E-DATA-121", name, "all values are zero", "give at least one row that is not zero")

    @cached_property
    def forget(self) -> Array:
        """√(2/k) X_U, so that H_U is its Gram matrix; shape [k, d]."""
        rows = matrix(self.forget_inputs, "forget inputs")
        found: Array = np.sqrt(2 / len(rows)) * rows
        return found

    @cached_property
    def retain(self) -> Array:
        """√(2/n_R) X_R, so that H_R is its Gram matrix; shape [n_R, d]."""
        rows = matrix(self.retain_inputs, "retain inputs")
        found: Array = np.sqrt(2 / len(rows)) * rows
        return found

    @cached_property
    def _retain_modes(self) -> tuple[Array, Array]:
        """Return the non-zero singular values and right vectors of `retain`."""
        _, singular, right = np.linalg.svd(self.retain, full_matrices=False)
        kept = singular > RANK_TOLERANCE * singular[0]
        return singular[kept], right[kept]

    @cached_property
    def _unseen(self) -> Array:
        _, right = self._retain_modes
        found: Array = self.forget - self.forget @ right.T @ right
        return found

    @cached_property
    def is_nested(self) -> bool:
        """Whether rowspan(X_U) ⊆ rowspan(X_R), to 10⁻¹⁰ of the forget rows."""
        return float(np.linalg.norm(self._unseen)) <= RANK_TOLERANCE * float(np.linalg.norm(self.forget))

    @cached_property
    def limit_eigenvalue(self) -> float:
        """η λ_max(H_U restricted to ker X_R): no weight brings the top eigenvalue below it; 0 if nested."""
        return 0.0 if self.is_nested else self.learning_rate * float(np.linalg.norm(self._unseen, 2)) ** 2

    @property
    def limit_rate(self) -> float:
        """log(1 + `limit_eigenvalue`): nats per step that remain however large λ; 0 if nested."""
        return float(np.log1p(self.limit_eigenvalue))

    @cached_property
    def threshold(self) -> float | NoThreshold:
        """λ_lo = λ_max(H_R^{+½} H_U H_R^{+½}), whatever η; a named outcome if the spans do not nest.

        >>> RetainTerm(forget_inputs=[[2.0, 0]], retain_inputs=[[1.0, 0]], learning_rate=0.1).threshold
        4.0
        >>> RetainTerm(forget_inputs=[[2.0, 1]], retain_inputs=[[1.0, 0]], learning_rate=0.1).threshold.name
        'NOT_NESTED'
        """
        if not self.is_nested:
            return NoThreshold.NOT_NESTED
        singular, right = self._retain_modes
        return float(np.linalg.norm(self.forget @ right.T / singular, 2)) ** 2

    @cached_property
    def lower_edge(self) -> float:
        """λ_hi: above it a mode's factor is below −1, and it expands with alternating sign.

        >>> term = RetainTerm(forget_inputs=[[1.0, 0]], retain_inputs=[[0.0, 1]], learning_rate=0.5)
        >>> round(term.lower_edge, 9)  # 2 / (½ · 2)
        2.0
        """
        forget, retain, _ = self._joint
        inner: Array = retain @ np.linalg.solve(2 * np.eye(forget.shape[1]) + self._scaled(forget), retain.T)
        return 1 / (self.learning_rate * float(np.linalg.eigvalsh(inner)[-1]))

    @property
    def lower_edge_estimate(self) -> float:
        """2 / (η λ_max(H_R)): never above `lower_edge`, and needs only the retain rows."""
        return 2 / (self.learning_rate * float(self._retain_modes[0][0]) ** 2)

    @property
    def largest_learning_rate(self) -> float | NoThreshold:
        """The η above which the window is empty: 2 / λ_max(λ_lo H_R − H_U); infinite if λ_lo H_R = H_U."""
        if isinstance(self.threshold, NoThreshold):
            return self.threshold
        forget, retain, _ = self._joint
        top = float(np.linalg.eigvalsh(self.threshold * retain.T @ retain - forget.T @ forget)[-1])
        # Rounding of a difference that is zero.
        is_zero = top <= 1e-12 * float(np.linalg.norm(forget, 2)) ** 2
        return float("inf") if is_zero else 2 / top

    @property
    def window(self) -> Window:
        """Whether some weight keeps every mode bounded at this step size."""
        if isinstance(self.threshold, NoThreshold):
            return Window.NONE
        return Window.OPEN if self.threshold <= self.lower_edge else Window.EMPTY

    def modes(self, weight: float) -> RetainModes:
        """Return the eigenmodes of M_U − λM_R on the two row spans together.

        Args:
            weight: λ ≥ 0.

        Raises:
            InputError: E-DATA-122 for a weight that is negative or not finite.
        """
        if not (np.isfinite(weight) and weight >= 0):
            raise InputError.of("E-DATA-122", "weight", f"expected 0 or more, found {weight}", "raise the weight")
        forget, retain, joint = self._joint
        values, vectors = np.linalg.eigh(self._scaled(forget) - weight * self._scaled(retain))
        values, vectors = values[::-1], vectors[:, ::-1]
        return RetainModes(basis=vectors.T @ joint, factors=ModeFactors(once=np.ones(len(values)), change=values))

    def _scaled(self, rows: Array) -> Array:
        found: Array = self.learning_rate * rows.T @ rows
        return found

    @cached_property
    def _joint(self) -> tuple[Array, Array, Array]:
        """Return `forget` and `retain` in an orthonormal basis of their joint row span, and the basis, shape [r, d]."""
        _, singular, right = np.linalg.svd(np.concatenate([self.forget, self.retain]), full_matrices=False)
        basis = right[singular > RANK_TOLERANCE * singular[0]]
        return self.forget @ basis.T, self.retain @ basis.T, basis
