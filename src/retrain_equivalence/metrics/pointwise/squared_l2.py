"""Squared L2 distance of next-token probabilities: the paper's RE distance.

`d(p, q) = Σ_c (p_c − q_c)²`. It is `re_distance` with `Pred = p`. Deviation from the paper: averaged over positions
within an item first.

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
    name="squared_l2",
    level="pointwise",
    row="prediction:<stage>/squared_l2",
    what="Σ (p - q)² per scored position, mean over an item's positions, then over items: the paper's distance.",
    unit=Unit.SQUARED_L2.value,
    range="0 (equal) to 2 (disjoint point masses)",
    direction="smaller: closer predictions",
    symmetric=True,
    hilbertian=True,
    lumping="neither bound",
    bias="Lumped cells can make it smaller (differences cancel) or larger (differences add before they are squared). "
    "Between two single runs it holds the seed noise of both.",
    sees="Differences of likely tokens.",
    blind="Differences of rare tokens: a probability of 1e-3 counts 1e-6. Flat predictions all look alike.",
    source="Yu et al. 2025, Definition 2.1 with Pred = p, averaged over positions within an item first; independent "
    "implementation: scipy.spatial.distance.cdist(..., 'sqeuclidean').",
)


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return the squared L2 distance at every position, shape [P]. Raises `ValueError` for unequal shapes.

    >>> per_position([[0.5, 0.5]], [[0.25, 0.75]]).tolist()
    [0.125]
    """
    p, q = checked_pair(p_PC, q_PC)
    return re_distance.per_point(p, q)


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean over positions for all pairs of states, shape [N, N].

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P], for example `item_weights`.
    """
    return squared_distances(blocks(states_NPC, weights), len(states_NPC))
