"""Cross-entropy unlearning: descent to the model's own distribution without the target token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, Per, Seen, Terms, token_terms
from retrain_equivalence.objectives.scored_entries import inside, without_target
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class CEU:
    """Mean cross-entropy per forget token to the current distribution with the target struck out.

    `L = -(1/N) Σ_{b,t} Σ_v q_v log π_v`, `q = softmax(z with z_y = -∞)`, so `q_v = π_v / (1 - π_y)` and `q_y = 0`,
    without gradient; z the policy's logits, y the forget target. Gradient in the logits: `π_v - q_v`, which is π_y at
    the target and negative elsewhere.

    Args of `__call__`:
        seen: the policy's log-distributions (nats) in place of the forget targets, shape [B, T, V], with mask and ids.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token. Finite also at π_y = 1: q is normalised
        over the other tokens by log-sum-exp and never by way of 1 - π_y.

    Source:
        Yang 2025 (CE-U); open-unlearning `ceu.py`. Deviations: every scored target counts, where theirs leaves out the
        first answer token of a row (`ignore_first_n_answer_tokens: 1`); the mean is over the tokens of the global
        batch.

    Policy (1/2, 1/4, 1/4), y the first token: q = (0, ½, ½), L = ln 4.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> policy = Observed(values_BT=torch.tensor([[[0.5, 0.25, 0.25]]]).log(), mask_BT=torch.ones(1, 1).bool(),
    ...                   targets_BT=torch.zeros(1, 1, dtype=torch.int64))
    >>> terms = CEU()(Seen({POLICY_DISTRIBUTION: policy}, declared=CEU.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (2.0, 1)
    """

    name: ClassVar[str] = "ce_u"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_DISTRIBUTION,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@article{yang2025ceu,
  title   = {{CE-U}: Cross Entropy Unlearning},
  author  = {Yang, Bo},
  journal = {arXiv preprint arXiv:2503.01224},
  year    = {2025}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("CEU (open-unlearning)",)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_DISTRIBUTION]
        logp_BTV = inside(policy)
        target_BTV = without_target(policy, logp_BTV.detach()).log_softmax(dim=-1).exp()
        return token_terms(-(target_BTV * logp_BTV).sum(dim=-1), policy)
