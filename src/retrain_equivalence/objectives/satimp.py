"""Saturation and importance: gradient ascent on the tokens that are neither forgotten nor certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms, check_not_negative, token_terms
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class SatImp:
    """Gradient ascent with every token weighted by `p^β1 (1 - p)^β2`.

    `L = (1/N) Σ_{b,t} p^β1 (1 - p)^β2 log p`, p the policy's probability of the target token, the weight without
    gradient, N = scored tokens of the global batch. β1 = β2 = 0 is `ga`, β2 = 0 is `wga`.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token, <= 0.

    Source:
        Yang et al. 2025 (SatImp); open-unlearning `satimp.py`, `-mean_valid(p^β1 (1-p)^β2 CE)`, β1 = 5, β2 = 1.
        Deviations: no retain term; the mean is over the tokens of the global batch; 1 - p is computed from log p
        without cancellation, and 0^0 = 1.

    p = 1/2, β1 = 2, β2 = 1: ¼ · ½ · ln ½ = -(ln 2)/8.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> observed = Observed(values_BT=torch.tensor([[math.log(0.5)]]), mask_BT=torch.ones(1, 1).bool())
    >>> terms = SatImp(beta1=2.0, beta2=1.0)(Seen({POLICY_LOGPS: observed}, declared=SatImp.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (-0.125, 1)
    """

    name: ClassVar[str] = "satimp"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{yang2025exploring,
  title     = {Exploring Criteria of Loss Reweighting to Enhance {LLM} Unlearning},
  author    = {Yang, Puning and Wang, Qizhou and Huang, Zhuo and Liu, Tongliang and Zhang, Chengqi and Han, Bo},
  booktitle = {International Conference on Machine Learning},
  year      = {2025}
}"""

    beta1: float = 5.0
    """Power β1 of p (saturation), >= 0."""
    beta2: float = 1.0
    """Power β2 of 1 - p (importance), >= 0."""

    def __post_init__(self) -> None:
        check_not_negative("beta1", self.beta1)
        check_not_negative("beta2", self.beta2)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_LOGPS]
        logps_BT = inside(policy)
        held_BT = logps_BT.detach()
        weights_BT = (self.beta1 * held_BT).exp() * (-held_BT.expm1()).pow(self.beta2)
        return token_terms(weights_BT * logps_BT, policy)
