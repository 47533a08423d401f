"""UNDIAL: distillation from the model itself with the target's logit lowered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_DISTRIBUTION,
    REFERENCE_DISTRIBUTION,
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
class UNDIAL:
    """Mean cross-entropy per forget token to the start model's own distribution with the target's logit lowered.

    `L = -(1/N) Σ_{b,t} Σ_v q_v log π_v`, `q = softmax(z^ref - β onehot(y))`, z^ref the logits of the frozen start
    model, y the forget target. Every history has its own target, so the difference of two histories is predicted to
    stay as it is.

    Args of `__call__`:
        seen: log-distributions (nats) of policy and reference in place of the forget targets, shape [B, T, V], with
            mask and target ids.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token, at least the entropy of q.

    Source:
        Dong et al. 2025 (UNDIAL); open-unlearning `undial.py` (β 10, no retain term). Deviations: only scored targets
        count, where theirs is a mean over all B(T-1) positions and lowers the logit of token V-100 wherever the label
        is the ignored -100; the mean is over the tokens of the global batch.

    Reference (1/2, 1/2), β = ln 3, y the first token: q = (1/4, 3/4); policy (1/2, 1/2): ln 2.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> one, ids = torch.ones(1, 1).bool(), torch.zeros(1, 1, dtype=torch.int64)
    >>> same = Observed(values_BT=torch.tensor([[[0.5, 0.5]]]).log(), mask_BT=one, targets_BT=ids)
    >>> seen = Seen({POLICY_DISTRIBUTION: same, REFERENCE_DISTRIBUTION: same}, declared=UNDIAL.passes)
    >>> round(float(UNDIAL(beta=math.log(3))(seen).total) / math.log(2), 4)
    1.0
    """

    name: ClassVar[str] = "undial"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_DISTRIBUTION, REFERENCE_DISTRIBUTION)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{dong2025undial,
  title     = {{UNDIAL}: Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language Models},
  author    = {Dong, Yijiang River and Lin, Hongzhou and Belkin, Mikhail and Huerta, Ramon and Vuli{\\'c}, Ivan},
  booktitle = {Proceedings of the 2025 Conference of the Nations of the Americas Chapter of the ACL},
  year      = {2025}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("distillation, own teacher", "self-distillation with adjusted logits")

    beta: float = 10.0
    """How far the start model's logit of the forget target is lowered, nats, >= 0; 0 moves nothing at the start."""

    def __post_init__(self) -> None:
        check_not_negative("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_DISTRIBUTION]
        target_BTV = lowered(seen[REFERENCE_DISTRIBUTION], self.beta)
        return token_terms(-(target_BTV.exp() * inside(policy)).sum(dim=-1), policy)
