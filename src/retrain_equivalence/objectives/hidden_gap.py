"""The mean squared distance of hidden states from a target, as RMU means it: per row a mean over its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrain_equivalence.objectives.base import Observed, Terms, sequence_terms
from retrain_equivalence.objectives.scored_entries import inside

if TYPE_CHECKING:
    from torch import Tensor


def hidden_terms(policy: Observed, target: Tensor) -> Terms:
    """Return `Σ_b (1/n_b) Σ_t mean_d (h_{b,t,d} - target)²` over the rows with a scored target, and their number.

    Args:
        policy: hidden states, shape [B, T, D].
        target: broadcasts to [B, T, D]; 0 where `policy` is not scored, if it is not constant over positions.
    """
    gaps_BT = (inside(policy) - target).square().mean(dim=-1).masked_fill(~policy.mask_BT, 0.0)
    return sequence_terms(gaps_BT.sum(dim=1) / policy.tokens_B().clamp(min=1), policy)
