"""Squared Hellinger distance: the primary distance of retrain equivalence on language models.

`H²(p, q) = ½ Σ_c (√p_c − √q_c)²`. Unit: Hellinger², a pure number. Range: 0 (equal) to 1 (disjoint); smaller is closer.

It is the definition of Yu et al. (2025), Definition 2.1, with `Pred = √p`, up to the factor ½; it is a squared norm, so
debiased estimates over runs exist for it. `H² ≤ TV ≤ √2 H`.

Bias: over lumped cells it is a lower bound of the distance between the whole distributions (data processing).
Sees: every difference of next-token probabilities at the scored positions, rare tokens more than squared L2 does.
Cannot see: differences inside the rest cell, or on texts that are not scored.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.metrics.gram import squared_distances
from retrain_equivalence.metrics.probabilities import Array, blocks, checked_pair


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return `H²` at every position, shape [P]. Raises `ValueError` for unequal shapes or negative values.

    >>> per_position([[0.36, 0.64]], [[0.64, 0.36]]).round(6).tolist()
    [0.04]
    """
    p, q = checked_pair(p_PC, q_PC)
    return np.asarray(0.5 * np.square(np.sqrt(p) - np.sqrt(q)).sum(axis=1))


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean of `H²` over positions for all pairs of states, shape [N, N].

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P], for example `item_weights`.
    """
    roots = ((np.sqrt(block), part) for block, part in blocks(states_NPC, weights))
    return 0.5 * squared_distances(roots, len(states_NPC))
