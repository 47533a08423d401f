"""Ascent with a retain term, step by step on states and labels, to measure what its map predicts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrain_equivalence.theory.arrays import Array, matrix, vector
from retrain_equivalence.theory.retain_term import RetainTerm


def retain_run(
    term: RetainTerm,
    weight: float,
    forget_targets: npt.ArrayLike,
    retain_targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    *,
    n_steps: int,
) -> Array:
    """Return θ_0 .. θ_T of θ ← θ + η∇(1/k)‖X_Uθ − y_U‖² − ηλ∇(1/n_R)‖X_Rθ − y_R‖², shape [n_steps + 1, H, d].

    Args:
        term: the two sets of rows, and η.
        weight: λ.
        forget_targets: y_U, shape [k].
        retain_targets: y_R, shape [n_R].
        thetas: θ_0 of each history, shape [H, d].
        n_steps: T.

    >>> term = RetainTerm(forget_inputs=[[1.0, 0]], retain_inputs=[[0.0, 1]], learning_rate=0.5)
    >>> retain_run(term, 0.5, [0.0], [0.0], [[1.0, 4.0]], n_steps=1)[:, 0].tolist()
    [[1.0, 4.0], [2.0, 2.0]]
    """
    forget, retain = matrix(term.forget_inputs, "forget inputs"), matrix(term.retain_inputs, "retain inputs")
    wanted, kept = (
        vector(forget_targets, "forget targets", len(forget)),
        vector(retain_targets, "retain targets", len(retain)),
    )
    path = [matrix(thetas, "thetas")]
    for _ in range(n_steps):
        state = path[-1]
        up = 2 / len(forget) * (state @ forget.T - wanted) @ forget
        down = 2 / len(retain) * (state @ retain.T - kept) @ retain
        path.append(state + term.learning_rate * (up - weight * down))
    return np.stack(path)
