"""Named laws of the inputs: what the rows of stages and of the test set look like.

Rows are normal with a diagonal covariance; nothing in the theory depends on a rotation. They are scaled so that
E‖x‖² = 1 whatever the dimension, so step sizes and penalties mean the same under every law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLaw:
    """x = Λ^½ z, z standard normal on the coordinates that the stage sees."""

    name: str
    exponent: float = 0.0
    """a in λ_j ∝ j^(−a), j = 1..d: 0 is isotropic, 1 the spectrum of many natural data sets."""
    overlap: float = 1.0
    """Share of the coordinates that every stage sees, 0 to 1; the others belong to one stage each."""

    def variances(self, dim: int) -> Array:
        """Return λ, shape [d], of a row that sees every coordinate; they sum to 1."""
        found: Array = np.arange(1, dim + 1, dtype=np.float64) ** -self.exponent
        found /= found.sum()
        return found

    def draw(self, rng: np.random.Generator, n_rows: int, dim: int, *, stage: int = 0, n_stages: int = 1) -> Array:
        """Draw rows, shape [n, d], of stage number `stage` of `n_stages`; coordinates out of its window are zero."""
        scale = np.sqrt(self.variances(dim))
        window = self.window(dim, stage, n_stages)
        kept = np.zeros(dim)
        kept[window] = scale[window] / np.sqrt((scale[window] ** 2).sum())
        rows: Array = rng.standard_normal((n_rows, dim)) * kept
        return rows

    def window(self, dim: int, stage: int, n_stages: int) -> npt.NDArray[np.int64]:
        """Return the coordinates that a stage sees: the common ones, and its own.

        Both are dealt like cards, so that every stage has the same share of large and small variances.

        >>> InputLaw(name="half", overlap=0.5).window(8, 0, 2).tolist()
        [0, 1, 3, 4, 5, 7]
        """
        dealt = np.floor(np.arange(dim + 1) * self.overlap)
        common = np.diff(dealt) > 0
        own = np.flatnonzero(~common)[stage % n_stages :: n_stages]
        return np.sort(np.concatenate([np.flatnonzero(common), own]))


ISOTROPIC = InputLaw(name="isotropic")
POWER_LAW = InputLaw(name="power law", exponent=1.0)
HALF_SHARED = InputLaw(name="half shared", overlap=0.5)
LAWS: tuple[InputLaw, ...] = (ISOTROPIC, POWER_LAW, HALF_SHARED)
"""Laws by name, in the order in which tables show them."""


def law_named(name: str) -> InputLaw:
    """Return the law of this name.

    Raises:
        InputError: E-DATA-103 for a name that is none.
    """
    for law in LAWS:
        if law.name.replace(" ", "-") == name.replace(" ", "-").replace("_", "-"):
            return law
    known = ", ".join(law.name.replace(" ", "-") for law in LAWS)
    raise InputError.of("E-DATA-103", "law", f"'{name}' is no law of the inputs", f"use one of {known}")
