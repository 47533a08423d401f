"""The span of the forget inputs: where every local method moves, and how fast each direction moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive

RANK_TOLERANCE = 1e-10
"""Forget rows whose smallest singular value is below this share of the largest are not of full row rank."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForgetSpan:
    """X_U = U diag(s) Vᵀ and the curvatures h_j = (2/k) s_j² of the loss (1/k)‖X_Uθ − y‖², descending."""

    inputs: Array
    """X_U, shape [k, d]."""
    left: Array
    """U, shape [k, k]."""
    singular_values: Array
    """s, descending, shape [k]."""
    basis: Array
    """Vᵀ, orthonormal rows, shape [k, d]."""

    @classmethod
    def of(cls, inputs: npt.ArrayLike) -> ForgetSpan:
        """Decompose forget inputs.

        Raises:
            InputError: E-DATA-106 if there are no rows, E-DATA-107 if they are more than d or linearly dependent.
        """
        if np.asarray(inputs).size == 0:
            raise InputError.of("E-DATA-106", "forget set", "is empty", "name at least one row to forget")
        rows = matrix(inputs, "forget inputs")
        k, d = rows.shape
        if k > d:
            raise InputError.of(
                "E-DATA-107", "forget inputs", f"{k} rows in {d} dimensions cannot be linearly independent",
                "forget at most d rows, or raise the dimension",
            )  # fmt: skip
        left, singular, basis = np.linalg.svd(rows, full_matrices=False)
        if singular[-1] <= RANK_TOLERANCE * singular[0]:
            raise InputError.of(
                "E-DATA-107", "forget inputs",
                f"rank below {k}: smallest singular value {singular[-1]:.3g}, largest {singular[0]:.3g}",
                "drop repeated or dependent rows",
            )  # fmt: skip
        return cls(inputs=rows, left=left, singular_values=singular, basis=basis)

    @property
    def n_rows(self) -> int:
        """k."""
        return len(self.singular_values)

    @property
    def curvatures(self) -> Array:
        """h_j = (2/k) s_j², descending, shape [k]."""
        found: Array = 2 / self.n_rows * self.singular_values**2
        return found

    def rates(self, learning_rate: float) -> Array:
        """Return x_j = η h_j, descending, shape [k]: ascent multiplies mode j by 1 + x_j, descent by 1 − x_j."""
        return positive(learning_rate, "learning_rate") * self.curvatures

    def coordinates(self, vectors: Array) -> Array:
        """Return Vᵀ·vector: coordinates on the span, shape [..., k]."""
        found: Array = vectors @ self.basis.T
        return found

    def on_span(self, vectors: Array) -> Array:
        """Return P·vector, shape [..., d]."""
        return self.coordinates(vectors) @ self.basis

    def off_span(self, vectors: Array) -> Array:
        """Return (I − P)·vector, shape [..., d]: what no local method moves."""
        found: Array = vectors - self.on_span(vectors)
        return found
