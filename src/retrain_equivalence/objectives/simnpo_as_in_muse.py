"""SimNPO as its authors' MUSE code computes it: on raw logits of the whole vocabulary, without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import Per, Seen, Terms, check_positive, token_terms
from retrain_equivalence.objectives.npo_as_in_muse import POLICY_LOGITS
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.objectives.simnpo import SimNPO
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNPOAsInMUSE:
    """A variant that is not SimNPO: every logit of every position is pushed below a constant, whatever the label.

    `L = -(2/β) (1/N) Σ_{b,t} (1/V) Σ_v log σ( β (-z_{b,t,v} - γ) )`, z the policy's raw logits in place of the forget
    targets, V entries of the vocabulary.

    Args of `__call__`:
        seen: raw logits of the policy, shape [B, T, V], with the mask of scored targets.

    Returns:
        Sum over scored positions of the mean over the vocabulary, and the number of positions.

    Source:
        Fan et al. 2024, the MUSE part of their code, `iterative.py`. It differs from `simnpo`: raw logits, no label, no
        length normalisation, γ inside β. Deviation from theirs: only scored positions count.

    V = 2, β = 1, γ = 0, z = (-ln 3, 0): -2 · ½ (ln ¾ + ln ½) = ln(8/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> policy = Observed(values_BT=torch.tensor([[[-math.log(3), 0.0]]]), mask_BT=torch.ones(1, 1).bool())
    >>> seen = Seen({POLICY_LOGITS: policy}, declared=SimNPOAsInMUSE.passes)
    >>> round(float(SimNPOAsInMUSE(beta=1.0)(seen).total), 4), round(math.log(8 / 3), 4)
    (0.9808, 0.9808)
    """

    name: ClassVar[str] = "simnpo_as_in_muse"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGITS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = SimNPO.cite
    also_called: ClassVar[tuple[str, ...]] = ("SimNPO (its authors' MUSE code)",)

    beta: float = 0.7
    """Inverse temperature β, > 0."""
    gamma: float = 0.0
    """Constant γ that logits are held against, finite."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        if not math.isfinite(self.gamma):
            raise ValueError(f"gamma must be finite, found {self.gamma}")

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy = seen[POLICY_LOGITS]
        below_BTV = -inside(policy) - self.gamma
        return token_terms(logsigmoid(self.beta * below_BTV).mean(dim=-1) * (-2.0 / self.beta), policy)
