"""Two logistic stages in either order by gradient descent: where the margins of recency come from."""

from __future__ import annotations

import numpy as np
from scipy import special

from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.optimizers import fraction


def train_logistic(theta: Array, inputs: Array, *, learning_rate: float, n_steps: int) -> Array:
    """Return the end of n full-batch steps on the mean logistic loss, shape [d].

    Args:
        theta: where training starts, shape [d].
        inputs: each row times its label's sign, shape [n, d].
        learning_rate: η > 0.
        n_steps: how many; the same number whatever the start.

    Raises:
        InputError: E-DATA-100 to -102.
    """
    rows = matrix(inputs, "inputs")
    moving = vector(theta, "theta", rows.shape[1]).copy()
    rate = positive(learning_rate, "learning_rate") / len(rows)
    for _ in range(n_steps):
        moving += rate * special.expit(-rows @ moving) @ rows
    return moving


def two_logistic_orders(
    *, seed: int, dim: int, rows: int, conflict: float, learning_rate: float, n_steps: int
) -> tuple[Array, Array, Array]:
    """Draw stages A and B of unit rows, partly in conflict, and train AB and BA from zero.

    Row i of B is −c times row i of A plus √(1 − c²) times a fresh unit row, both times their labels' signs: training on
    B lowers the margins of A, and the other way round.

    Args:
        seed: of the rows.
        dim: d; large against `rows`, so that rows are nearly orthogonal otherwise.
        rows: of each stage.
        conflict: c, in [0, 1).
        learning_rate: of training.
        n_steps: of each stage.

    Returns:
        A's signed rows [rows, d], θ after AB (A first) and θ after BA (A last).
    """
    rng = np.random.default_rng(seed)
    first, fresh = rng.standard_normal((2, rows, dim))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    share = fraction(conflict, "conflict")
    stages = (first, -share * first + np.sqrt(1 - share**2) * fresh)
    ends = []
    for order in ((0, 1), (1, 0)):
        theta = np.zeros(dim)
        for number in order:
            theta = train_logistic(theta, stages[number], learning_rate=learning_rate, n_steps=n_steps)
        ends.append(theta)
    return first, ends[0], ends[1]
