"""The explicit lists: distances between prediction snapshots, and the cards of all distances.

A new distance adds its card here; one between snapshots adds its line to the first list too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.distributional import energy_distance, expected_loss, label_margin, margin_law
from retrain_equivalence.metrics.parameter import cosine, relative_l2
from retrain_equivalence.metrics.pointwise import (
    answer_logprob_difference,
    hellinger,
    jensen_shannon,
    kl,
    re_distance,
    squared_l2,
    total_variation,
)
from retrain_equivalence.metrics.probabilities import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """One distance between snapshots: its card, and its two forms."""

    card: Card
    """What it is; its name is the part of a row's probe after the slash."""
    per_position: Callable[[ArrayLike, ArrayLike], Array]
    """(state [P, C], other [P, C]) -> [P]; `other` is the oracle where there is one."""
    all_pairs: Callable[[NDArray[np.floating], ArrayLike], Array]
    """(states [N, P, C], weights [P]) -> [N, N]; entry (i, j) is `per_position(i, j)` reduced."""

    @property
    def name(self) -> str:
        """The part of a row's probe after the slash."""
        return self.card.name

    @property
    def unit(self) -> Unit:
        """Unit of a row where no cells are lumped."""
        return Unit(self.card.unit)

    @property
    def hilbertian(self) -> bool:
        """Whether it is a squared norm, so that debiased estimates exist."""
        return self.card.hilbertian

    @property
    def lumping_is_a_lower_bound(self) -> bool:
        """Whether lumped cells can only make it smaller."""
        return self.card.lumping == "lower bound"

    def unit_text(self, *, lumped: bool) -> str:
        """Return the unit as rows carry it; it says so where lumped cells make the value a lower bound."""
        if not lumped:
            return str(self.unit)
        return f"{self.unit} (lower bound)" if self.lumping_is_a_lower_bound else f"{self.unit} (lumped cells)"


def _oracle_to_state(state_PC: ArrayLike, oracle_PC: ArrayLike) -> Array:
    return kl.per_position(oracle_PC, state_PC)


def _oracle_to_state_all_pairs(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Array:
    return np.ascontiguousarray(kl.all_pairs(states_NPC, weights).T)


_LISTED = (
    Distance(card=hellinger.CARD, per_position=hellinger.per_position, all_pairs=hellinger.all_pairs),
    Distance(card=squared_l2.CARD, per_position=squared_l2.per_position, all_pairs=squared_l2.all_pairs),
    Distance(card=kl.ORACLE_TO_STATE, per_position=_oracle_to_state, all_pairs=_oracle_to_state_all_pairs),
    Distance(card=kl.STATE_TO_ORACLE, per_position=kl.per_position, all_pairs=kl.all_pairs),
    Distance(card=jensen_shannon.CARD, per_position=jensen_shannon.per_position, all_pairs=jensen_shannon.all_pairs),
    Distance(card=total_variation.CARD, per_position=total_variation.per_position, all_pairs=total_variation.all_pairs),
)

DISTANCES: dict[str, Distance] = {distance.name: distance for distance in _LISTED}
"""Name -> distance between snapshots, the primary one first."""

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        re_distance.CARD,
        *(distance.card for distance in _LISTED),
        answer_logprob_difference.CARD,
        expected_loss.CARD,
        label_margin.CARD,
        margin_law.ENERGY,
        margin_law.GAUSSIAN_KL,
        margin_law.BINNED_KL,
        energy_distance.CARD,
        relative_l2.MERGED,
        relative_l2.ADAPTER,
        cosine.CARD,
    )
}
"""Name -> card of every distance, by level."""
