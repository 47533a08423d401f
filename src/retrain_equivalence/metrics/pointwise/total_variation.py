"""Total variation distance.

`TV(p, q) = ½ Σ_c |p_c − q_c|`: the largest difference in the probability of any event, and how much better than chance
(times ½) one sampled token tells the two states apart. `H² ≤ TV ≤ √2 H`.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array, blocks, checked_pair

CARD = Card(
    name="total_variation",
    level="pointwise",
    row="prediction:<stage>/total_variation",
    what="½ Σ |p - q| per scored position, mean over an item's positions, then over items.",
    unit=Unit.FRACTION.value,
    range="0 (equal) to 1 (disjoint)",
    direction="smaller: closer predictions",
    symmetric=True,
    hilbertian=False,
    lumping="lower bound",
    bias="Lumped cells can only make it smaller (data processing). It is no squared norm: described, never debiased.",
    sees="How often the two would say something different.",
    blind="By which factor rare tokens differ.",
    source="Levin, Peres and Wilmer 2009, section 4.1; independent implementation: half of "
    "scipy.spatial.distance.cdist(..., 'cityblock').",
)


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return the distance at every position, shape [P]. Raises `ValueError` for unequal shapes.

    >>> per_position([[0.5, 0.5]], [[0.25, 0.75]]).tolist()
    [0.25]
    """
    p, q = checked_pair(p_PC, q_PC)
    return np.asarray(0.5 * np.abs(p - q).sum(axis=1))


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean over positions for all pairs of states, shape [N, N], pair by pair.

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P].
    """
    n_states = len(states_NPC)
    total_NN = np.zeros((n_states, n_states))
    for block, part in blocks(states_NPC, weights):
        for i in range(n_states):
            for j in range(i):
                total_NN[i, j] += part @ (0.5 * np.abs(block[i] - block[j]).sum(axis=1))
    return np.asarray(total_NN + total_NN.T)
