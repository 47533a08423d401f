"""A sequence of single-row removals from logistic regression, with its bounds, truth, and the budget's trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.certified_logistic import PAPER_LIPSCHITZ, LogisticObjective, logistic_removal
from retrain_equivalence.theory.removal_rows import split_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemovalSequence:
    """Removals one after another from one training, T of them; sums start with the optimiser's residual."""

    optimiser_residual: float
    """‖∇L(w; D)‖ at the end of training."""
    measured: Array
    """‖∇L(w_t; D_t)‖ after each removal, shape [T]: of the sum, not a sum of norms."""
    added: Array
    """What each removal added in truth, shape [T]."""
    data_dependent: Array
    """Each removal's data-dependent bound, shape [T]."""
    tight: Array
    """Each removal's tight bound, shape [T]."""
    worst_case: Array
    """Each removal's worst-case bound, shape [T]."""
    weights: Array
    """After the last removal, shape [d]."""

    def total(self, bounds: Array) -> Array:
        """Return the bound on the gradient after each removal, shape [T]."""
        found: Array = self.optimiser_residual + np.cumsum(bounds)
        return found


def remove_in_turn(
    objective: LogisticObjective, weights: Array, rows: Sequence[int], *, lipschitz: float = PAPER_LIPSCHITZ
) -> RemovalSequence:
    """Remove rows one at a time, without retraining between them.

    Args:
        objective: of all rows.
        weights: trained on them, shape [d].
        rows: to be removed, in the order of the requests, as numbered before the first.
        lipschitz: γ of the bounds.

    Raises:
        InputError: E-DATA-106 or -127 for bad rows.
    """
    split_rows(rows, objective.n_rows)
    start = float(np.linalg.norm(objective.gradient(weights)))
    left, w, data = list(range(objective.n_rows)), weights, objective
    found = []
    for row in rows:
        place = left.index(row)
        step = logistic_removal(data, w, [place], lipschitz=lipschitz)
        data, w = data.without([place]), step.weights
        left.pop(place)
        found.append((np.linalg.norm(data.gradient(w)), step.added, step.data_dependent, step.tight, step.worst_case))
    measured, added, data_dependent, tight, worst_case = np.array(found, dtype=np.float64).T
    return RemovalSequence(
        optimiser_residual=start, measured=measured, added=added, data_dependent=data_dependent, tight=tight,
        worst_case=worst_case, weights=w,
    )  # fmt: skip
