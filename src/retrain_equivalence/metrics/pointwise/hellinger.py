"""Squared Hellinger distance: the primary distance of retrain equivalence on language models.

`H²(p, q) = ½ Σ_c (√p_c − √q_c)²`. It is `re_distance` with `Pred = √p`, up to the factor ½; a squared norm, so
debiased estimates over runs exist for it. `H² ≤ TV ≤ √2 H`.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.gram import squared_distances
from retrain_equivalence.metrics.pointwise import re_distance
from retrain_equivalence.metrics.probabilities import Array, blocks, checked_pair

CARD = Card(
    name="hellinger",
    level="pointwise",
    row="prediction:<stage>/hellinger",
    what="½ Σ (√p - √q)² per scored position, mean over an item's positions, then over items: the primary distance.",
    unit=Unit.HELLINGER_SQUARED.value,
    range="0 (equal) to 1 (disjoint)",
    direction="smaller: closer predictions",
    symmetric=True,
    hilbertian=True,
    lumping="lower bound",
    bias="Lumped cells can only make it smaller (data processing). Between two single runs it holds the seed noise of "
    "both, which pairs of different runs allow to subtract.",
    sees="Every difference of next-token probabilities at the scored positions, rare tokens more than squared L2 does.",
    blind="Differences inside the rest cell, and on texts that are not scored.",
    source="Yu et al. 2025, Definition 2.1 with Pred = √p, up to ½; independent implementation: one less "
    "the Bhattacharyya coefficient Σ √(p q).",
)


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return `H²` at every position, shape [P]. Raises `ValueError` for unequal shapes or negative values.

    >>> per_position([[0.36, 0.64]], [[0.64, 0.36]]).round(6).tolist()
    [0.04]
    """
    p, q = checked_pair(p_PC, q_PC)
    return of_roots(np.sqrt(p), np.sqrt(q))


def of_roots(root_p_PC: Array, root_q_PC: Array) -> Array:
    """Return `H²` at every position, shape [P], from `√p` and `√q`: for states that enter many pairs."""
    return np.asarray(0.5 * re_distance.per_point(root_p_PC, root_q_PC))


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean of `H²` over positions for all pairs of states, shape [N, N].

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P], for example `item_weights`.
    """
    roots = ((np.sqrt(block), part) for block, part in blocks(states_NPC, weights))
    return 0.5 * squared_distances(roots, len(states_NPC))
