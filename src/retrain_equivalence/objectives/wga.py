"""Weighted gradient ascent: tokens that are already unlikely are left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms, check_not_negative, token_terms
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class WGA:
    """Gradient ascent with every token weighted by a power of its own probability.

    `L = (1/N) Σ_{b,t} p_{b,t}^β log p_{b,t}`, p the policy's probability of the target token, the weight `p^β` without
    gradient, N = scored tokens of the global batch. β = 0 is `ga`.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token, <= 0.

    Source:
        Wang et al. 2025 (WGA); open-unlearning `wga.py`, `-mean_valid(p^β CE)`, β = 1. Deviations: no retain term; the
        mean is over the tokens of the global batch; no reference model is held (theirs allocates an unused one).

    p = 1/2 and 1/4, β = 1: -(½ · 1 + ¼ · 2) ln 2 = -ln 2.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> half = math.log(0.5)
    >>> observed = Observed(values_BT=torch.tensor([[half, 2 * half]]), mask_BT=torch.ones(1, 2).bool())
    >>> terms = WGA()(Seen({POLICY_LOGPS: observed}, declared=WGA.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (-1.0, 2)
    """

    name: ClassVar[str] = "wga"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{wang2025rethinking,
  title     = {Rethinking {LLM} Unlearning Objectives: A Gradient Perspective and Go Beyond},
  author    = {Wang, Qizhou and Zhou, Jin Peng and Zhou, Zhanke and Shin, Saebyeol and Han, Bo and
               Weinberger, Kilian Q.},
  booktitle = {International Conference on Learning Representations},
  year      = {2025}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("weighted gradient ascent",)

    beta: float = 1.0
    """Power β of the probability, >= 0; 0 is plain gradient ascent."""

    def __post_init__(self) -> None:
        check_not_negative("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_LOGPS]
        logps_BT = inside(policy)
        return token_terms((self.beta * logps_BT.detach()).exp() * logps_BT, policy)
