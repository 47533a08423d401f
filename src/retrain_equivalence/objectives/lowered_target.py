"""A distribution with the logit of the target token lowered: what self-distillation for unlearning aims at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrain_equivalence.objectives.base import Observed
from retrain_equivalence.objectives.scored_entries import inside

if TYPE_CHECKING:
    from torch import Tensor


def lowered(observed: Observed, beta: float) -> Tensor:
    """Return `log softmax(z - β onehot(y))` without gradient, shape [B, T, V].

    Args:
        observed: log-distributions with their target ids; log-probabilities serve as logits, since a constant added to
            all moves nothing.
        beta: how far the target's logit is lowered, nats, >= 0.
    """
    import torch

    logp_BTV = inside(observed).detach()
    cut = torch.full_like(logp_BTV[..., :1], -beta)
    return logp_BTV.scatter_add(-1, observed.labels_BT1(), cut).log_softmax(dim=-1)
