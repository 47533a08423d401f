"""Kullback-Leibler divergence, in the direction of its arguments.

`KL(p ‖ q) = Σ_c p_c ln(p_c / q_c)`.

Zeros are exact, nothing is added to them: a cell with `p = 0` contributes 0 whatever `q` is; a cell with `p > 0` and
`q = 0` makes the divergence infinite, which the caller records as unscored.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr, xlogy

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array, blocks, checked_pair

_BIAS = (
    "Lumped cells can only make it smaller (data processing). It is no squared norm: described, never debiased. One "
    "token that the second distribution rules out makes it infinite, which is unscored."
)
_SOURCE = "Kullback and Leibler 1951; independent implementation: scipy.stats.entropy."

ORACLE_TO_STATE = Card(
    name="kl_oracle_to_state",
    level="pointwise",
    row="prediction:<stage>/kl_oracle_to_state",
    what="Σ o log(o/u), oracle o and state u, per scored position, mean over an item's positions, then over items.",
    unit=Unit.NATS.value,
    range="0 (equal) to ∞",
    direction="smaller: closer predictions",
    symmetric=False,
    hilbertian=False,
    lumping="lower bound",
    bias=_BIAS,
    sees="Tokens that the oracle says and the state has nearly ruled out, without limit: over-forgetting.",
    blind="What the oracle never says, however often the state says it.",
    source=_SOURCE,
)
STATE_TO_ORACLE = Card(
    name="kl_state_to_oracle",
    level="pointwise",
    row="prediction:<stage>/kl_state_to_oracle",
    what="Σ u log(u/o), state u and oracle o, per scored position, mean over an item's positions, then over items.",
    unit=Unit.NATS.value,
    range="0 (equal) to ∞",
    direction="smaller: closer predictions",
    symmetric=False,
    hilbertian=False,
    lumping="lower bound",
    bias=_BIAS,
    sees="Tokens that the state says and the oracle would hardly say: what is still remembered, or nonsense.",
    blind="What the state never says, however often the oracle says it.",
    source=_SOURCE,
)


def per_position(p_PC: ArrayLike, q_PC: ArrayLike) -> Array:
    """Return `KL(p ‖ q)` at every position, shape [P]; infinite where `q` rules out what `p` says.

    >>> per_position([[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.5, 0.5]]).round(6).tolist()
    [0.143841, 0.693147]
    """
    p, q = checked_pair(p_PC, q_PC)
    return np.asarray(rel_entr(p, q).sum(axis=1))


def all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    """Return the weighted mean of `KL(i ‖ j)` over positions for all ordered pairs, shape [N, N].

    One matrix product: `Σ p_i ln p_i − Σ p_i ln q_j`. A second one finds the pairs in which `j` rules out what `i`
    says; they are infinite.

    Args:
        states_NPC: probabilities, shape [N, P, C], any float type; computed in float64.
        weights: weight of each position, shape [P]; positions of weight 0 do not count.
    """
    n_states = len(states_NPC)
    own_N = np.zeros(n_states)
    cross_NN = np.zeros((n_states, n_states))
    ruled_out_NN = np.zeros((n_states, n_states))
    for block, part in blocks(states_NPC, weights):
        flat_ND = block.reshape(n_states, -1)
        weighted_ND = (block * part[None, :, None]).reshape(n_states, -1)
        own_N += (xlogy(flat_ND, flat_ND) * np.repeat(part, block.shape[2])).sum(axis=1)
        zero_ND = flat_ND == 0
        cross_NN += weighted_ND @ np.log(np.where(zero_ND, 1.0, flat_ND)).T
        if zero_ND.any():
            ruled_out_NN += (weighted_ND > 0).astype(np.float64) @ zero_ND.astype(np.float64).T
    divergences_NN = np.maximum(own_N[:, None] - cross_NN, 0.0)
    np.fill_diagonal(divergences_NN, 0.0)
    return np.where(ruled_out_NN > 0, np.inf, divergences_NN)
