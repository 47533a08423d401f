"""Squared L2 distance of next-token probabilities: the paper's RE distance.

`d(p, q) = Σ_c (p_c − q_c)²`. Unit: squared L2 on probabilities, a pure number. Range: 0 (equal) to 2 (disjoint point
masses); smaller is closer.

Source: Yu et al. (2025), Definition 2.1 with `Pred = p`. Deviation: averaged over positions within an item first.

Bias: over lumped cells it is *no* bound: a rest cell can make it smaller (differences cancel) or larger (equal
differences add before they are squared).
Sees: differences of likely tokens. Cannot see: differences of rare tokens, since a probability of 1e-3 counts 1e-6.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.metrics.gram import squared_distances
from retrain_equivalence.metrics.probabilities import Array, blocks, checked_pair


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return the squared L2 distance at every position, shape [P]. Raises `ValueError` for unequal shapes.

    >>> per_position([[0.5, 0.5]], [[0.25, 0.75]]).tolist()
    [0.125]
    """
    p, q = checked_pair(p_PC, q_PC)
    return np.asarray(np.square(p - q).sum(axis=1))


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean over positions for all pairs of states, shape [N, N].

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P], for example `item_weights`.
    """
    return squared_distances(blocks(states_NPC, weights), len(states_NPC))
