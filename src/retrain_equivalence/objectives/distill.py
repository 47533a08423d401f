"""Distillation from one teacher that all histories have in common: the base model, which never saw the forget set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_DISTRIBUTION,
    TEACHER_DISTRIBUTION,
    Per,
    Seen,
    Terms,
    check_not_negative,
    token_terms,
)
from retrain_equivalence.objectives.lowered_target import lowered
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class Distill:
    """Mean divergence per forget token of the policy from a common teacher.

    `L = (1/N) Σ_{b,t} KL(q ‖ π)`, `q = softmax(z^T - β onehot(y))`, z^T the logits of the base model that all histories
    of a replicate were trained from, y the forget target. The target is the same for every history, so descent to it is
    predicted to bring histories together; with the history's *own* model in its place it is `undial`, which is
    predicted to leave their difference as it is.

    Args of `__call__`:
        seen: log-distributions (nats) of policy and teacher in place of the forget targets, shape [B, T, V], with mask.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token, >= 0, 0 where the policy is the target.

    Source:
        Hinton, Vinyals and Dean 2015 (distillation, temperature 1); the lowered logit is UNDIAL's (Dong et al. 2025).
        Deviations: the value is KL and not cross-entropy, which differs by the target's entropy: the same gradient.

    Teacher (1/2, 1/2), policy (1/4, 3/4), β = 0: ½ ln 2 + ½ ln(2/3) = ½ ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> one, ids = torch.ones(1, 1).bool(), torch.zeros(1, 1, dtype=torch.int64)
    >>> policy = Observed(values_BT=torch.tensor([[[0.25, 0.75]]]).log(), mask_BT=one, targets_BT=ids)
    >>> teacher = Observed(values_BT=torch.tensor([[[0.5, 0.5]]]).log(), mask_BT=one, targets_BT=ids)
    >>> seen = Seen({POLICY_DISTRIBUTION: policy, TEACHER_DISTRIBUTION: teacher}, declared=Distill.passes)
    >>> round(float(Distill()(seen).total), 4), round(0.5 * math.log(4 / 3), 4)
    (0.1438, 0.1438)
    """

    name: ClassVar[str] = "distill"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_DISTRIBUTION, TEACHER_DISTRIBUTION)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@article{hinton2015distilling,
  title   = {Distilling the Knowledge in a Neural Network},
  author  = {Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff},
  journal = {arXiv preprint arXiv:1503.02531},
  year    = {2015}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("distillation, common teacher",)

    beta: float = 0.0
    """How far the teacher's logit of the forget target is lowered, nats, >= 0."""

    def __post_init__(self) -> None:
        check_not_negative("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_DISTRIBUTION]
        target_BTV = lowered(seen[TEACHER_DISTRIBUTION], self.beta)
        return token_terms((target_BTV.exp() * (target_BTV - inside(policy))).sum(dim=-1), policy)
