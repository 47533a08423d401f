"""SimNPO's forget loss as open-unlearning parametrises it: the margin stands inside β."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms, check_positive, sequence_terms
from retrain_equivalence.objectives.simnpo import SimNPO
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNPOAsInOpenUnlearning:
    """`simnpo` with the margin δ multiplied by β: the same loss with γ = β δ, under the parameter that their users set.

    `L = (1/B) Σ_b -(2/β) log σ( β (S_b/|y_b| - δ) )`, `S_b = -Σ_t log π(y_{b,t} | ...)`.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over rows and the number of rows with a scored target; a fully masked row is no sequence (theirs is 0/0).

    Source:
        open-unlearning `simnpo.py` (β 4.5, δ 0; its `gamma` is the weight of this loss beside the retain loss, see
        `simnpo_retain`). Deviations: |y| counts scored targets, where theirs counts labels before they are shifted,
        one more if a row's first label is scored.

    Mean negative log-likelihood (ln 3)/2 + 1, β = 2, δ = 1: -log σ(ln 3) = ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> values = torch.tensor([[-math.log(3.0) / 2 - 1]])
    >>> observed = Observed(values_BT=values, mask_BT=torch.ones(1, 1).bool())
    >>> loss = SimNPOAsInOpenUnlearning(beta=2.0, delta=1.0)
    >>> round(float(loss(Seen({POLICY_LOGPS: observed}, declared=loss.passes)).total), 4), round(math.log(4 / 3), 4)
    (0.2877, 0.2877)
    """

    name: ClassVar[str] = "simnpo_as_in_open_unlearning"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = SimNPO.cite

    beta: float = 4.5
    """Inverse temperature β on the mean log-likelihood per token, > 0."""
    delta: float = 0.0
    """Margin δ, nats per token, finite."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        if not math.isfinite(self.delta):
            raise ValueError(f"delta must be finite, found {self.delta}")

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy = seen[POLICY_LOGPS]
        nll_per_token_B = -policy.sequence_sums_B() / policy.tokens_B().clamp(min=1)
        return sequence_terms(logsigmoid(self.beta * (nll_per_token_B - self.delta)) * (-2.0 / self.beta), policy)
