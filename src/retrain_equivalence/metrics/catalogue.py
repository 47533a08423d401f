"""The explicit list of distances between prediction snapshots; a new one adds its line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics import hellinger, jensen_shannon, kl, squared_l2, total_variation
from retrain_equivalence.metrics.probabilities import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """One distance: how it is named in the table, and its two forms."""

    name: str
    """The part of a row's probe after the slash."""
    unit: Unit
    per_position: Callable[[ArrayLike, ArrayLike], Array]
    """(state [P, C], other [P, C]) -> [P]; `other` is the oracle where there is one."""
    all_pairs: Callable[[NDArray[np.floating], ArrayLike], Array]
    """(states [N, P, C], weights [P]) -> [N, N]; entry (i, j) is `per_position(i, j)` reduced."""
    hilbertian: bool
    """Whether it is a squared norm, so that debiased estimates exist."""
    lumping_is_a_lower_bound: bool
    """Whether lumped cells can only make it smaller."""

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
    Distance(
        name="hellinger", unit=Unit.HELLINGER_SQUARED, per_position=hellinger.per_position,
        all_pairs=hellinger.all_pairs, hilbertian=True, lumping_is_a_lower_bound=True,
    ),
    Distance(
        name="squared_l2", unit=Unit.SQUARED_L2, per_position=squared_l2.per_position,
        all_pairs=squared_l2.all_pairs, hilbertian=True, lumping_is_a_lower_bound=False,
    ),
    Distance(
        name="kl_oracle_to_state", unit=Unit.NATS, per_position=_oracle_to_state,
        all_pairs=_oracle_to_state_all_pairs, hilbertian=False, lumping_is_a_lower_bound=True,
    ),
    Distance(
        name="kl_state_to_oracle", unit=Unit.NATS, per_position=kl.per_position,
        all_pairs=kl.all_pairs, hilbertian=False, lumping_is_a_lower_bound=True,
    ),
    Distance(
        name="jensen_shannon", unit=Unit.NATS, per_position=jensen_shannon.per_position,
        all_pairs=jensen_shannon.all_pairs, hilbertian=True, lumping_is_a_lower_bound=True,
    ),
    Distance(
        name="total_variation", unit=Unit.FRACTION, per_position=total_variation.per_position,
        all_pairs=total_variation.all_pairs, hilbertian=False, lumping_is_a_lower_bound=True,
    ),
)  # fmt: skip

DISTANCES: dict[str, Distance] = {distance.name: distance for distance in _LISTED}
"""Name -> distance, the primary one first."""
