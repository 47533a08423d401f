"""Jensen-Shannon divergence.

`JS(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m)`, `m = ½(p + q)`.

Its square root is a metric and Hilbertian. Always finite: where `m = 0` both are 0 and the cell contributes 0.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array, blocks, checked_pair

CARD = Card(
    name="jensen_shannon",
    level="pointwise",
    row="prediction:<stage>/jensen_shannon",
    what="½ KL(p ‖ m) + ½ KL(q ‖ m) with m = ½ (p + q) per scored position, mean over an item's positions, then "
    "over items.",
    unit=Unit.NATS.value,
    range="0 (equal) to log 2 = 0.693 (disjoint)",
    direction="smaller: closer predictions",
    symmetric=True,
    hilbertian=True,
    lumping="lower bound",
    bias="Lumped cells can only make it smaller (data processing). Between two single runs it holds the seed noise of "
    "both.",
    sees="Differences of tokens that either state says.",
    blind="How far a token has been ruled out: it saturates, so a gap that starts near 0.2 can show no rate.",
    source="Lin 1991; independent implementation: scipy.spatial.distance.jensenshannon, which is its square root.",
)


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return the divergence at every position, shape [P]. Raises `ValueError` for unequal shapes.

    >>> per_position([[1.0, 0.0]], [[0.0, 1.0]]).round(6).tolist()
    [0.693147]
    """
    p, q = checked_pair(p_PC, q_PC)
    # 2p against p + q, not p against (p + q) / 2: halving the smallest float gives 0 and an infinite term.
    terms = rel_entr(2 * p, p + q) + rel_entr(2 * q, p + q)
    return np.asarray(np.maximum(0.25 * terms.sum(axis=1), 0.0))


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean over positions for all pairs of states, shape [N, N].

    A loop over pairs, with one logarithm a cell: `JS = S(m) - (S(p) + S(q)) / 2` for the entropies S.

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P].
    """
    n_states = len(states_NPC)
    total_NN = np.zeros((n_states, n_states))
    for block, part in blocks(states_NPC, weights):
        entropies_NP = _entropy(block)
        for i in range(n_states):
            for j in range(i):
                mixed = 0.5 * (block[i] + block[j])
                total_NN[i, j] += part @ (_entropy(mixed) - 0.5 * (entropies_NP[i] + entropies_NP[j]))
    return np.asarray(np.maximum(total_NN + total_NN.T, 0.0))


def _entropy(p: Array) -> Array:
    # Below the smallest normal number p ln p is less than 1e-304, so the floor changes nothing but 0 ln 0.
    return np.asarray(-(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))).sum(axis=-1))
