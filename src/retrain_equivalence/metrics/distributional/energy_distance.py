"""Energy distance between two sets of independent runs, from the distances among all of them.

Legend: L runs of both sets together, G ways to split them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array

CARD = Card(
    name="energy_distance",
    level="distributional",
    what="2 E d(X, Y) - E d(X, X') - E d(Y, Y') for runs X of one set and Y of the other, from pairs of different "
    "runs; d is the root of a squared norm, as √Hellinger².",
    unit="unit of the distances",
    range="0 to twice the largest distance for the laws; the estimate may be below 0 and is not truncated",
    direction="smaller: the laws of whole predictions are closer; 0 only for equal laws",
    symmetric=True,
    hilbertian=True,
    lumping="neither bound",
    bias="None over runs: for equal laws its mean is 0 with any numbers of runs. Lumped cells make every distance a "
    "lower bound, and their difference neither.",
    sees="Every difference of the two laws over seeds: mean prediction, spread, shape, collapsed runs.",
    blind="With few runs, nearly all but large shifts: the test's smallest p stands beside it.",
    source="Székely and Rizzo 2013, U-form; with d = |x - y| independent implementation: the square of "
    "scipy.stats.energy_distance is its biased form.",
)


def of_splits(distances_LL: ArrayLike, first_GL: NDArray[np.bool_]) -> Array:
    """Return the statistic of many splits of the same runs at once, [G].

    With `f_i = 1` in the first set, `Σ_ij f_i D_ij f_j` is the sum within it; the sums within the second set and across
    follow in the same way, so all splits cost one matrix product.

    Args:
        distances_LL: symmetric distances among the runs, any unit, finite, shape [L, L]; the diagonal is not read.
        first_GL: True for the runs of the first set, one row per split; at least two runs on either side.

    Returns:
        One number per split, in the unit of the distances; may be negative.

    Raises:
        ValueError: for distances that are not square, symmetric and finite, or a side of fewer than two runs.

    Source: Székely and Rizzo (2013). Deviation: U-statistics (a run is not paired with itself), so that equal laws give
    0 in the mean. It orders the splits of given sizes as the V-form does up to the within-set weights n(n-1) for n².

    >>> line = np.abs(np.subtract.outer([0.0, 2.0, 1.0, 3.0], [0.0, 2.0, 1.0, 3.0]))
    >>> of_splits(line, np.array([[True, True, False, False], [True, False, True, False]])).tolist()
    [-1.0, 2.0]
    """
    distances = np.array(distances_LL, dtype=np.float64)
    first = np.asarray(first_GL, dtype=np.float64)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or first.shape[1:] != distances.shape[:1]:
        raise ValueError(f"distances are [L, L] and splits [G, L], found {distances.shape} and {first.shape}")
    np.fill_diagonal(distances, 0.0)
    if not np.isfinite(distances).all() or not np.array_equal(distances, distances.T):
        raise ValueError("distances must be finite and symmetric")
    second = 1.0 - first
    n_G, m_G = first.sum(axis=1), second.sum(axis=1)
    if min(n_G.min(initial=np.inf), m_G.min(initial=np.inf)) < 2:
        raise ValueError("either set needs at least two runs")
    to_first, to_second = first @ distances, second @ distances
    across = (to_first * second).sum(axis=1) / (n_G * m_G)
    within_first = (to_first * first).sum(axis=1) / (n_G * (n_G - 1))
    within_second = (to_second * second).sum(axis=1) / (m_G * (m_G - 1))
    return np.asarray(2 * across - within_first - within_second)


def statistic(distances_LL: ArrayLike, first_L: NDArray[np.bool_]) -> float:
    """Return the statistic of one split, in the unit of the distances. Raises `ValueError` as `of_splits` does.

    >>> line = np.abs(np.subtract.outer([0.0, 2.0, 1.0, 3.0], [0.0, 2.0, 1.0, 3.0]))
    >>> statistic(line, np.array([True, True, False, False]))
    -1.0
    """
    return float(of_splits(distances_LL, np.asarray(first_L)[None, :])[0])
